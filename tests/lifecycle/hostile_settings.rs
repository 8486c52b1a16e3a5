//! Variables that hold secrets, terminal controls or bytes that are no text: what a build shows of them, and what it bears.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;

use harness::lifecycle::{Build, BuildProgram, FrontEnd};
use harness::{assert_says, for_each_front_end};

use crate::fixtures::{PATIENT_AGENT, app, build_by};
use crate::releases::installed;

for_each_front_end! {
    secrets_of_urls_are_never_shown,
    recorded_source_has_no_secret,
    control_characters_of_a_name_are_escaped,
    bytes_that_are_no_text_in_a_variable_of_the_app_are_not_our_business,
}

fn secrets_of_urls_are_never_shown(front_end: FrontEnd) {
    // Nothing but the secrets has an S and a 3 side by side.
    for (name, value, expected) in [
        (
            "BACKPLANE_AGENT_URL",
            "https://user:S3cret@mirror.invalid/a\tb?S3cret",
            "settings/agent-url",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "\"https://user:S3cret@mirror.invalid/a\"",
            "settings/agent-url",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "https://user:{S3cret}@mirror.invalid/a",
            "release/unknown-placeholder",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "https://mirror.invalid/a?key={S3cret}",
            "release/unknown-placeholder",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "https://user:S3#cret@mirror.invalid/a",
            "release/malformed-url",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "ftp://user:S3cret@mirror.invalid/a#S3cret",
            "release/unsupported-scheme",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "http://user:1/S3cret@mirror.invalid/a",
            "release/http-without-checksum",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "mirror.invalid/agent.tgz?token=S3cret",
            "download/read",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "user:S3cret@mirror.invalid/agent.tgz",
            "download/read",
        ),
        (
            "BACKPLANE_AGENT_CHANNEL",
            "https://user:S3cret@mirror.invalid/?S3cret",
            "settings/agent-channel",
        ),
        (
            "BACKPLANE_AGENT_SHA256",
            "https://user:S3cret@mirror.invalid/?S3cret",
            "settings/agent-sha256",
        ),
    ] {
        let (log, _) = Build::by(front_end, app())
            .env(name, value)
            .run_to_failure();
        assert_says(&log, &format!("Error: backplane/{expected}"));
        assert!(!log.contains("S3"), "{value}:\n{log}");
    }
    let (log, _) = Build::by(front_end, app())
        .env("BACKPLANE_AGENT_URL", "https://mirror.invalid/agent")
        .env("SSL_CERT_FILE", "https://user:S3cret@proxy.invalid")
        .run_to_failure();
    assert_says(&log, "Error: backplane/download/no-authorities");
    assert!(!log.contains("S3"), "{log}");
    let mut bytes = b"https://user:S3cret@mirror.invalid/\xff?S3cret".to_vec();
    for _ in 0..2 {
        let (log, _) = Build::by(front_end, app())
            .env("BACKPLANE_AGENT_URL", OsString::from_vec(bytes.clone()))
            .run_to_failure();
        assert_says(&log, "Error: backplane/settings/agent-url");
        assert!(!log.contains("S3"), "{log}");
        bytes.insert(0, 0x1b);
    }
}

fn recorded_source_has_no_secret(front_end: FrontEnd) {
    // A path that was meant as a URL, and yet is there.
    let path = "user:S3cret@mirror/agent?key=S3cret";
    let build = Build::by(front_end, app().executable(path, PATIENT_AGENT));
    let image = build.env("BACKPLANE_AGENT_URL", path).run();
    assert_eq!(installed(&image), PATIENT_AGENT);
    let source = image.recorded_source().unwrap();
    assert!(source.starts_with("***@mirror/agent?sha256="), "{source}");
    assert!(!image.log.contains("S3"), "{}", image.log);
    if front_end == FrontEnd::Cnb {
        let directory = image.agent_layer_toml().parent().unwrap().to_owned();
        for file in ["agent.toml", "agent.sbom.cdx.json"] {
            let text = fs::read_to_string(directory.join(file)).unwrap();
            assert!(!text.contains("S3"), "{text}");
        }
    }
    // It is the same source the next time, in spite of what is left out of the record.
    let image = image.rebuild();
    assert_says(&image.log, "the download has the same checksum");
}

fn control_characters_of_a_name_are_escaped(front_end: FrontEnd) {
    let image = build_by(front_end, PATIENT_AGENT)
        .env("BACKPLANE_AGENT_URL\u{1b}[J", "x")
        .env("BACKPLANE_TOKEN\u{202e}\u{9b}", "x")
        .run();
    assert_says(&image.log, r"'BACKPLANE_AGENT_URL\u{1b}[J'");
    assert_says(&image.log, r"'BACKPLANE_TOKEN\u{202e}\u{9b}'");
    assert!(!image.log.contains(['\u{202e}', '\u{9b}']), "{}", image.log);
    assert!(!image.log.contains("\u{1b}[J"), "{}", image.log);
}

fn bytes_that_are_no_text_in_a_variable_of_the_app_are_not_our_business(front_end: FrontEnd) {
    let latin1 = OsString::from_vec(b"caf\xe9".to_vec());
    let image = build_by(front_end, PATIENT_AGENT)
        .env("GREETING", latin1.clone())
        .env("BACKPLANE_FRP_DOMAIN", latin1)
        .run();
    assert_eq!(installed(&image), PATIENT_AGENT);
}

#[test]
fn panic_of_a_library_ends_the_build_as_an_error() {
    // libcnb takes all arguments for text.
    let program = BuildProgram::new(FrontEnd::Cnb);
    let mut command = program.command();
    command
        .arg(OsString::from_vec(b"/layers/caf\xe9".to_vec()))
        .env("RUST_BACKTRACE", "full");
    let (status, log) = BuildProgram::run(command);
    assert_eq!(status.code(), Some(1), "{log}");
    assert_says(&log, "Error: backplane/panic");
    assert!(!log.contains("panicked"), "{log}");
}
