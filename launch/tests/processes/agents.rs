//! The agent starts when it should, as what it should, and comes back.

use crate::support::{
    self, Layer, PATIENT_AGENT, descriptors, environment, eventually, family, field, free_port,
    holds_for, is_alive, listen,
};
use backplane_launch::CHECKSUM_FILE;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::fs;
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn agent_starts_when_the_app_listens_and_not_before() {
    let port = free_port();
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    app.log_has("Waiting for the app to listen");
    // Nothing to wait for: that it never starts cannot be seen, but that it had 30 looks' time can.
    let supervisor = app.supervisor();
    let looks = || -> u64 {
        field(supervisor, "voluntary_ctxt_switches")
            .unwrap()
            .parse()
            .unwrap()
    };
    let before = looks();
    eventually("it looks at least 30 times", || {
        (looks() > before + 30).then_some(())
    });
    assert_eq!(layer.notes(), "");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    app.agent(1);
    assert!(
        layer
            .notes()
            .contains(&format!("argv connect app=shop http://127.0.0.1:{port}\n"))
    );
    listener.set_nonblocking(true).unwrap();
    let connection = listener.accept();
    assert!(
        connection.is_err(),
        "nothing connects to the app: {connection:?}"
    );
    drop(listener);
    app.finish();
}

#[test]
fn agent_is_started_clean() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    layer
        .set("BACKPLANE_AGENT_ENV", "MINE")
        .set("MINE", "yes")
        .set("TZ", "UTC");
    layer.prelude = format!(
        "cd '{}'; umask 077; exec 9</dev/null",
        layer.path().display()
    );
    let app = layer.launch();
    let agent = app.agent(1);
    let supervisor = app.supervisor();
    eventually("the shell has become sleep", || {
        (field(agent, "Name")? == "sleep").then_some(())
    });

    assert_eq!(
        family(agent),
        [supervisor, agent, supervisor],
        "parent, group, session"
    );
    assert_eq!(field(agent, "NoNewPrivs").unwrap(), "1");
    assert_eq!(field(agent, "SigBlk").unwrap(), "0000000000000000");
    assert_eq!(
        fs::read_to_string(format!("/proc/{agent}/oom_score_adj")).unwrap(),
        "1000\n"
    );
    assert_eq!(
        fs::read_link(format!("/proc/{agent}/cwd"))
            .unwrap()
            .to_str(),
        Some("/")
    );
    let stderr = layer.path().join("stderr").display().to_string();
    let expected = [
        (0, "/dev/null".to_owned()),
        (1, stderr.clone()),
        (2, stderr),
    ];
    // Its loader may still have a library open.
    eventually("it has its three descriptors", || {
        (descriptors(agent)? == expected).then_some(())
    });

    let variables = environment(agent);
    for (name, value) in [
        ("BACKPLANE_TOKEN", "sesame"),
        ("BACKPLANE_LABELS", "app=shop"),
        ("MINE", "yes"),
        ("TZ", "UTC"),
    ] {
        assert!(
            variables.contains(&format!("{name}={value}")),
            "{variables:?}"
        );
    }
    let path = format!("PATH={}/libexec:", layer.path().display());
    assert!(
        variables.iter().any(|variable| variable.starts_with(&path)),
        "{variables:?}"
    );
    for pid in [agent, supervisor] {
        let all = environment(pid).join("\n");
        assert!(
            !all.contains("DATABASE_URL") && !all.contains("PORT="),
            "{all}"
        );
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!String::from_utf8_lossy(&arguments).contains("sesame"));
    }
    assert!(!layer.log().contains("sesame"), "{}", layer.log());
    app.finish();
}

/// A listener on `[::]`, for IPv6 alone or for IPv4 too.
fn listen_on_any_v6(only_v6: bool) -> TcpListener {
    let (family, flags) = (AddressFamily::INET6, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)
        .expect("this test needs IPv6");
    sockopt::set_ipv6_v6only(&socket, only_v6).unwrap();
    rustix::net::bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)).unwrap();
    rustix::net::listen(&socket, 16).unwrap();
    socket.into()
}

#[test]
fn agent_is_sent_to_the_address_that_the_app_serves() {
    for (listener, host) in [
        (listen("127.0.0.1").0, "127.0.0.1"),
        (listen("0.0.0.0").0, "127.0.0.1"),
        (listen_on_any_v6(false), "127.0.0.1"),
        (listen_on_any_v6(true), "[::1]"),
        (listen("::1").0, "[::1]"),
    ] {
        let port = listener.local_addr().unwrap().port();
        let layer = Layer::new(PATIENT_AGENT, port);
        let app = layer.launch();
        app.agent(1);
        let argv = format!("argv connect app=shop http://{host}:{port}\n");
        assert!(layer.notes().contains(&argv), "{listener:?}");
        app.finish();
    }
}

#[test]
fn variables_of_any_bytes_reach_the_agent_as_they_are() {
    let (_listener, port) = listen("127.0.0.1");
    // It stays the shell that gets them, as that hands none on whose name it could not use itself.
    let mut layer = Layer::new(&PATIENT_AGENT.replace("exec sleep", "sleep"), port);
    layer.runner = r#"env "$(printf 'BACKPLANE_\377=\376')""#.to_owned();
    let app = layer.launch();
    let agent = app.agent(1);
    let variables = fs::read(format!("/proc/{agent}/environ")).unwrap();
    let mut variables = variables.split(|byte| *byte == 0);
    assert!(variables.any(|variable| variable == b"BACKPLANE_\xff=\xfe"));
    app.finish();
}

#[test]
fn agent_for_another_host_starts_at_once() {
    let mut layer = Layer::new(PATIENT_AGENT, free_port());
    layer.set("BACKPLANE_PROXY_URL", "http://app.invalid:8080/");
    let app = layer.launch();
    app.agent(1);
    let argv = "argv connect app=shop http://app.invalid:8080/\n";
    assert!(layer.notes().contains(argv), "{}", layer.notes());
    app.finish();
}

#[test]
fn agent_does_not_wait_where_it_is_told_not_to() {
    let mut layer = Layer::new(PATIENT_AGENT, free_port());
    layer.set("BACKPLANE_WAIT_FOR_APP", "no");
    let app = layer.launch();
    app.agent(1);
    app.finish();
}

#[test]
fn agent_comes_back_however_it_ended() {
    for (ending, words) in [
        ("exit 0", "exited with status 0"),
        ("sleep 0.3; exit 1", "exited with status 1"),
        // Those of shells for what cannot run, and the numbers of ENOENT, ENOEXEC and EACCES.
        ("exit 126", "exited with status 126"),
        ("exit 127", "exited with status 127"),
        ("exit 2", "exited with status 2"),
        ("exit 8", "exited with status 8"),
        ("exit 13", "exited with status 13"),
        ("exec 0<&- 1>&- 2>&-; exit 9", "exited with status 9"),
        ("kill -TERM $$", "was terminated by SIGTERM"),
        ("kill -SEGV $$", "was terminated by SIGSEGV"),
        ("kill -KILL $$", "was terminated by SIGKILL"),
    ] {
        let (_listener, port) = listen("127.0.0.1");
        let agent = PATIENT_AGENT.replace("exec sleep 1000", &format!("ulimit -c 0; {ending}"));
        let layer = Layer::new(&agent, port);
        let app = layer.launch();
        app.log_has(&format!("[backplane] The agent {words}. Restarting it in "));
        app.agent(2);
        app.finish();
    }
}

#[test]
fn agent_that_is_stopped_is_left_alone_until_the_app_ends() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    support::signal(agent, "STOP");
    holds_for(Duration::from_secs(1), || {
        is_alive(agent) && layer.agents() == [agent]
    });
    support::signal(agent, "CONT");
    // A stopped process sees no SIGTERM before it is continued, but it does see SIGKILL.
    support::signal(agent, "STOP");
    app.finish();
}

#[test]
fn agent_that_keeps_ending_is_explained() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new("#!/bin/sh\nexit 3\n", port);
    let app = layer.launch();
    app.log_has("The agent has exited 5 times in a row");
    let log = layer.log();
    assert_eq!(
        log.matches("The agent exited with status 3.").count(),
        5,
        "{log}"
    );
    app.finish();
}

#[test]
#[ignore = "takes a minute; script/test --soak runs it"]
fn trouble_that_lasts_and_its_end_are_told() {
    let minute = Duration::from_mins(1);
    let launch = |agent: &str, port: u16| {
        let mut layer = Layer::new(agent, port);
        layer.set("BACKPLANE_LOG", "info");
        layer
    };
    // A listener, but not where the agent would connect to.
    let (_other_listener, other_port) = listen("127.0.0.2");
    let mistaken = launch(PATIENT_AGENT, other_port);
    let (_listener, port) = listen("127.0.0.1");
    let recovering = launch(
        "#!/bin/sh
        echo \"pid $$\" >>\"$0.notes\"
        test $(wc -l <\"$0.notes\") -le 6 && exit 1
        exec sleep 1000\n",
        port,
    );
    let started = Instant::now();
    let apps = [mistaken.launch(), recovering.launch()];

    support::within(minute, "the agent is well again", || {
        recovering
            .log()
            .contains("The agent has recovered")
            .then_some(())
    });
    assert_eq!(recovering.agents().len(), 7);
    let slow_boot = Duration::from_secs(42);
    thread::sleep(slow_boot.saturating_sub(started.elapsed()));
    assert_eq!(mistaken.log(), "", "a slow boot is no trouble");
    let left = minute.saturating_sub(started.elapsed());
    support::within(left, "the app is late", || {
        (!mistaken.log().is_empty()).then_some(())
    });
    assert!(
        mistaken
            .log()
            .contains("The app still does not listen on port")
    );
    for app in apps {
        app.finish();
    }
}

#[test]
fn agent_that_keeps_being_killed_is_explained_by_memory() {
    for agent in [
        "#!/bin/sh\nkill -KILL $$\n",
        // A wrapper that does not become its tunnel ends with 128 and the signal's number.
        "#!/bin/sh\nsh -c 'kill -KILL $$'\nexit $?\n",
        // Not every time: what is short now may suffice a moment later.
        "#!/bin/sh
        echo \"pid $$\" >>\"$0.notes\"
        test $(wc -l <\"$0.notes\") = 2 && exit 1
        kill -KILL $$\n",
    ] {
        let (_listener, port) = listen("127.0.0.1");
        let layer = Layer::new(agent, port);
        let app = layer.launch();
        app.log_has("5 times in a row");
        let log = layer.log();
        for expected in ["memory", "memory.events", "docker inspect", "dmesg"] {
            assert!(log.contains(expected), "{expected}: {log}");
        }
        assert!(!log.contains("BACKPLANE_TOKEN"), "{log}");
        app.finish();
    }
}

#[test]
fn agent_that_keeps_crashing_is_not_blamed_on_the_token() {
    for signal in ["SEGV", "ABRT", "ILL"] {
        let (_listener, port) = listen("127.0.0.1");
        let layer = Layer::new(
            &format!("#!/bin/sh\nulimit -c 0\nkill -{signal} $$\n"),
            port,
        );
        let app = layer.launch();
        app.log_has("5 times in a row");
        let log = layer.log();
        assert!(log.contains("crashes"), "{log}");
        assert!(!log.contains("BACKPLANE_TOKEN"), "{log}");
        app.finish();
    }
}

#[test]
fn explanation_names_the_variable_that_shows_the_agents_lines_where_they_are_dropped() {
    for (verbosity, expected) in [
        ("quiet", "BACKPLANE_LOG=info"),
        ("info", "See the agent's own lines above"),
        ("debug", "See the agent's own lines above"),
    ] {
        let (_listener, port) = listen("127.0.0.1");
        let mut layer = Layer::new("#!/bin/sh\necho no such token\nexit 3\n", port);
        layer.set("BACKPLANE_LOG", verbosity);
        let app = layer.launch();
        app.log_has("5 times in a row");
        let log = layer.log();
        assert!(log.contains(expected), "{log}");
        let is_shown = log.contains("no such token");
        assert_eq!(is_shown, log.contains("lines above"), "{log}");
        app.finish();
    }
}

#[test]
fn agent_comes_back_although_sigchld_is_ignored() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    // Most shells do not hand on an ignored SIGCHLD.
    layer.runner = "env --ignore-signal=CHLD".to_owned();
    let app = layer.launch();
    support::signal(app.agent(1), "KILL");
    app.agent(2);
    app.log_has("[backplane] The agent exited. Restarting it in ");
    app.finish();
}

#[test]
fn agent_that_cannot_be_run_is_named() {
    let program = fs::read(env!("CARGO_BIN_EXE_backplane-launch-test-program")).unwrap();
    let cases: [(&[u8], u32, &str); 6] = [
        (
            b"#!/no/such/shell\n",
            0o755,
            "its file is there, but the interpreter or loader",
        ),
        (
            &without_loader(&program),
            0o755,
            "its file is there, but the interpreter or loader",
        ),
        (
            &for_another_processor(&program),
            0o755,
            "its file is neither a program for this processor architecture",
        ),
        (b"<html>", 0o755, "its file is neither a program"),
        (b"", 0o755, "its file is neither a program"),
        (
            PATIENT_AGENT.as_bytes(),
            0o644,
            "its file is not executable for this user",
        ),
    ];
    for (agent, mode, expected) in cases {
        let (_listener, port) = listen("127.0.0.1");
        let mut layer = Layer::new(PATIENT_AGENT, port);
        // What the user needs to know is not the agent's own output.
        layer.set("BACKPLANE_LOG", "quiet");
        layer.install(agent, mode);
        let app = layer.launch();
        app.log_has(&format!("[backplane] The agent cannot run: {expected}"));
        let log = layer.log();
        assert_eq!(log.lines().count(), 1, "{log}");
        app.finish();
    }
}

/// The program with the name of its loader changed to one that is nowhere.
fn without_loader(program: &[u8]) -> Vec<u8> {
    const LOADER: &[u8] = b"/ld-";
    let mut program = program.to_vec();
    // Its ELF header names it near the beginning.
    let mut windows = program.windows(LOADER.len());
    let place = windows.position(|window| window == LOADER);
    let place = place.expect("a program of cargo's is linked dynamically");
    program[place..place + LOADER.len()].copy_from_slice(b"/no-");
    program
}

/// The program with the machine in its ELF header changed; see elf(5), `e_machine`.
fn for_another_processor(program: &[u8]) -> Vec<u8> {
    const MACHINE: usize = 18;
    // EM_S390, which has no build of this buildpack.
    const OTHER: u8 = 22;
    let mut program = program.to_vec();
    program[MACHINE] = OTHER;
    program
}

#[test]
fn quiet_drops_the_agents_output_too() {
    let (_listener, port) = listen("127.0.0.1");
    let noisy = PATIENT_AGENT.replace("exec sleep", "echo noise\necho noise >&2\nexec sleep");
    let mut layer = Layer::new(&noisy, port);
    layer.set("BACKPLANE_LOG", "quiet");
    let app = layer.launch();
    let agent = app.agent(1);
    let expected = [0, 1, 2].map(|number| (number, "/dev/null".to_owned()));
    eventually("the shell has become sleep", || {
        (field(agent, "Name")? == "sleep").then_some(())
    });
    // Its loader may still have a library open.
    eventually("it has its three descriptors", || {
        (descriptors(agent)? == expected).then_some(())
    });
    app.finish();
    assert_eq!(layer.log(), "");
}

#[test]
fn agent_is_stopped_while_the_app_does_not_listen_if_so_wanted() {
    let (listener, port) = listen("127.0.0.1");
    let drains = "#!/bin/sh
        trap 'echo drained >>\"$0.notes\"; kill $!; exit 0' TERM
        echo \"pid $$\" >>\"$0.notes\"
        sleep 1000 & wait $!\n";
    let mut layer = Layer::new(drains, port);
    layer.set("BACKPLANE_DRAIN", "stop");
    let app = layer.launch();
    app.agent(1);
    drop(listener);
    app.log_has("The app no longer listens on port");
    app.log_has("It restarts when the app listens again.");
    assert!(layer.notes().ends_with("drained\n"), "{}", layer.notes());
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    app.agent(2);
    drop(listener);
    app.finish();
}

#[test]
fn agent_is_left_alone_while_the_app_does_not_listen() {
    let (listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    drop(listener);
    app.log_has("The app no longer listens on port");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    app.log_has("The app listens on port");
    assert!(is_alive(agent));
    assert_eq!(layer.agents(), [agent]);
    drop(listener);
    app.finish();
}

#[test]
fn app_that_has_crashed_below_a_living_parent_is_not_said_to_finish_requests() {
    // The server, a child of the app's process, crashes; that process goes on.
    let (listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch_app("sh -c 'sleep 1000 & kill -SEGV $!; exec cat'");
    let agent = app.agent(1);
    drop(listener);
    app.log_has("The app no longer listens on port");
    let log = layer.log();
    for expected in ["may be in flight", "If the app has crashed"] {
        assert!(log.contains(expected), "{log}");
    }
    assert!(is_alive(agent));
    app.finish();
}

#[test]
fn restart_is_prompt() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    let killed = std::time::Instant::now();
    support::signal(agent, "KILL");
    app.agent(2);
    let pause = killed.elapsed();
    assert!(pause >= Duration::from_millis(250), "{pause:?}");
    assert!(pause < Duration::from_secs(5), "{pause:?}");
    app.finish();
}

#[test]
fn what_is_no_regular_file_keeps_nobody_waiting() {
    let replaced = |layer: &Layer, path: &Path, how: &str| {
        let path = path.display();
        let script = format!(
            "rm -rf '{path}'; {}",
            how.replace("PATH", &format!("'{path}'"))
        );
        let status = Command::new("sh").arg("-c").arg(script).status().unwrap();
        assert!(status.success(), "{}", layer.log());
    };
    for how in ["mkfifo -m 755 PATH", "mkdir PATH", "ln -s /dev/zero PATH"] {
        // The checksum, from the beginning.
        let (_listener, port) = listen("127.0.0.1");
        let layer = Layer::new(PATIENT_AGENT, port);
        replaced(&layer, &layer.path().join(CHECKSUM_FILE), how);
        let app = layer.launch();
        let agent = app.agent(1);
        let status = || {
            let output = layer.status().arg("--json").output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(status().contains("\"agent_sha256\":null"), "{how}");

        // The agent, once it has run.
        replaced(&layer, &layer.agent(), how);
        support::signal(agent, "KILL");
        eventually(how, || {
            let cause = "cannot run: its file is not executable";
            status().contains(cause).then_some(())
        });
        replaced(&layer, &layer.agent(), ":");
        layer.install(PATIENT_AGENT, 0o755);
        app.agent(2);
        app.finish();
    }
}
