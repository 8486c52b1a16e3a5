//! Rules 6 to 9: what an agent needs to start.

use sidecar::UrlError;

use super::*;

#[test]
fn rule_6_no_token_is_skipped() {
    let no_token = ("BACKPLANE_TOKEN", "");
    assert_eq!(
        with(&[no_token]).skipped(),
        [LogEntry::warning(Message::NoToken)]
    );
    assert_eq!(
        with(&[("BACKPLANE_TOKEN", " \n")]).skipped(),
        [LogEntry::warning(Message::NoToken)]
    );
    assert_eq!(
        with(&[no_token, WORKER]).skipped(),
        [LogEntry::debug(Message::NoToken)]
    );
}

#[test]
fn rule_7_no_labels_is_skipped() {
    let no_labels = ("BACKPLANE_LABELS", "");
    let reason = |variable: &str| Message::NoLabels {
        variable_of_type: variable.to_owned(),
    };
    for changes in [
        &[no_labels][..],
        &[("BACKPLANE_LABELS", " ,")],
        &[no_labels, ("DYNO", "web.1")],
    ] {
        assert_eq!(
            with(changes).skipped(),
            [LogEntry::warning(reason("BACKPLANE_LABELS_WEB"))]
        );
    }
    let notes = with(&[no_labels, WORKER, ("BACKPLANE_LABELS_WEB", "a=b")]).skipped();
    assert_eq!(notes, [LogEntry::debug(reason("BACKPLANE_LABELS_WORKER"))]);
}

#[test]
fn rule_7_labels_are_joined() {
    let of_type = ("BACKPLANE_LABELS_WEB", "tier=front");
    for (changes, expected) in [
        (&[][..], "app=shop"),
        (&[of_type], "app=shop,tier=front"),
        (
            &[of_type, ("DYNO", "web.1")],
            "app=shop,tier=front,heroku=true",
        ),
        (&[of_type, ("BACKPLANE_LABELS", "")], "tier=front"),
        (&[("DYNO", "anything")], "app=shop,heroku=true"),
        (&[("BACKPLANE_LABELS_WORKER", "x=y")], "app=shop"),
    ] {
        assert_eq!(with(changes).labels(), expected, "{changes:?}");
    }
    let dashed = [
        ("BACKPLANE_PROCESS_TYPE", "my-web"),
        ("BACKPLANE_LABELS_MY_WEB", "x=y"),
    ];
    assert_eq!(with(&dashed).labels(), "app=shop,x=y");
}

#[test]
fn rule_7_labels_that_an_agent_could_misread_are_warned_of_and_skipped() {
    for (labels, expected) in [
        (
            "a=b,-x",
            Message::LabelStartsWithDash {
                label: "-x".to_owned(),
            },
        ),
        (
            "a=\u{7}",
            Message::LabelWithControlCharacter {
                label: "a=\u{7}".to_owned(),
            },
        ),
    ] {
        for process_type in ["web", "worker"] {
            for variable in ["BACKPLANE_LABELS", &labels::variable_of_type(process_type)] {
                let case = with(&[("BACKPLANE_PROCESS_TYPE", process_type), (variable, labels)]);
                assert_eq!(case.skipped(), [LogEntry::warning(expected.clone())]);
            }
        }
    }
    let mut case = with(&[("BACKPLANE_LABELS", "")]);
    case.environment = case.environment.with_bytes(b"BACKPLANE_LABELS", b"\xff=b");
    let label = "\u{fffd}=b".to_owned();
    assert_eq!(
        case.skipped(),
        [LogEntry::warning(Message::LabelNotUtf8 { label })]
    );

    let (plan, notes) = with(&[("BACKPLANE_LABELS", "blue,a=b")]).started();
    assert_eq!(plan.labels, "blue,a=b");
    let label = "blue".to_owned();
    assert_eq!(
        notes,
        [LogEntry::warning(Message::LabelWithoutValue { label })]
    );
}

#[test]
fn rule_8_upstream_is_the_url_else_the_port() {
    for (changes, expected) in [
        (&[][..], "port 8080"),
        (
            &[("BACKPLANE_PROXY_URL", "http://app:1/x")],
            "http://app:1/x",
        ),
        (
            &[("BACKPLANE_PROXY_URL", "https://app"), ("PORT", "nonsense")],
            "https://app",
        ),
        (&[("BACKPLANE_PROXY_URL", ""), ("PORT", "1")], "port 1"),
    ] {
        assert_eq!(with(changes).upstream(), expected, "{changes:?}");
    }
    assert_eq!(
        with(&[("PORT", "")]).skipped(),
        [LogEntry::warning(Message::NoUpstream)]
    );
    assert_eq!(
        with(&[("PORT", ""), WORKER]).skipped(),
        [LogEntry::debug(Message::NoUpstream)]
    );
}

#[test]
fn rule_8_malformed_upstream_is_warned_of_and_skipped_for_every_type() {
    for process_type in ["web", "worker"] {
        let process_type = ("BACKPLANE_PROCESS_TYPE", process_type);
        let value = "80 80".to_owned();
        let notes = with(&[process_type, ("PORT", &value)]).skipped();
        assert_eq!(notes, [LogEntry::warning(Message::MalformedPort { value })]);

        let url = "ftp://me:secret@app".to_owned();
        let notes = with(&[process_type, ("BACKPLANE_PROXY_URL", &url)]).skipped();
        let expected = Message::MalformedProxyUrl {
            url: "ftp://***@app".to_owned(),
            error: UrlError::Scheme,
        };
        assert_eq!(notes, [LogEntry::warning(expected)]);
    }
}

#[test]
fn rule_9_no_installed_agent_is_skipped() {
    let missing = |changes| Case {
        agent_is_installed: false,
        ..with(changes)
    };
    let path = PathBuf::from("/layers/agent/libexec/backplane");
    let reason = Message::NoAgent { path };
    assert_eq!(missing(&[]).skipped(), [LogEntry::warning(reason.clone())]);
    assert_eq!(missing(&[WORKER]).skipped(), [LogEntry::debug(reason)]);
    let nowhere = Case {
        agent: None,
        ..with(&[])
    };
    assert_eq!(
        nowhere.skipped(),
        [LogEntry::warning(Message::UnknownLayer)]
    );
}

#[test]
fn placeholders_in_labels_are_variables_of_the_app_and_the_process_type() {
    let labels = |labels| ("BACKPLANE_LABELS", labels);
    let case = with(&[
        labels("pod={POD_NAME},type={BACKPLANE_PROCESS_TYPE}"),
        ("POD_NAME", "shop-1"),
    ]);
    assert_eq!(case.labels(), "pod=shop-1,type=web");

    let (plan, log) = with(&[labels("app=shop,pod={POD_NAME},t={BACKPLANE_TOKEN}")]).started();
    assert_eq!(plan.labels, "app=shop");
    let left_out = [
        ("pod={POD_NAME}", "POD_NAME"),
        ("t={BACKPLANE_TOKEN}", "BACKPLANE_TOKEN"),
    ];
    let expected = left_out.map(|(label, variable)| {
        let (label, variable) = (label.to_owned(), variable.to_owned());
        LogEntry::warning(Message::LabelLeftOut { label, variable })
    });
    assert_eq!(log, expected);

    let log = with(&[labels("pod={POD_NAME}")]).skipped();
    assert!(
        matches!(log[0].message, Message::LabelLeftOut { .. }),
        "{log:?}"
    );
    assert!(
        matches!(log[1].message, Message::NoLabels { .. }),
        "{log:?}"
    );
}
