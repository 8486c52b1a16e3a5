//! The agent's start, its environment, and its restarts.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use backplane_launch::CHECKSUM_FILE;

use crate::support::{
    self, Layer, PATIENT_AGENT, descriptors, environment, eventually, family, field, free_port,
    holds_for, is_alive, listen,
};

#[test]
fn agent_starts_when_the_app_listens_and_not_before() {
    let port = free_port();
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    app.log_has("Waiting for the app to listen");
    // That it never starts cannot be seen, but that the supervisor has probed 30 times can.
    let supervisor = app.supervisor();
    let probes = || -> u64 {
        field(supervisor, "voluntary_ctxt_switches")
            .unwrap()
            .parse()
            .unwrap()
    };
    let before = probes();
    eventually("30 probes", || (probes() > before + 30).then_some(()));
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
    assert!(connection.is_err(), "something connected: {connection:?}");
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
    let directory = layer.path().display().to_string();
    // Its token comes from a service binding.
    let binding = layer.path().join("bindings/network");
    fs::create_dir_all(&binding).unwrap();
    fs::write(binding.join("type"), "backplane\n").unwrap();
    fs::write(binding.join("token"), "sesame\n").unwrap();
    layer
        .set("BACKPLANE_TOKEN", "")
        .set("SERVICE_BINDING_ROOT", &format!("{directory}/bindings"));
    layer.prelude = format!("cd '{directory}'; umask 077; exec 9</dev/null");
    let app = layer.launch();
    let agent = app.agent(1);
    let supervisor = app.supervisor();
    eventually("the shell has become sleep", || {
        (field(agent, "Name")? == "sleep").then_some(())
    });

    let parent_group_and_session = [supervisor, agent, supervisor];
    assert_eq!(family(agent), parent_group_and_session);
    assert_eq!(field(agent, "NoNewPrivs").unwrap(), "1");
    assert_eq!(field(agent, "SigBlk").unwrap(), "0000000000000000");
    let oom_score_adj = fs::read_to_string(format!("/proc/{agent}/oom_score_adj"));
    assert_eq!(oom_score_adj.unwrap(), "1000\n");
    let cwd = fs::read_link(format!("/proc/{agent}/cwd")).unwrap();
    assert_eq!(cwd, Path::new("/"));
    let stderr = format!("{directory}/stderr");
    let files = ["/dev/null", &stderr, &stderr].map(str::to_owned);
    // Its loader may still have a library open.
    eventually("it has its three descriptors", || {
        let numbered = (0..).zip(files.clone());
        descriptors(agent)?.into_iter().eq(numbered).then_some(())
    });

    let variables = environment(agent);
    for start in [
        "BACKPLANE_TOKEN=sesame",
        "BACKPLANE_LABELS=app=shop",
        "MINE=yes",
        "TZ=UTC",
        &format!("PATH={directory}/libexec:"),
    ] {
        let is_there = variables.iter().any(|variable| variable.starts_with(start));
        assert!(is_there, "{start}: {variables:?}");
    }
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

#[test]
fn agent_is_sent_to_the_address_that_the_app_serves() {
    for (address, host) in [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::1", "[::1]"),
    ] {
        let (_listener, port) = listen(address);
        let layer = Layer::new(PATIENT_AGENT, port);
        let app = layer.launch();
        app.agent(1);
        let argv = format!("argv connect app=shop http://{host}:{port}\n");
        assert!(layer.notes().contains(&argv), "{address}");
        app.finish();
    }
}

#[test]
fn variables_of_any_bytes_reach_the_agent_as_they_are() {
    let (_listener, port) = listen("127.0.0.1");
    // It stays the shell that gets them: a shell passes on no variable whose name it cannot use.
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
    let port = free_port();
    let own = format!("http://127.0.0.1:{port}");
    for (name, value, url) in [
        (
            "BACKPLANE_PROXY_URL",
            "http://app.invalid:8080/",
            "http://app.invalid:8080/",
        ),
        // So does one that is not to wait.
        ("BACKPLANE_WAIT_FOR_APP", "no", &own),
    ] {
        let mut layer = Layer::new(PATIENT_AGENT, port);
        layer.set(name, value);
        let app = layer.launch();
        app.agent(1);
        let argv = format!("argv connect app=shop {url}\n");
        assert!(layer.notes().contains(&argv), "{}", layer.notes());
        app.finish();
    }
}

#[test]
fn agent_is_restarted_after_every_exit() {
    for (ending, words) in [
        ("exit 0", "exited with status 0"),
        ("sleep 0.3; exit 1", "exited with status 1"),
        // The statuses of shells for what cannot run, and the numbers of ENOENT, ENOEXEC and EACCES.
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
fn agent_that_keeps_exiting_is_explained_by_its_exits() {
    const TOKEN: &str = "Usually BACKPLANE_TOKEN or the labels are wrong";
    const MEMORY: &str = "mostly by SIGKILL. Usually memory is short";
    const CRASH: &str = "The program itself crashes";
    for (script, verbosity, cause) in [
        ("exit 3", "debug", TOKEN),
        ("exit 3", "info", TOKEN),
        ("exit 3", "quiet", TOKEN),
        ("kill -KILL $$", "info", MEMORY),
        // A wrapper that does not become its tunnel exits with 128 and the signal's number.
        ("sh -c 'kill -KILL $$'\nexit $?", "info", MEMORY),
        // Not every time: memory that is short now may suffice a moment later.
        (
            "echo pid >>\"$0.notes\"; test $(wc -l <\"$0.notes\") = 2 && exit 1; kill -KILL $$",
            "info",
            MEMORY,
        ),
        ("ulimit -c 0; kill -SEGV $$", "info", CRASH),
        ("ulimit -c 0; kill -ILL $$", "quiet", CRASH),
    ] {
        let (_listener, port) = listen("127.0.0.1");
        let mut layer = Layer::new(
            &format!("#!/bin/sh\necho own line\necho own line >&2\n{script}\n"),
            port,
        );
        layer.set("BACKPLANE_LOG", verbosity);
        let app = layer.launch();
        app.log_has("The agent has exited 5 times in a row");
        let log = layer.log();
        assert!(log.contains(cause), "{log}");
        assert_eq!(log.matches(". Restarting it in ").count(), 5, "{log}");
        assert_eq!(log.contains("own line\n"), verbosity != "quiet", "{log}");
        if cause != MEMORY {
            let how_to_see = match verbosity {
                "quiet" => "set BACKPLANE_LOG=info",
                _ => "See the agent's own lines above",
            };
            assert!(log.contains(how_to_see), "{log}");
        }
        app.finish();
    }
}

#[test]
fn agent_is_restarted_although_sigchld_is_ignored() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    // Most shells do not pass on an ignored SIGCHLD.
    layer.runner = "env --ignore-signal=CHLD".to_owned();
    let app = layer.launch();
    support::signal(app.agent(1), "KILL");
    app.agent(2);
    app.log_has("[backplane] The agent exited. Restarting it in ");
    app.finish();
}

#[test]
fn agent_that_cannot_be_run_is_named() {
    const NO_LOADER: &str = "its file is there, but the interpreter or loader";
    const NO_PROGRAM: &str = "its file is neither a program for this processor architecture";
    // One of the system's, because the programs of cargo need no loader if they are linked with musl.
    let program = fs::read("/bin/sh").unwrap();
    let cases: [(&[u8], u32, &str); 6] = [
        (b"#!/no/such/shell\n", 0o755, NO_LOADER),
        (&without_loader(&program), 0o755, NO_LOADER),
        (&for_another_processor(&program), 0o755, NO_PROGRAM),
        (b"<html>", 0o755, NO_PROGRAM),
        (b"", 0o755, NO_PROGRAM),
        (
            b"#!/bin/sh\n",
            0o644,
            "its file is not executable for this user",
        ),
    ];
    for (agent, mode, expected) in cases {
        let (_listener, port) = listen("127.0.0.1");
        let mut layer = Layer::new(PATIENT_AGENT, port);
        // It is shown although the agent's own output is not.
        layer.set("BACKPLANE_LOG", "quiet");
        layer.install(agent, mode);
        let app = layer.launch();
        app.log_has(&format!("[backplane] The agent cannot run: {expected}"));
        assert_eq!(layer.log().lines().count(), 1, "{}", layer.log());
        app.finish();
    }
}

/// The program with the name of its loader changed to one that does not exist.
fn without_loader(program: &[u8]) -> Vec<u8> {
    const LOADER: &[u8] = b"/ld-";
    let mut program = program.to_vec();
    // Its ELF header names it near the beginning.
    let at = program
        .windows(LOADER.len())
        .position(|window| window == LOADER);
    let at = at.expect("a shell is linked dynamically");
    program[at..at + LOADER.len()].copy_from_slice(b"/no-");
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
fn file_that_is_not_regular_delays_nothing() {
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
