//! The supervisor, which stays as long as the app does, and is the only one with an agent for it.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::{
    self, Layer, PATIENT_AGENT, eventually, family, field, holds_for, is_alive, listen,
};

#[test]
fn supervisor_has_its_own_session_and_no_descriptor_of_the_app() {
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
    // Its own five, once the agent is started: lock, pidfd, standard error, signals, netlink.
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
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "STKFLT", "CHLD", "CONT", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM",
        "PROF", "WINCH", "IO", "PWR", "SYS", "RTMIN+1",
    ] {
        support::signal(supervisor, name);
    }
    // A supervisor with musl cannot block it: musl keeps 32 to 34 for itself.
    if !cfg!(target_env = "musl") {
        support::signal(supervisor, "RTMIN");
    }
    holds_for(Duration::from_millis(300), || {
        is_alive(supervisor) && is_alive(agent)
    });
    // It still works: the agent comes back.
    support::signal(agent, "KILL");
    app.agent(2);
    assert!(is_alive(supervisor));
    app.finish();
}

#[test]
fn supervisor_that_is_stopped_catches_up_when_it_is_continued() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let mut app = layer.launch();
    let agent = app.agent(1);
    let supervisor = app.supervisor();
    let stop = || {
        support::signal(supervisor, "STOP");
        eventually("it is stopped", || {
            field(supervisor, "State")?.starts_with('T').then_some(())
        });
    };
    stop();
    support::signal(agent, "KILL");
    eventually("the agent is gone", || (!is_alive(agent)).then_some(()));
    support::signal(supervisor, "CONT");
    let second = app.agent(2);

    stop();
    drop(app.child.stdin.take());
    app.wait();
    assert!(is_alive(second), "nothing ends it");
    support::signal(supervisor, "CONT");
    app.nothing_is_left();
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
    // Longer than the delay before a first restart. It stays, because an app that is PID 1 would not reap it.
    holds_for(Duration::from_secs(1), || {
        is_alive(supervisor) && layer.agents() == [agent]
    });
    app.finish();
}

#[test]
fn second_process_of_the_same_target_gets_no_second_agent() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    for host in ["localhost", "0.0.0.0", "[::1]"] {
        let mut other = Layer::new(PATIENT_AGENT, port);
        other.set("BACKPLANE_PROXY_URL", &format!("http://{host}:{port}/x"));
        let shell = other.launch();
        shell.log_has("No second agent");
        // The supervisor stands by, and exits with its own process.
        shell.supervisor();
        shell.finish();
        assert_eq!(other.notes(), "");
    }
    // Another loopback address is another app's.
    let _other_listener = TcpListener::bind(("127.0.0.2", port)).unwrap();
    let mut other = Layer::new(PATIENT_AGENT, port);
    other.set("BACKPLANE_PROXY_URL", &format!("http://127.0.0.2:{port}"));
    let other = other.launch();
    other.agent(1);
    other.finish();
    assert_eq!(layer.agents(), [agent]);
    app.finish();
}
