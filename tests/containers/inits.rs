//! `backplane-run` as process 1, beside the inits that others use: tini and dumb-init.

use harness::containers::{Container, Run};

use crate::orderly_ends::{LIBEXEC, image};

/// What a command below the init does, and what is done to the container.
struct Case {
    command: &'static [&'static str],
    /// A signal to process 1, once the command runs.
    signal: Option<&'static str>,
    /// The exit status of the container.
    status: i32,
}

const fn case(command: &'static [&'static str], signal: Option<&'static str>, status: i32) -> Case {
    Case {
        command,
        signal,
        status,
    }
}

const CASES: [Case; 8] = [
    case(&["sh", "-c", "exit 3"], None, 3),
    case(&["sh", "-c", "kill -KILL $$"], None, 128 + 9),
    case(&["sh", "-c", "kill -SEGV $$"], None, 128 + 11),
    case(
        &["sh", "-c", "echo up; exec sleep 1000"],
        Some("TERM"),
        128 + 15,
    ),
    case(
        &["sh", "-c", "echo up; exec sleep 1000"],
        Some("USR1"),
        128 + 10,
    ),
    case(
        &[
            "sh",
            "-c",
            "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done",
        ],
        Some("TERM"),
        5,
    ),
    // A trap gets the signal once, and the children of the command do not.
    case(
        &[
            "sh",
            "-c",
            "trap 'n=$((n + 1))' HUP; sh -c \"trap 'echo child' HUP; sleep 2\" &
             echo up; while [ \"$n\" != 1 ]; do sleep 0.1; done; sleep 1; exit $((n + 5))",
        ],
        Some("HUP"),
        6,
    ),
    // Orphans are reaped: the last process that is listed is no zombie.
    case(
        &[
            "sh",
            "-c",
            "for n in 1 2 3 4; do (sleep 0.2 & exit); done; sleep 1
             exit $(cat /proc/[0-9]*/stat | grep -c ') Z ')",
        ],
        None,
        0,
    ),
];

/// A run of the image whose process 1 is this init, in front of a command.
fn run(init: &[&str], command: &[&str]) -> Run {
    image()
        .process("launcher")
        .command([&["--"], init, command].concat())
}

fn status_of(case: &Case, init: &[&str]) -> i32 {
    let container: Container = run(init, case.command).start();
    if let Some(signal) = case.signal {
        container.wait_for_stdout("up\n");
        container.kill(signal);
    }
    let status = container.wait();
    assert!(!container.stdout().contains("child"), "{init:?}");
    status
}

#[test]
fn run_is_a_process_1_as_tini_and_dumb_init_are() {
    let ours = format!("{LIBEXEC}/backplane-run");
    for case in &CASES {
        // dumb-init has no option for signals to the command alone but this one.
        let inits = [
            &[&*ours][..],
            &["tini", "--"],
            &["dumb-init", "--single-child", "--"],
        ];
        for init in inits {
            assert_eq!(
                status_of(case, init),
                case.status,
                "{init:?} {:?}",
                case.command
            );
        }
    }
    for (command, status) in [("/nowhere/at-all", 127), ("/etc", 126)] {
        for init in [&[&*ours][..], &["tini", "--"]] {
            assert_eq!(
                run(init, &[command]).start().wait(),
                status,
                "{init:?} {command}"
            );
        }
    }
}
