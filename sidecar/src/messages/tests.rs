//! Every message as the user reads it, in `snapshot.txt`, to be read as a whole when one changes.

use std::fmt::Write as _;

use rustix::io::Errno;

use super::*;
use crate::config::tests::config;
use crate::exit::{ExecError, Exit};
use crate::upstream::Loopback;

const HINTS: Hints = Hints {
    quick_exits: "Usually the token is wrong",
    show_output: "To see the agent's own lines, set LOG=info",
    upstream: "set PORT to where it listens",
};

/// Messages in all their forms, by their names. The matches make the compiler ask for a new message
/// to be added here.
fn every_message() -> Vec<(&'static str, String)> {
    let messages = messages().into_iter().map(|message| {
        let name = match message {
            Message::AlreadySupervised { .. } => "already supervised",
            Message::LockUnavailable { .. } => "lock unavailable",
            Message::AppUnwatchable { .. } => "app unwatchable",
            Message::PidfdUnavailable { .. } => "pidfd unavailable",
            Message::SupervisorNotStarted { .. } => "supervisor not started",
            Message::Panicked { .. } => "panicked",
            Message::UnknownArgument { .. } => "unknown argument",
            Message::MalformedConfig { .. } => "malformed config",
            Message::NetlinkUnavailable { .. } => "netlink unavailable",
            Message::ProbeUnavailable { .. } => "probe unavailable",
            Message::SupervisorFailed { .. } => "supervisor failed",
            Message::ValueUnreadable { .. } => "value unreadable",
            Message::RunWithoutCommand { .. } => "run without command",
            Message::CommandNotRun { .. } => "command not run",
        };
        (name, message.to_string())
    });
    let notices = notices().into_iter().map(|(notice, verbosity)| {
        let name = match notice {
            Notice::WaitingForApp => "waiting for app",
            Notice::TookOver => "took over",
            Notice::AnotherListens => "another listens",
            Notice::AppIsLate => "app is late",
            Notice::AppIsNotReady => "app is not ready",
            Notice::AgentUnhealthy { .. } => "agent unhealthy",
            Notice::MemoryExceeded { .. } => "memory exceeded",
            Notice::AgentStarted(_) => "agent started",
            Notice::AgentRecovered { .. } => "agent recovered",
            Notice::AgentExited { .. } => "agent exited",
            Notice::CrashLoop { .. } => "crash loop",
            Notice::AppStoppedListening { .. } => "app stopped listening",
            Notice::AppListensAgain => "app listens again",
            Notice::AgentDrained { .. } => "agent drained",
            Notice::ShutdownRequested => "shutdown requested",
            Notice::DrainRequested { .. } => "drain requested",
            Notice::AppExited { .. } => "app exited",
            Notice::AppWaitsForSupervisor => "app waits for supervisor",
            Notice::KillingAgent => "killing agent",
        };
        let config = SupervisorConfig {
            verbosity,
            ..config()
        };
        let text = NoticeText {
            notice: &notice,
            config: &config,
            hints: HINTS,
        };
        (name, text.to_string())
    });
    messages.chain(notices).collect()
}

fn messages() -> Vec<Message> {
    let error = || "Operation not permitted (os error 1)".to_owned();
    let address = || "localhost:8080".to_owned();
    vec![
        Message::AlreadySupervised { address: address() },
        Message::LockUnavailable {
            address: address(),
            error: error(),
        },
        Message::AppUnwatchable {
            error: "it has exited".to_owned(),
        },
        Message::PidfdUnavailable { error: error() },
        Message::SupervisorNotStarted { error: error() },
        Message::Panicked {
            details: "panicked at sidecar/src/exec_d.rs:1:1".to_owned(),
        },
        Message::UnknownArgument {
            argument: "--help".to_owned(),
        },
        Message::MalformedConfig {
            argument: "upstream",
        },
        Message::NetlinkUnavailable { error: error() },
        Message::ProbeUnavailable { error: error() },
        Message::SupervisorFailed { error: error() },
        Message::ValueUnreadable {
            name: "TOKEN".to_owned(),
            path: "/run/secrets/token".into(),
            error: error(),
        },
        Message::RunWithoutCommand {
            program: "agent-run".to_owned(),
        },
        Message::CommandNotRun {
            command: "gunicorn".to_owned(),
            error: "No such file or directory (os error 2)".to_owned(),
        },
    ]
}

fn notices() -> Vec<(Notice, Verbosity)> {
    let exits = [
        (Exit::Status(1), Some(250)),
        (Exit::Signal(9), Some(4_049)),
        (Exit::Signal(40), Some(59_500)),
        (Exit::Unknown, Some(999)),
        (
            Exit::NotStarted("Operation not permitted (os error 1)".to_owned()),
            Some(250),
        ),
        (Exit::NotRun(ExecError::Missing), Some(250)),
        (Exit::NotRun(ExecError::NoInterpreter), Some(250)),
        (Exit::NotRun(ExecError::NotExecutable), Some(250)),
        (Exit::NotRun(ExecError::NoProgram), Some(250)),
        (Exit::NotRun(ExecError::Other(Errno::TXTBSY)), Some(250)),
        (Exit::Status(0), None),
    ]
    .map(|(exit, delay)| Notice::AgentExited {
        exit,
        delay: delay.map(Duration::from_millis),
    });
    let crash_loop = |cause| Notice::CrashLoop { exits: 5, cause };
    let mut notices = vec![
        Notice::WaitingForApp,
        Notice::TookOver,
        Notice::AnotherListens,
        Notice::AppIsLate,
        Notice::AppIsNotReady,
        Notice::AgentUnhealthy { checks: 3 },
        Notice::MemoryExceeded { used: 1_500 << 20 },
        Notice::AgentStarted(Loopback::V4),
        Notice::AgentRecovered {
            ran_for: Duration::from_secs(30),
            exits: 7,
        },
    ];
    notices.extend(exits);
    notices.extend([
        crash_loop(Cause::Refusal),
        crash_loop(Cause::Memory),
        crash_loop(Cause::Crash),
        Notice::AppStoppedListening { stops_agent: false },
        Notice::AppStoppedListening { stops_agent: true },
        Notice::AppListensAgain,
        Notice::AgentDrained {
            exit: Exit::Status(0),
        },
        Notice::ShutdownRequested,
        Notice::DrainRequested { agent_runs: true },
        Notice::DrainRequested { agent_runs: false },
        Notice::AppExited { agent_runs: true },
        Notice::AppExited { agent_runs: false },
        Notice::AppWaitsForSupervisor,
        Notice::KillingAgent,
    ]);
    let quiet = [crash_loop(Cause::Refusal), crash_loop(Cause::Crash)];
    let quiet = quiet.map(|notice| (notice, Verbosity::Quiet));
    let notices = notices.into_iter().map(|notice| (notice, Verbosity::Info));
    notices.chain(quiet).collect()
}

#[test]
fn messages_are_sentences_of_one_line_as_in_the_snapshot() {
    let mut text = String::new();
    for (name, message) in every_message() {
        assert!(message.ends_with('.'), "{name}: {message}");
        assert!(!message.contains("  "), "{name}: {message}");
        assert!(message.len() < 400, "{name}: {message}");
        let message = message.escape_debug().to_string().replace("\\'", "'");
        writeln!(text, "{name}\n    {message}\n").unwrap();
    }
    let snapshot = include_str!("snapshot.txt");
    // Line by line, so that a failure shows the one that differs.
    for (found, expected) in text.lines().zip(snapshot.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(text, snapshot);
}
