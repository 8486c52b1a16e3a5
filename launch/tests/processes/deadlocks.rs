//! Apps that are process 1 of their container, and so have the supervisor for a child.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    self, App, Layer, PATIENT_AGENT, children, eventually, field, free_port, is_alive,
};

/// How long after the end of its last child an app may have exited: 3 s, and some for a busy machine.
const SOON: Duration = Duration::from_secs(4);

/// Perl, which Debian always has: a worker that listens on the port or serves on its parent's listener.
const PRELUDE: &str = r#"
    use strict; use IO::Socket::INET; use POSIX ();
    my ($worker, $listener);
    sub listener { $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$ENV{PORT}", Listen => 5, ReuseAddr => 1) or die $! }
    sub start { $worker = fork; return if $worker; $SIG{$_} = "DEFAULT" for qw(TERM USR1 CHLD); listener() unless $listener; 1 while $listener->accept; exit }
    $SIG{TERM} = sub { kill TERM => $worker };
"#;

/// Apps that exit with status 7 once they have no child anymore.
const APPS: [(&str, &str); 4] = [
    (
        "sleeps in wait, and its worker listens",
        "start(); until (wait == -1 && $!{ECHILD}) {} exit 7",
    ),
    (
        "sleeps in wait, and has the listener that its worker serves",
        "listener(); start(); until (wait == -1 && $!{ECHILD}) {} exit 7",
    ),
    (
        "sleeps in wait, and its worker never listens",
        "$listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1); start(); until (wait == -1 && $!{ECHILD}) {} exit 7",
    ),
    (
        "waits for SIGCHLD, as haproxy does",
        "$SIG{CHLD} = sub { 1 while waitpid(-1, POSIX::WNOHANG) > 0; exit 7 if $!{ECHILD} };
         start(); select(undef, undef, undef, undef) while 1",
    ),
];

fn perl(script: &str) -> String {
    assert!(!script.contains('"'));
    let script = format!("{PRELUDE}{script}").replace('\'', "\"");
    format!("perl -e '{script}'")
}

/// The one child of process 1 that is neither the supervisor nor the exec.d program, which has the same name.
fn worker(layer: &Layer, process_1: u32) -> u32 {
    eventually("a supervisor and a worker are there", || {
        let children = children(process_1);
        let is_other = |child: &&u32| {
            is_alive(**child) && field(**child, "Name").is_some_and(|name| name != "launch")
        };
        let has_supervisor = children.contains(layer.supervisors().first()?);
        let mut workers = children.iter().filter(is_other);
        workers.next().copied().filter(|_| has_supervisor)
    })
}

/// Waits until the supervisor has seen the app with its worker.
fn settle(app: &App) {
    let supervisor = app.supervisor();
    let turns = || {
        field(supervisor, "voluntary_ctxt_switches")?
            .parse::<u64>()
            .ok()
    };
    let before = eventually("the supervisor sleeps", turns);
    eventually("it has had some turns", || {
        (turns()? >= before + 3).then_some(())
    });
}

/// An agent that ignores SIGTERM.
const STUBBORN_AGENT: &str = "#!/bin/sh
trap '' TERM
echo \"pid $$\" >>\"$0.notes\"
while :; do sleep 1000; done
";

#[test]
fn app_that_waits_for_all_its_children_ends_as_without_a_supervisor() {
    let shell = |shell| {
        let script = r#"sleep 1000 & worker=$!; trap "kill $worker" TERM; wait; wait; exit 7"#;
        (shell, format!("{shell} -c '{script}'"))
    };
    let apps = APPS.map(|(what, script)| (what, perl(script)));
    let apps: Vec<_> = apps
        .into_iter()
        .chain([shell("bash"), shell("dash")])
        .collect();
    thread::scope(|scope| {
        for (what, command) in &apps {
            for (victim, agent) in [("the app", STUBBORN_AGENT), ("the worker", PATIENT_AGENT)] {
                scope.spawn(move || {
                    let is_shell = ["bash", "dash"].contains(what);
                    let layer = Layer::new(agent, free_port());
                    let (mut app, process_1) = layer.launch_as_process_1(command);
                    let worker = worker(&layer, process_1);
                    if !is_shell && !what.contains("never listens") {
                        app.agent(1);
                    }
                    settle(&app);
                    let started = Instant::now();
                    match victim {
                        "the app" => support::signal(process_1, "TERM"),
                        _ => support::signal(worker, "KILL"),
                    }
                    let status = app.wait();
                    let took = started.elapsed();
                    assert!(took < SOON, "{what}, {victim}: {took:?}");
                    assert_eq!(status.code(), Some(7), "{what}, {victim}");
                    app.nothing_is_left();
                    // A shell waits for its own jobs only.
                    assert!(is_shell || layer.log().contains("waits for its child processes"));
                });
            }
        }
    });
}

#[test]
fn app_without_other_children_that_finishes_a_request_keeps_its_agent() {
    let layer = Layer::new(PATIENT_AGENT, free_port());
    // First in a sleep that ends by itself, then in a wait for input.
    let script = "pipe(my $never, my $writer); listener();
        $SIG{TERM} = sub { close $listener; sleep 3; vec(my $set = '', fileno $never, 1) = 1; select($set, undef, undef, 4); exit 7 };
        1 while $listener->accept; sleep while 1";
    let (mut app, process_1) = layer.launch_as_process_1(&perl(script));
    let agent = app.agent(1);
    settle(&app);
    support::signal(process_1, "TERM");
    app.log_has("no longer listens");
    let exit = eventually("the app ends", || {
        let status = app.child.try_wait().unwrap();
        assert!(status.is_some() || is_alive(agent) || !is_alive(process_1));
        status
    });
    assert_eq!(exit.code(), Some(7));
    assert_eq!(layer.agents(), [agent]);
    assert!(!layer.log().contains("waits for its child processes"));
}

#[test]
fn workers_that_are_all_replaced_at_once_keep_the_agent() {
    thread::scope(|scope| {
        for script in [
            // The next worker comes a second later.
            "$SIG{CHLD} = sub { 1 while waitpid(-1, POSIX::WNOHANG) > 0; select(undef, undef, undef, 1); start() };
             start(); select(undef, undef, undef, undef) while 1",
            "start(); while (1) { my $ended = wait; next if $ended == -1; sleep 3; start() }",
        ] {
            scope.spawn(move || {
                let layer = Layer::new(PATIENT_AGENT, free_port());
                let (mut app, process_1) = layer.launch_as_process_1(&perl(script));
                let first = worker(&layer, process_1);
                let agent = app.agent(1);
                settle(&app);
                support::signal(first, "KILL");
                let next = eventually("another worker is there", || {
                    let next = worker(&layer, process_1);
                    (next != first).then_some(next)
                });
                if !script.contains("undef, 1") {
                    app.log_has(" again.");
                }
                settle(&app);
                assert!(is_alive(next) && is_alive(agent));
                assert_eq!(layer.agents(), [agent]);
                support::signal(process_1, "KILL");
                app.wait();
                app.nothing_is_left();
            });
        }
    });
}
