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
                Message::TestRun => "test run",
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

fn messages() -> Vec<Message> {
    let mut messages = vec![
        Message::MalformedSetting {
            name: "BACKPLANE_DRAIN",
            value: "sotp".to_owned(),
            wanted: vec!["keep", "stop"],
            taken: "keep",
        },
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
