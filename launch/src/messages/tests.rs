//! Every message as the user reads it, in `snapshot.txt`, to be read as a whole by whoever changes one.

use super::*;
use std::fmt::Write as _;

/// Messages in all their forms, by their names. The match makes the compiler ask for a new message to be added here.
fn every_message() -> Vec<(&'static str, Message)> {
    let messages = [settings(), decision(), exec_d(), supervisor()].concat();
    messages
        .into_iter()
        .map(|message| {
            let name = match message {
                Message::MalformedSetting { .. } => "malformed setting",
                Message::Disabled => "disabled",
                Message::IgnoredType { .. } => "ignored type",
                Message::NotAllowedType { .. } => "type not on the allow list",
                Message::OneOff { .. } => "one-off",
                Message::TestRun => "test run",
                Message::UnknownType => "unknown type",
                Message::BindingUnreadable { .. } => "unreadable binding",
                Message::NoToken => "no token",
                Message::NoLabels { .. } => "no labels",
                Message::LabelStartsWithDash { .. } => "label starts with a dash",
                Message::LabelWithControlCharacter { .. } => "label with a control character",
                Message::LabelNotUtf8 { .. } => "label not UTF-8",
                Message::LabelWithoutValue { .. } => "label without a value",
                Message::NoTarget => "no target",
                Message::MalformedPort { .. } => "malformed port",
                Message::MalformedProxyUrl { .. } => "malformed proxy URL",
                Message::UnknownLayer => "unknown layer",
                Message::NoAgent { .. } => "no agent",
                Message::Starting { .. } => "starting",
                Message::AlreadySupervised { .. } => "already supervised",
                Message::NoLock { .. } => "no lock",
                Message::NoApp { .. } => "no app",
                Message::NoPidfd { .. } => "no pidfd",
                Message::SupervisorNotStarted { .. } => "supervisor not started",
                Message::Panicked { .. } => "panicked",
                Message::UnknownRole { .. } => "unknown role",
                Message::MalformedOrders { .. } => "malformed orders",
                Message::Waiting { .. } => "waiting",
                Message::TookOver { .. } => "took over",
                Message::AnotherListens { .. } => "another listens",
                Message::AppIsLate { .. } => "app is late",
                Message::NoSignals { .. } => "no signals",
                Message::SlowLooks { .. } => "slow looks",
                Message::Blind { .. } => "blind",
                Message::AgentStarted { .. } => "agent started",
                Message::AgentRecovered { .. } => "agent recovered",
                Message::AgentExited { .. } => "agent exited",
                Message::ManyQuickExits { .. } => "many quick exits",
                Message::AppStoppedListening { .. } => "app stopped listening",
                Message::AppListensAgain { .. } => "app listens again",
                Message::AgentDrained { .. } => "agent drained",
                Message::ToldToEnd => "told to end",
                Message::AppEnded { .. } => "app ended",
                Message::AppWaitsForSupervisor => "app waits for supervisor",
                Message::AgentKilled => "agent killed",
                Message::SupervisorFailed { .. } => "supervisor failed",
            };
            (name, message)
        })
        .collect()
}

fn settings() -> Vec<Message> {
    vec![Message::MalformedSetting {
        name: "BACKPLANE_DRAIN",
        value: "sotp".to_owned(),
        wanted: vec!["keep", "stop"],
        taken: "keep",
    }]
}

fn decision() -> Vec<Message> {
    let mut messages = vec![
        Message::Disabled,
        Message::IgnoredType {
            process_type: "worker".to_owned(),
        },
        Message::NotAllowedType {
            process_type: Some("worker".to_owned()),
        },
        Message::NotAllowedType { process_type: None },
        Message::OneOff {
            process_type: Some("release".to_owned()),
        },
        Message::OneOff { process_type: None },
        Message::TestRun,
        Message::UnknownType,
        Message::BindingUnreadable {
            path: PathBuf::from("/bindings/backplane/token"),
            error: "Permission denied (os error 13)".to_owned(),
        },
        Message::NoToken,
        Message::NoLabels {
            variable_of_type: "BACKPLANE_LABELS_WEB".to_owned(),
        },
        Message::LabelStartsWithDash {
            label: "-v".to_owned(),
        },
        Message::LabelWithControlCharacter {
            label: "app=shop\nb".to_owned(),
        },
        Message::LabelNotUtf8 {
            label: "app=\u{fffd}".to_owned(),
        },
        Message::LabelWithoutValue {
            label: "shop".to_owned(),
        },
        Message::NoTarget,
        Message::MalformedPort {
            value: "eighty".to_owned(),
        },
    ];
    messages.extend(
        [
            ProxyUrlError::NotPlainText,
            ProxyUrlError::Scheme,
            ProxyUrlError::UserInfo,
            ProxyUrlError::Host,
            ProxyUrlError::Port,
        ]
        .map(|error| Message::MalformedProxyUrl {
            url: "127.0.0.1:3000".to_owned(),
            error,
        }),
    );
    messages.extend([
        Message::UnknownLayer,
        Message::NoAgent {
            path: PathBuf::from("/layers/backplane_agent/agent/libexec/backplane"),
        },
        Message::Starting {
            process_type: "web".to_owned(),
            labels: "app=shop".to_owned(),
            target: "port 8080".to_owned(),
        },
    ]);
    messages
}

fn exec_d() -> Vec<Message> {
    let error = || "Operation not permitted (os error 1)".to_owned();
    let place = || "localhost:8080".to_owned();
    vec![
        Message::AlreadySupervised { place: place() },
        Message::NoLock {
            place: place(),
            error: error(),
        },
        Message::NoApp {
            error: "it has ended".to_owned(),
        },
        Message::NoPidfd { error: error() },
        Message::SupervisorNotStarted { error: error() },
        Message::Panicked {
            details: "panicked at launch/src/exec_d.rs:1:1".to_owned(),
        },
        Message::UnknownRole {
            role: "--help".to_owned(),
        },
    ]
}

fn supervisor() -> Vec<Message> {
    let error = || "Operation not permitted (os error 1)".to_owned();
    let target = || "port 8080".to_owned();
    let mut messages = vec![
        Message::MalformedOrders { argument: "target" },
        Message::Waiting { target: target() },
        Message::TookOver { target: target() },
        Message::AnotherListens { target: target() },
        Message::AppIsLate { target: target() },
        Message::NoSignals { error: error() },
        Message::SlowLooks { error: error() },
        Message::Blind { error: error() },
        Message::AgentStarted {
            labels: "app=shop".to_owned(),
            url: "http://127.0.0.1:8080".to_owned(),
        },
        Message::AgentRecovered {
            ran_for: Duration::from_secs(30),
            exits: 7,
        },
    ];
    messages.extend(
        [
            (Exit::Status(1), Some(250)),
            (Exit::Signal(9), Some(4_049)),
            (Exit::Signal(40), Some(59_500)),
            (Exit::Unknown, Some(999)),
            (Exit::NotStarted(error()), Some(250)),
            (Exit::NotRun(AgentFault::Missing), Some(250)),
            (Exit::NotRun(AgentFault::NotReadable(error())), Some(250)),
            (Exit::NotRun(AgentFault::NotExecutable), Some(250)),
            (
                Exit::NotRun(AgentFault::NoInterpreter("/bin/bash".to_owned())),
                Some(250),
            ),
            (
                Exit::NotRun(AgentFault::NoLoader("/lib/ld-musl-x86_64.so.1".to_owned())),
                Some(250),
            ),
            (Exit::NotRun(AgentFault::OtherArchitecture), Some(250)),
            (Exit::NotRun(AgentFault::NoProgram), Some(250)),
            (Exit::Status(0), None),
        ]
        .map(|(exit, pause)| Message::AgentExited {
            exit,
            pause: pause.map(Duration::from_millis),
        }),
    );
    messages.extend([
        many_quick_exits(Cause::Refusal, false),
        many_quick_exits(Cause::Refusal, true),
        many_quick_exits(Cause::Memory, false),
        many_quick_exits(Cause::Crash, false),
        many_quick_exits(Cause::Crash, true),
        Message::AppStoppedListening {
            target: target(),
            stops_agent: false,
        },
        Message::AppStoppedListening {
            target: target(),
            stops_agent: true,
        },
        Message::AppListensAgain { target: target() },
        Message::AgentDrained {
            exit: Exit::Status(0),
        },
        Message::ToldToEnd,
        Message::AppEnded { agent_runs: true },
        Message::AppEnded { agent_runs: false },
        Message::AppWaitsForSupervisor,
        Message::AgentKilled,
        Message::SupervisorFailed { error: error() },
    ]);
    messages
}

fn many_quick_exits(cause: Cause, output_is_dropped: bool) -> Message {
    Message::ManyQuickExits {
        exits: 5,
        cause,
        output_is_dropped,
    }
}

#[test]
fn messages_are_as_in_the_snapshot() {
    let mut text = String::new();
    for (name, message) in every_message() {
        writeln!(
            text,
            "{name}\n    {}\n",
            message
                .to_string()
                .escape_debug()
                .to_string()
                .replace("\\'", "'")
        )
        .unwrap();
    }
    let snapshot = include_str!("snapshot.txt");
    // Line by line, so that a failure shows the one that differs.
    for (found, expected) in text.lines().zip(snapshot.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(text, snapshot);
}

#[test]
fn messages_are_sentences_of_one_line() {
    for (name, message) in every_message() {
        let text = message.to_string();
        assert!(text.ends_with('.'), "{name}: {text}");
        assert!(!text.contains("  "), "{name}: {text}");
        assert!(text.len() < 400, "{name}: {text}");
    }
}
