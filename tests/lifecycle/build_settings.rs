//! The settings of a build: malformed ones stop it, and others are harmless.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use harness::lifecycle::{Build, FrontEnd};
use harness::{assert_logs, for_each_front_end};

use crate::fixtures::{PATIENT_AGENT, app, build_with_agent, installed};

for_each_front_end! {
    malformed_settings_stop_the_build_and_show_no_secret,
    variables_of_any_content_are_harmless,
}

fn malformed_settings_stop_the_build_and_show_no_secret(front_end: FrontEnd) {
    for (name, value, id) in [
        ("", "https://u:s3cret@x", "release/unknown-agent"),
        ("_VERSION", "https://u:s3cret@x", "settings/agent-version"),
        ("_URL", "https://x/{version}?s3cret", "release/no-version"),
        ("_URL", "'https://u:s3cret@x/a'", "settings/agent-url"),
        ("_URL", "https://u:s3cret@[x", "release/malformed-url"),
        ("_URL", "ftp://u:s3cret@x/a", "release/unsupported-scheme"),
        ("_URL", "http://s3cret@x/a", "release/http-without-checksum"),
        ("_URL", "https://x?{s3cret}", "release/unknown-placeholder"),
        ("_URL", "../app/agent?s3cret", "release/outside-app"),
        ("_URL", "x.invalid/a?token=s3cret", "download/read"),
        ("_CHANNEL", "https://u:s3cret@x", "settings/agent-channel"),
        ("_SHA256", "https://x/?s3cret", "settings/agent-sha256"),
        ("_OPTIONAL", "maybe", "settings/agent-optional"),
    ] {
        let name = format!("BACKPLANE_AGENT{name}");
        let build = Build::by(front_end, app()).env(&name, value);
        let (log, _) = build.run_to_failure();
        assert_logs(&log, &name);
        assert_logs(&log, &format!("Error: backplane/{id}"));
        assert!(!log.contains("s3cret"), "{log}");
    }
}

/// Empty settings count as unset ones. Names that nearly fit are pointed out.
fn variables_of_any_content_are_harmless(front_end: FrontEnd) {
    let latin1 = || OsString::from_vec(b"caf\xe9".to_vec());
    let image = build_with_agent(front_end, app(), PATIENT_AGENT)
        .env("BACKPLANE_AGENT_CHANNEL", "")
        .env("BACKPLANE_AGENT_SHA256", "")
        .env("BACKPLANE_AGENT_OPTIONAL", "")
        .env("GREETING", latin1())
        .env("BACKPLANE_FRP_DOMAIN", latin1())
        .env("BACKPLANE_AGENT_SHA", "0".repeat(64))
        .env("BACKPLANE_AGENT_URL\u{1b}[J", "x")
        .run();
    assert_eq!(installed(&image), PATIENT_AGENT);
    assert_logs(&image.log, "'BACKPLANE_AGENT_SHA256', rename it");
    assert_logs(&image.log, r"'BACKPLANE_AGENT_URL\u{1b}[J'");
    assert!(!image.log.contains("\u{1b}[J"), "{}", image.log);
}
