//! `backplane-run` and `backplane-drain`: who ends first, and with which status.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{
    self, App, Layer, PATIENT_AGENT, children, eventually, field, free_port, is_alive, listen,
};

/// An agent that takes this many seconds to finish after SIGTERM, and notes both.
fn draining_agent(seconds: u32) -> String {
    format!(
        "#!/bin/sh
trap 'echo drain >>\"$0.notes\"; sleep {seconds}; echo drained >>\"$0.notes\"; exit' TERM
echo \"pid $$\" >>\"$0.notes\"
while :; do sleep 0.05; done
"
    )
}

/// One of our programs beside the agent, by its name.
fn program(layer: &Layer, name: &str) -> PathBuf {
    let link = layer.agent().with_file_name(name);
    if !link.is_symlink() {
        symlink("../exec.d/launch", &link).unwrap();
    }
    link
}

/// Launches `command` below `backplane-run`.
fn launch_below_run<'layer>(layer: &'layer Layer, command: &str) -> App<'layer> {
    let run = program(layer, "backplane-run");
    // The last word is the shell's `$0`, by which a failed test finds what it has to end.
    let mark = layer.path().display();
    layer.launch_app(&format!("{} {command} {mark}", run.display()))
}

/// `COPY` of a Dockerfile, for example, copies the program that a link leads to.
#[test]
fn copy_of_run_outside_the_layer_runs_the_command_once() {
    let layer = Layer::new(PATIENT_AGENT, free_port());
    let copy = layer.path().join("backplane-run");
    fs::copy(layer.path().join("exec.d/launch"), &copy).unwrap();
    // The end of a PID namespace also ends what a failure leaves behind.
    let output = Command::new("timeout")
        .args(["--signal=KILL", "5", "unshare", "--user", "--map-root-user"])
        .args(["--pid", "--fork", "--kill-child", "--"])
        .arg(&copy)
        .args(["sh", "-c", "echo once; exit 7"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(output.stdout, b"once\n");
}

/// A shell command that notes SIGTERM beside the agent's notes, and exits with status 7.
fn noting_app(layer: &Layer) -> String {
    let notes = layer.agent().with_extension("notes");
    let notes = notes.display();
    format!(
        "sh -c 'trap \"echo app >>{notes}; exit 7\" TERM; echo up; while :; do sleep 0.05; done'"
    )
}

fn wait_for_output(layer: &Layer, text: &str) {
    eventually(text, || layer.output().contains(text).then_some(()));
}

/// The notes of the end, in their order.
fn order(layer: &Layer) -> Vec<String> {
    let notes = layer.notes();
    let of_end = ["drain", "drained", "app"];
    notes
        .lines()
        .filter(|line| of_end.contains(line))
        .map(str::to_owned)
        .collect()
}

#[test]
fn agent_finishes_before_the_app_is_asked_to_end_with_drain_stop() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(&draining_agent(1), port);
    layer.set("BACKPLANE_DRAIN", "stop");
    let mut app = launch_below_run(&layer, &noting_app(&layer));
    app.agent(1);
    wait_for_output(&layer, "up");
    support::signal(app.pid(), "TERM");
    assert_eq!(app.wait().code(), Some(7));
    assert_eq!(order(&layer), ["drain", "drained", "app"]);
    app.nothing_is_left();
}

#[test]
fn agent_outlives_the_app_by_a_moment_with_drain_keep() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(&draining_agent(1), port);
    let mut app = launch_below_run(&layer, &noting_app(&layer));
    let agent = app.agent(1);
    wait_for_output(&layer, "up");
    let stopped = Instant::now();
    support::signal(app.pid(), "TERM");
    eventually("the app ends", || {
        order(&layer).contains(&"app".to_owned()).then_some(())
    });
    assert!(is_alive(agent));
    assert_eq!(app.wait().code(), Some(7));
    let after = stopped.elapsed();
    assert!(after >= Duration::from_secs(2), "a second each: {after:?}");
    assert_eq!(order(&layer), ["app", "drain", "drained"]);
    app.nothing_is_left();
}

#[test]
fn agent_that_does_not_finish_keeps_the_app_no_longer_than_its_timeout() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(&draining_agent(60), port);
    layer
        .set("BACKPLANE_DRAIN", "stop")
        .set("BACKPLANE_STOP_TIMEOUT", "1");
    let mut app = launch_below_run(&layer, &noting_app(&layer));
    app.agent(1);
    wait_for_output(&layer, "up");
    let started = Instant::now();
    support::signal(app.pid(), "TERM");
    assert_eq!(app.wait().code(), Some(7));
    // For the app, and once more for what the agent may still have to pass on.
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(order(&layer)[..2], ["drain", "app"]);
    app.nothing_is_left();
}

#[test]
fn second_signal_is_passed_on_at_once() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(&draining_agent(60), port);
    layer
        .set("BACKPLANE_DRAIN", "stop")
        .set("BACKPLANE_STOP_TIMEOUT", "15");
    let started = Instant::now();
    let mut app = launch_below_run(&layer, &noting_app(&layer));
    app.agent(1);
    wait_for_output(&layer, "up");
    support::signal(app.pid(), "TERM");
    eventually("the agent drains", || {
        order(&layer).contains(&"drain".to_owned()).then_some(())
    });
    support::signal(app.pid(), "TERM");
    eventually("the app ends", || {
        order(&layer).contains(&"app".to_owned()).then_some(())
    });
    // One more, for who does not want to wait for the agent either.
    eventually("the end", || {
        support::signal(app.pid(), "TERM");
        app.child.try_wait().unwrap()
    });
    assert!(started.elapsed() < Duration::from_secs(10));
    app.nothing_is_left();
}

#[test]
fn without_an_agent_nothing_is_added_to_the_end() {
    let port = free_port();
    let mut layer = Layer::new(PATIENT_AGENT, port);
    layer.set("BACKPLANE_DRAIN", "stop");
    for (disabled, command, expected) in [
        ("1", "sh -c 'exit 3'", Some(3)),
        ("1", "sh -c 'kill -KILL $$'", Some(128 + 9)),
        ("1", "sh -c 'kill -TERM $$'", Some(128 + 15)),
        // A supervisor that waits for an app that never listens.
        ("0", "sh -c 'exit 4'", Some(4)),
    ] {
        layer.set("BACKPLANE_DISABLED", disabled);
        let started = Instant::now();
        let mut app = launch_below_run(&layer, command);
        assert_eq!(app.wait().code(), expected, "{command}");
        assert!(started.elapsed() < Duration::from_secs(5));
        app.nothing_is_left();
    }
}

#[test]
fn command_that_cannot_be_run_is_named_with_the_status_of_shells() {
    let layer = Layer::new(PATIENT_AGENT, free_port());
    let run = || Command::new(program(&layer, "backplane-run"));
    for (command, status) in [
        ("/nowhere/at-all", 127),
        ("nothing-of-that-name", 127),
        ("/etc", 126),
    ] {
        let output = run().arg(command).arg("x").output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{command}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(
            log.starts_with("[backplane] ") && log.contains(command),
            "{log}"
        );
        assert_eq!(log.lines().count(), 1, "{log}");
    }
    assert_eq!(run().output().unwrap().status.code(), Some(2));
}

#[test]
fn signals_reach_the_command_and_orphans_are_reaped() {
    let layer = Layer::new(PATIENT_AGENT, free_port());
    let mut app = launch_below_run(
        &layer,
        "sh -c 'for s in HUP USR1 USR2 WINCH ALRM; do trap \"echo got-$s\" $s; done
            (sh -c \"sleep 0.1 & exit\" & exit); echo up; while :; do sleep 0.05; done'",
    );
    wait_for_output(&layer, "up");
    for signal in ["HUP", "USR1", "USR2", "WINCH", "ALRM"] {
        support::signal(app.pid(), signal);
        wait_for_output(&layer, &format!("got-{signal}"));
    }
    eventually("no zombie is left", || {
        let is_zombie =
            |pid: &u32| field(*pid, "State").is_some_and(|state| state.starts_with('Z'));
        (!children(app.pid()).iter().any(is_zombie)).then_some(())
    });
    support::signal(app.pid(), "TERM");
    assert_eq!(app.wait().code(), Some(128 + 15));
    app.nothing_is_left();
}

/// Such as a Java program, which prints its threads at SIGQUIT.
#[test]
fn agent_stays_at_a_signal_that_is_not_for_the_end() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    layer.set("BACKPLANE_DRAIN", "stop");
    let mut app = launch_below_run(
        &layer,
        "sh -c 'trap \"echo got-QUIT\" QUIT; echo up; while :; do sleep 0.05; done'",
    );
    let agent = app.agent(1);
    wait_for_output(&layer, "up");
    support::signal(app.pid(), "QUIT");
    wait_for_output(&layer, "got-QUIT");
    support::holds_for(Duration::from_millis(500), || is_alive(agent));
    support::signal(app.pid(), "TERM");
    assert_eq!(app.wait().code(), Some(128 + 15));
    app.nothing_is_left();
}

#[test]
fn agent_that_was_asked_to_finish_is_not_asked_again() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(
        "#!/bin/sh
trap 'echo asked >>\"$0.notes\"' TERM
echo \"pid $$\" >>\"$0.notes\"
while :; do sleep 0.05; done
",
        port,
    );
    layer.set("BACKPLANE_STOP_TIMEOUT", "1");
    let app = layer.launch();
    app.agent(1);
    let drain = program(&layer, "backplane-drain");
    let mut drain = layer.beside_app(&drain);
    drain.args(["--timeout", "0"]);
    // Clients that have left take no place of those that may wait.
    for _ in 0..40 {
        assert_eq!(drain.status().unwrap().code(), Some(1));
    }
    app.finish();
    assert_eq!(layer.notes().matches("asked\n").count(), 1);
}

/// The kernel then reaps the command by itself, and its status is lost.
#[test]
fn run_ends_with_its_command_where_sigchld_is_ignored() {
    let layer = Layer::new(PATIENT_AGENT, free_port());
    let run = program(&layer, "backplane-run");
    let mut run = Command::new("env")
        .arg("--ignore-signal=CHLD")
        .env("LAYER", layer.path())
        .arg(run)
        .args(["sh", "-c", "sleep 1000 & echo $!; exit 5"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = eventually("the end", || run.try_wait().unwrap());
    assert_eq!(status.code(), Some(255));
    let mut orphan = String::new();
    BufReader::new(run.stdout.take().unwrap())
        .read_line(&mut orphan)
        .unwrap();
    support::signal(orphan.trim().parse().unwrap(), "KILL");
}

/// Needs user namespaces, as the test of a whole launch without `/proc` does.
#[test]
fn run_without_proc_becomes_its_command() {
    let layer = Layer::new(PATIENT_AGENT, free_port());
    let run = program(&layer, "backplane-run");
    let script = format!(
        "mount -t tmpfs none /proc && exec {} -- sh -c 'exit 5'",
        run.display()
    );
    let mut shell = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--pid", "--fork"])
        .args(["--kill-child", "sh", "-c", &script])
        .spawn()
        .unwrap();
    let status = eventually("the end", || shell.try_wait().unwrap());
    assert_eq!(status.code(), Some(5));
}

#[test]
fn command_starts_with_the_environment_and_descriptors_of_the_app() {
    let layer = Layer::new(PATIENT_AGENT, free_port());
    // Of the signals, 1 to 28: some C libraries ignore what they use themselves.
    let show = "sh -c 'env | sort; ls -l /proc/self/fd | wc -l;
        grep -E \"^Sig(Blk|Ign)\" /proc/self/status | tail -c 8'";
    let own = |app: &mut App<'_>| {
        assert!(app.wait().success());
        app.nothing_is_left();
    };
    own(&mut layer.launch_app(show));
    let without = layer.output();
    own(&mut launch_below_run(&layer, show));
    let both = layer.output();
    assert_eq!(both.strip_prefix(&without), Some(without.as_str()));
}

#[test]
fn drain_ends_the_agent_for_good_and_says_when() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(&draining_agent(1), port);
    let drain = |arguments: &[&str]| {
        let output = layer
            .beside_app(&program(&layer, "backplane-drain"))
            .args(arguments)
            .output()
            .unwrap();
        output.status.code()
    };
    let app = layer.launch();
    let agent = app.agent(1);
    assert_eq!(drain(&["--timeout", "0"]), Some(1), "it takes a second");
    assert_eq!(drain(&[]), Some(0));
    assert!(!is_alive(agent));
    assert_eq!(order(&layer), ["drain", "drained"]);
    assert_eq!(drain(&[]), Some(0), "again");
    assert_eq!(layer.status().output().unwrap().status.code(), Some(1));
    support::holds_for(Duration::from_secs(2), || layer.agents().len() == 1);
    for unknown in [&["--now"][..], &["--timeout"], &["--timeout", "soon"]] {
        assert_eq!(drain(unknown), Some(2), "{unknown:?}");
    }
    app.finish();
    assert_eq!(drain(&[]), Some(2), "no supervisor is there");
}

#[test]
fn drain_before_the_app_listens_means_that_no_agent_starts() {
    let port = free_port();
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    app.supervisor();
    let drained = layer
        .beside_app(&program(&layer, "backplane-drain"))
        .status()
        .unwrap();
    assert_eq!(drained.code(), Some(0));
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    support::holds_for(Duration::from_secs(2), || layer.agents().is_empty());
    app.finish();
}

#[test]
fn run_of_another_app_cannot_end_the_agent() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    // Its exec.d program finds the lock held, so the agent is not its own.
    let mut other = launch_below_run(&layer, "sh -c 'exit 5'");
    assert_eq!(other.wait().code(), Some(5));
    assert!(is_alive(agent));
    app.finish();
}

/// As an edge that refuses the token does it.
#[test]
fn agent_that_exits_again_and_again_is_not_what_status_waits_for() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new("#!/bin/sh\nsleep 0.3\nexit 1\n", port);
    let app = layer.launch();
    app.log_has("The agent exited with status 1.");
    let status = layer.status().args(["--wait", "3"]).output().unwrap();
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    let words = String::from_utf8(status.stdout).unwrap();
    assert!(
        words.contains(" Last time it exited with status 1: see the app's log."),
        "{words}"
    );
    app.finish();
}

#[test]
fn status_waits_for_the_agent() {
    let port = free_port();
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    app.supervisor();
    let started = Instant::now();
    let status = || layer.status().args(["--wait", "1"]).status().unwrap();
    assert_eq!(status().code(), Some(1));
    assert!(started.elapsed() >= Duration::from_secs(1));
    let mut waiting = layer
        .status()
        .args(["--json", "--wait", "60"])
        .spawn()
        .unwrap();
    let listening = Instant::now();
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let status = eventually("the agent runs", || waiting.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(listening.elapsed() >= Duration::from_secs(5));
    app.finish();
    let started = Instant::now();
    let status = layer.status().args(["--wait", "1"]).status().unwrap();
    assert_eq!(status.code(), Some(1), "nor does a supervisor");
    assert!(started.elapsed() >= Duration::from_secs(1));
}
