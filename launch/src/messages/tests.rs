//! Every message as the user reads it, in `snapshot.txt`, to be read as a whole when one changes.

use std::fmt::Write as _;

use super::*;

/// Messages in all their forms, by their names. The match makes the compiler ask for a new message
/// to be added here.
fn every_message() -> Vec<(&'static str, Message)> {
    messages()
        .into_iter()
        .map(|message| {
            let name = match message {
                Message::MalformedSetting { .. } => "malformed setting",
                Message::Disabled => "disabled",
                Message::IgnoredType { .. } => "ignored type",
                Message::NotAllowedType { .. } => "type not on the allow list",
                Message::OneOff { .. } => "one-off",
                Message::TestRun { .. } => "test run",
                Message::MalformedSeconds { .. } => "malformed seconds",
                Message::MalformedBytes { .. } => "malformed bytes",
                Message::MalformedPath { .. } => "malformed path",
                Message::MalformedLocalUrl { .. } => "malformed local URL",
                Message::ReadyPathUnused => "ready path unused",
                Message::TokenFileUnreadable { .. } => "unreadable token file",
                Message::LabelLeftOut { .. } => "label left out",
                Message::UnknownType => "unknown type",
                Message::BindingUnreadable { .. } => "unreadable binding",
                Message::NoToken => "no token",
                Message::NoLabels { .. } => "no labels",
                Message::LabelStartsWithDash { .. } => "label starts with a dash",
                Message::LabelWithControlCharacter { .. } => "label with a control character",
                Message::LabelNotUtf8 { .. } => "label not UTF-8",
                Message::LabelWithoutValue { .. } => "label without a value",
                Message::NoUpstream => "no upstream",
                Message::MalformedPort { .. } => "malformed port",
                Message::MalformedProxyUrl { .. } => "malformed proxy URL",
                Message::UnknownLayer => "unknown layer",
                Message::NoAgent { .. } => "no agent",
                Message::MissingVariables { .. } => "missing variables",
                Message::Starting { .. } => "starting",
            };
            (name, message)
        })
        .collect()
}

fn missing(names: &[&str]) -> Message {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Message::MissingVariables { names }
}

fn messages() -> Vec<Message> {
    let text = str::to_owned;
    let process_type = |name: &str| Some(name.to_owned());
    let mut messages = vec![
        Message::MalformedSetting {
            name: "BACKPLANE_DRAIN",
            value: text("sotp"),
            wanted: vec!["keep", "stop"],
            taken: "keep",
        },
        Message::MalformedSeconds {
            name: "BACKPLANE_STOP_TIMEOUT",
            value: text("5s"),
            max: 600,
            taken: 5,
        },
        Message::MalformedBytes {
            name: "BACKPLANE_AGENT_MEMORY",
            value: text("256MB"),
        },
        Message::MalformedPath {
            name: "BACKPLANE_READY_PATH",
            value: text("healthz"),
        },
        Message::MalformedLocalUrl {
            name: "BACKPLANE_HEALTH_URL",
            value: text("https://example.com/"),
        },
        Message::ReadyPathUnused,
        Message::Disabled,
        Message::IgnoredType {
            process_type: text("worker"),
        },
        Message::NotAllowedType {
            process_type: process_type("worker"),
        },
        Message::NotAllowedType { process_type: None },
        Message::OneOff {
            process_type: process_type("release"),
        },
        Message::OneOff { process_type: None },
        Message::TestRun {
            variable: "CNB_EXEC_ENV",
        },
        Message::UnknownType,
        Message::BindingUnreadable {
            path: PathBuf::from("/bindings/backplane/token"),
            error: text("Permission denied (os error 13)"),
        },
        Message::TokenFileUnreadable {
            path: PathBuf::from("/run/secrets/token"),
            error: text("Permission denied (os error 13)"),
        },
        Message::NoToken,
        Message::NoLabels {
            variable_of_type: text("BACKPLANE_LABELS_WEB"),
        },
        Message::LabelStartsWithDash { label: text("-v") },
        Message::LabelWithControlCharacter {
            label: text("app=shop\nb"),
        },
        Message::LabelNotUtf8 {
            label: text("app=\u{fffd}"),
        },
        Message::LabelWithoutValue {
            label: text("shop"),
        },
        Message::LabelLeftOut {
            label: text("pod={POD_NAME}"),
            variable: text("POD_NAME"),
        },
        Message::NoUpstream,
        Message::MalformedPort {
            value: text("eighty"),
        },
    ];
    let errors = [
        UrlError::NotPlainText,
        UrlError::Scheme,
        UrlError::UserInfo,
        UrlError::Host,
        UrlError::Port,
    ];
    messages.extend(errors.map(|error| Message::MalformedProxyUrl {
        url: text("127.0.0.1:3000"),
        error,
    }));
    messages.extend([
        Message::UnknownLayer,
        missing(&["BACKPLANE_FRP_SERVER"]),
        missing(&["BACKPLANE_FRP_SERVER", "BACKPLANE_FRP_DOMAIN"]),
        Message::NoAgent {
            path: PathBuf::from("/layers/backplane_agent/agent/libexec/backplane"),
        },
        Message::Starting {
            process_type: text("web"),
            labels: text("app=shop"),
            upstream: text("port 8080"),
        },
    ]);
    messages
}

#[test]
fn messages_are_sentences_of_one_line_as_in_the_snapshot() {
    let mut text = String::new();
    for (name, message) in every_message() {
        let message = message.to_string();
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
