//! What a user reads of settings that are missing or malformed.

use crate::stage::Outcome::{self, Agent, AgentAfter, Silence, Words};
use crate::stage::Start::Type;
use crate::stage::{Stage, with_prefix};
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
    const NO_TOKEN: Outcome = Words(&[
        "No agent for this process: it has no token. Set BACKPLANE_TOKEN, or bind a service of type backplane.",
    ]);
    const NO_TARGET: Outcome = Words(&[
        "No agent for this process: neither PORT nor BACKPLANE_PROXY_URL says where the app listens. \
         Set one, for example BACKPLANE_PROXY_URL=http://127.0.0.1:8080.",
    ]);
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
            Words(&[
                "No agent for this process: it has no labels, so no route could match it. \
                     Set BACKPLANE_LABELS or BACKPLANE_LABELS_WEB, for example to app=shop.",
            ]),
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
            Words(&["No agent for this process: the label '--flag' starts with a dash, and the agent would take it for an option. \
                     Change it in BACKPLANE_LABELS, for example to app=shop."]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "some=la\u{7}bel")],
            Words(&["No agent for this process: the label 'some=la\\u{7}bel' has a control character in it. \
                     Change it in BACKPLANE_LABELS; labels are separated by commas."]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "some=label,shop")],
            AgentAfter(
                "some=label,shop",
                &["The label 'shop' has no value. A route matches key=value; write it so if no request comes through."],
            ),
        ),
        (
            Type("web"),
            &[("PORT", "http")],
            Words(&["No agent for this process: PORT is 'http', but should be a number from 1 to 65535."]),
        ),
        (
            // A malformed setting is told to workers too: it is no missing one.
            Type("worker"),
            &[("PORT", "0")],
            Words(&["No agent for this process: PORT is '0', but should be a number from 1 to 65535."]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_PROXY_URL", "127.0.0.1:80")],
            Words(&["No agent for this process: BACKPLANE_PROXY_URL is '127.0.0.1:80', but it should start with http:// or https://. \
                     Set it, for example, to http://127.0.0.1:8080, or unset it and let PORT tell."]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_WAIT_FOR_APP", "later"), ("BACKPLANE_DRAIN", "what"), ("BACKPLANE_LOG", "loud")],
            AgentAfter(
                "some=label",
                &[
                    "BACKPLANE_WAIT_FOR_APP is 'later', but should be one of true, false, 1, 0, yes, no, on, off. It is taken as true.",
                    "BACKPLANE_DRAIN is 'what', but should be one of keep, stop. It is taken as keep.",
                    "BACKPLANE_LOG is 'loud', but should be one of info, quiet, debug. It is taken as info.",
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
    assert_eq!(
        running.our_lines(),
        with_prefix(&[
            "The label 'shop' has no value. A route matches key=value; write it so if no request comes through."
        ])
    );
}

fn labels_that_are_not_utf8_are_told(front_end: FrontEnd) {
    let stage = Stage::new(front_end);
    let labels = OsString::from_vec(b"some=\xfflabel".to_vec());
    assert_eq!(
        boots(
            stage
                .launch(Type("web"), &[])
                .env("BACKPLANE_LABELS", labels)
        ),
        with_prefix(&[
            "No agent for this process: the labels 'some=\u{fffd}label' are not UTF-8. \
                       Set BACKPLANE_LABELS anew, for example to app=shop."
        ])
    );
}
