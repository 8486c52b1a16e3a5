//! The supervisor stays as long as the app does, alone for its target, and takes the agent with it.

use crate::support::{self, Layer, PATIENT_AGENT, eventually, family, field, is_alive, listen};
use std::time::{Duration, Instant};

#[test]
fn supervisor_has_a_session_of_its_own_and_holds_nothing_of_the_app() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    app.agent(1);
    let supervisor = app.supervisor();
    assert_eq!(
        family(supervisor)[1..],
        [supervisor, supervisor],
        "group, session"
    );
    let cwd = std::fs::read_link(format!("/proc/{supervisor}/cwd")).unwrap();
    assert_eq!(cwd.to_str(), Some("/"));
    let app_output = std::fs::read_link(format!("/proc/{}/fd/1", app.pid())).unwrap();
    // Its own five, as soon as it is done with what starting the agent took: lock, pidfd, standard error, signals, netlink.
    eventually("it has nothing else open", || {
        let open = support::descriptors(supervisor)?;
        let holds_output = open
            .iter()
            .any(|(_, file)| *file == app_output.display().to_string());
        (open.len() <= 5 && !holds_output).then_some(())
    });
    assert_eq!(field(supervisor, "Threads").unwrap(), "1");
    app.finish();
}

#[test]
fn no_catchable_signal_ends_the_supervisor_or_reaches_the_agent() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    let supervisor = app.supervisor();
    for name in [
        "HUP", "INT", "QUIT", "USR1", "USR2", "PIPE", "ALRM", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS", "RTMIN+1", "CONT", "CHLD",
    ] {
        support::signal(supervisor, name);
    }
    // A supervisor with musl cannot block it: musl keeps 32 to 34 for itself.
    if !cfg!(target_env = "musl") {
        support::signal(supervisor, "RTMIN");
    }
    support::signal(supervisor, "STOP");
    eventually("it is stopped", || {
        field(supervisor, "State")?.starts_with('T').then_some(())
    });
    support::signal(supervisor, "CONT");
    // It still works: the agent comes back.
    support::signal(agent, "KILL");
    app.agent(2);
    assert!(is_alive(supervisor));
    app.finish();
}

#[test]
fn sigterm_is_not_passed_on_and_nothing_is_restarted_after_it() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    let supervisor = app.supervisor();
    support::signal(supervisor, "TERM");
    app.log_has("Received SIGTERM");
    assert!(is_alive(agent));
    support::signal(agent, "TERM");
    app.log_has("[backplane] The agent was terminated by SIGTERM.\n");
    assert!(
        is_alive(supervisor),
        "it stays, as an app that is PID 1 would not reap it"
    );
    assert_eq!(layer.agents(), [agent]);
    app.finish();
}

#[test]
fn agent_is_killed_with_the_supervisor() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    support::signal(app.supervisor(), "KILL");
    eventually("the agent is gone", || (!is_alive(agent)).then_some(()));
    app.finish();
}

#[test]
fn second_process_of_the_same_target_gets_no_second_agent() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    for target in ["", "http://localhost:PORT", "http://[::1]:PORT/x"] {
        let mut other = Layer::new(PATIENT_AGENT, port);
        other.set(
            "BACKPLANE_PROXY_URL",
            &target.replace("PORT", &port.to_string()),
        );
        let shell = other.launch();
        shell.log_has("No second agent");
        // The supervisor stands by, and ends with its own process.
        shell.supervisor();
        shell.finish();
        assert_eq!(other.notes(), "");
    }
    assert_eq!(layer.agents(), [agent]);
    app.finish();
}

#[test]
fn of_many_processes_at_the_same_instant_one_gets_the_agent() {
    let (_listener, port) = listen("127.0.0.1");
    let layers: Vec<Layer> = (0..8).map(|_| Layer::new(PATIENT_AGENT, port)).collect();
    let apps: Vec<_> = layers.iter().map(Layer::launch).collect();
    for (layer, _app) in layers.iter().zip(&apps) {
        eventually("each is started or stands by", || {
            (layer.log().contains("stands by") || !layer.agents().is_empty()).then_some(())
        });
    }
    // The listener is this test's, so that each lets the others have the lock first.
    let agents = || -> usize { layers.iter().map(|layer| layer.agents().len()).sum() };
    eventually("one has an agent", || (agents() > 0).then_some(()));
    let until = Instant::now() + Duration::from_secs(3);
    eventually("time has passed", || {
        assert_eq!(agents(), 1);
        (Instant::now() > until).then_some(())
    });
    for app in apps {
        app.finish();
    }
}

#[test]
fn client_of_the_lock_that_says_nothing_changes_nothing() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    let address = SocketAddr::from_abstract_name(format!("backplane/localhost:{port}")).unwrap();
    let _clients: Vec<UnixStream> = (0..50)
        .map(|_| UnixStream::connect_addr(&address).unwrap())
        .collect();
    support::signal(agent, "KILL");
    app.agent(2);
    app.finish();
}

#[test]
fn apps_on_the_same_port_of_other_loopback_addresses_have_an_agent_each() {
    let (_listener, port) = listen("127.0.0.1");
    let _others = ["127.0.0.2", "127.0.0.3"]
        .map(|address| std::net::TcpListener::bind((address, port)).unwrap());
    let layer_of = |host: &str| {
        let mut layer = Layer::new(PATIENT_AGENT, port);
        layer.set("BACKPLANE_PROXY_URL", &format!("http://{host}:{port}"));
        layer
    };
    let layers = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(layer_of);
    let apps: Vec<_> = layers.iter().map(Layer::launch).collect();
    for (app, layer) in apps.iter().zip(&layers) {
        let agent = app.agent(1);
        let output = layer.status().arg("--json").output().unwrap();
        let json = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(json.contains(&format!("\"agent_pid\":{agent},")), "{json}");
    }
    // These are names of the first one's.
    for host in ["localhost", "0.0.0.0", "[::1]"] {
        let layer = layer_of(host);
        let app = layer.launch();
        app.log_has("another supervisor already runs");
        app.finish();
    }
    for app in apps {
        app.finish();
    }
}
