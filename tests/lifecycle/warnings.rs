//! What a user reads of settings that are missing or malformed.

use crate::stage::Outcome::{self, Agent, AgentAfter, Silence, Words};
use crate::stage::Start::Type;
use crate::stage::{Stage, assert_lines};
use crate::subjects::boots;
use crate::support::{FrontEnd, for_each_front_end};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

for_each_front_end! {
    missing_settings_are_told_where_they_are_missed,
    malformed_settings_are_told,
    quiet_leaves_warnings_only,
    labels_that_are_not_utf8_are_told,
}

fn missing_settings_are_told_where_they_are_missed(front_end: FrontEnd) {
    const NO_TOKEN: Outcome = Words(&["No agent for this process: it has no token"]);
    const NO_TARGET: Outcome =
        Words(&["No agent for this process: neither PORT nor BACKPLANE_PROXY_URL"]);
    let stage = Stage::new(front_end);
    stage.run(&[
        (Type("web"), &[("BACKPLANE_TOKEN", "")], NO_TOKEN),
        (Type("www"), &[("BACKPLANE_TOKEN", "")], NO_TOKEN),
        (Type("worker"), &[("BACKPLANE_TOKEN", "")], Silence),
        (
            Type("worker"),
            &[
                ("BACKPLANE_TOKEN", ""),
                ("BACKPLANE_PROCESS_ALLOW", "worker"),
            ],
            NO_TOKEN,
        ),
        (Type("web"), &[("PORT", "")], NO_TARGET),
        (Type("www"), &[("PORT", "")], NO_TARGET),
        (Type("worker"), &[("PORT", "")], Silence),
        (
            Type("worker"),
            &[("PORT", ""), ("BACKPLANE_PROCESS_ALLOW", "worker")],
            NO_TARGET,
        ),
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "")],
            Words(&["No agent for this process: it has no labels"]),
        ),
        // The type's own labels will do.
        (
            Type("web"),
            &[("BACKPLANE_LABELS", ""), ("BACKPLANE_LABELS_WEB", "a=b")],
            Agent("a=b"),
        ),
    ]);
}

fn malformed_settings_are_told(front_end: FrontEnd) {
    Stage::new(front_end).run(&[
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "some=label,--flag")],
            Words(&["No agent for this process: the label '--flag' starts with a dash"]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "some=la\u{7}bel")],
            Words(&["No agent for this process: the label 'some=la\\u{7}bel' contains a control character"]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "some=label,shop")],
            AgentAfter(
                "some=label,shop",
                &["The label 'shop' has no value"],
            ),
        ),
        (
            Type("web"),
            &[("PORT", "http")],
            Words(&["No agent for this process: PORT is 'http'"]),
        ),
        (
            // A malformed setting is told to workers too: it is no missing one.
            Type("worker"),
            &[("PORT", "0")],
            Words(&["No agent for this process: PORT is '0'"]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_PROXY_URL", "127.0.0.1:80")],
            Words(&["No agent for this process: BACKPLANE_PROXY_URL is '127.0.0.1:80'"]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_WAIT_FOR_APP", "later"), ("BACKPLANE_DRAIN", "what"), ("BACKPLANE_LOG", "loud")],
            AgentAfter(
                "some=label",
                &[
                    "BACKPLANE_WAIT_FOR_APP is 'later'",
                    "BACKPLANE_DRAIN is 'what'",
                    "BACKPLANE_LOG is 'loud'",
                ],
            ),
        ),
    ]);
}

fn quiet_leaves_warnings_only(front_end: FrontEnd) {
    let stage = Stage::new(front_end);
    let running = stage
        .launch(
            Type("web"),
            &[("BACKPLANE_LOG", "quiet"), ("BACKPLANE_LABELS", "shop")],
        )
        .start();
    running.wait_for_agent();
    assert_lines(&running.our_lines(), &["The label 'shop' has no value"]);
}

fn labels_that_are_not_utf8_are_told(front_end: FrontEnd) {
    let stage = Stage::new(front_end);
    let labels = OsString::from_vec(b"some=\xfflabel".to_vec());
    let launch = stage.launch(Type("web"), &[]);
    assert_lines(
        &boots(launch.env("BACKPLANE_LABELS", labels)),
        &["No agent for this process: the labels 'some=\u{fffd}label' are not valid UTF-8"],
    );
}
