//! Every message as the user reads it, in `snapshot.txt`, to be read as a whole by whoever changes
//! one.

use std::fmt::Write as _;

use super::*;

/// Messages in all their forms, by their names. The match makes the compiler ask for a new message
/// to be added here.
fn every_message() -> Vec<(&'static str, Message)> {
    let messages = [settings(), decision()].concat();
    messages
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
                Message::Starting { .. } => "starting",
            };
            (name, message)
        })
        .collect()
}

fn settings() -> Vec<Message> {
    vec![
        Message::MalformedSetting {
            name: "BACKPLANE_DRAIN",
            value: "sotp".to_owned(),
            wanted: vec!["keep", "stop"],
            taken: "keep",
        },
        Message::MalformedSeconds {
            name: "BACKPLANE_STOP_TIMEOUT",
            value: "5s".to_owned(),
            max: 600,
            taken: 5,
        },
    ]
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
        Message::TestRun {
            variable: "CNB_EXEC_ENV",
        },
        Message::UnknownType,
        Message::BindingUnreadable {
            path: PathBuf::from("/bindings/backplane/token"),
            error: "Permission denied (os error 13)".to_owned(),
        },
        Message::TokenFileUnreadable {
            path: PathBuf::from("/run/secrets/token"),
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
        Message::LabelLeftOut {
            label: "pod={POD_NAME}".to_owned(),
            variable: "POD_NAME".to_owned(),
        },
        Message::NoUpstream,
        Message::MalformedPort {
            value: "eighty".to_owned(),
        },
    ];
    messages.extend(
        [
            UrlError::NotPlainText,
            UrlError::Scheme,
            UrlError::UserInfo,
            UrlError::Host,
            UrlError::Port,
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
            upstream: "port 8080".to_owned(),
        },
    ]);
    messages
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
