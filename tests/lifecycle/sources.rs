//! Where an agent may come from, what a source in trouble does to a build, and settings that name none.

use std::fs;

use harness::lifecycle::{Build, FrontEnd};
use harness::release_server::{Answer, Authority, ReleaseServer};
use harness::{ARCHITECTURE, archive, assert_says, file, for_each_front_end, sha256};

use crate::fixtures::{PATIENT_AGENT, app, build_by};
use crate::releases::{CACHED_AGENT_KEPT, build_from, installed, served};

for_each_front_end! {
    source_in_trouble_does_not_stop_a_rebuild,
    server_that_limits_its_rate_is_not_taken_for_an_agent,
    server_of_an_unknown_authority_is_refused_with_advice,
    source_in_trouble_stops_a_first_build_with_advice,
    short_trouble_is_waited_for,
    sources_that_need_no_server,
    vendored_agent_may_not_come_from_outside_the_app,
    malformed_settings_stop_the_build_and_show_no_password,
    empty_settings_are_unset_ones,
    nearly_right_names_are_pointed_out,
    redirect_to_an_unencrypted_server_stops_the_build,
    proxy_of_the_platform_is_used,
}

fn source_in_trouble_does_not_stop_a_rebuild(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let (server, build) = served(front_end, &content);
    let mut image = build.run();
    for (trouble, reason) in [
        (Answer::status(404), "status 404"),
        (file(b"<!DOCTYPE html>Please log in"), "text/html"),
        (file(&content[..content.len() / 2]), "truncated or damaged"),
        (with_lying_length(&content), "truncated or damaged"),
        (file(b""), "it is empty"),
    ] {
        server.will_answer([trouble]);
        image = image.rebuild();
        assert_says(&image.log, CACHED_AGENT_KEPT);
        assert_says(&image.log, reason);
        assert_eq!(installed(&image), PATIENT_AGENT);
        assert_eq!(image.recorded_checksum(), Some(sha256(&content)));
    }
}

/// An answer whose header announces half of what comes.
fn with_lying_length(content: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        content.len() / 2
    );
    Answer::Raw([head.as_bytes(), content].concat())
}

fn server_that_limits_its_rate_is_not_taken_for_an_agent(front_end: FrontEnd) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::status(429).header("Retry-After", "0")]);
    let (log, build) = build_from(front_end, &server, &authority).run_to_failure();
    assert_says(&log, "status 429");
    assert_says(&log, "Error: backplane/download/status");
    assert_says(&log, "try the build again");
    assert_eq!(server.take_requests().len(), 4);
    assert!(!build.kept_agent().join("libexec").exists());
    assert!(!build.agent_layer().join("libexec").exists());
}

fn server_of_an_unknown_authority_is_refused_with_advice(front_end: FrontEnd) {
    let (_server, build) = served(front_end, &archive(PATIENT_AGENT));
    let stranger = app().file("ca.pem", Authority::new().pem());
    let (log, build) = build.app(stranger).run_to_failure();
    assert_says(&log, "Error: backplane/download/tls");
    assert_says(&log, "SSL_CERT_FILE=");
    let (log, _) = build
        .env("SSL_CERT_FILE", "/nowhere/ca.pem")
        .run_to_failure();
    assert_says(&log, "Error: backplane/download/no-authorities");
    assert_says(&log, "/nowhere/ca.pem");
}

#[test]
fn arm64_is_served_like_amd64() {
    let mut program = start_of_a_program();
    let mut of = |machine: u16| {
        program[18..20].copy_from_slice(&machine.to_le_bytes());
        program.clone()
    };
    let (amd64, arm64) = (of(elf::abi::EM_X86_64), of(elf::abi::EM_AARCH64));
    let pins = format!("amd64:{},arm64:{}", sha256(&amd64), sha256(&arm64));
    let server = ReleaseServer::http([file(&arm64)]);
    let build = Build::new(app())
        .architecture("arm64")
        .env("BACKPLANE_AGENT_URL", server.url("/{os}-{arch}"))
        .env("BACKPLANE_AGENT_SHA256", pins);
    let image = build.run();
    assert_eq!(server.take_requests()[0].line, "GET /linux-arm64 HTTP/1.1");
    assert_eq!(image.labels()["io.backplane.agent.sha256"], sha256(&arm64));

    // The same cache for the other platform is of no use.
    server.will_answer([file(&amd64)]);
    let image = image.restored().architecture("amd64").run();
    assert_says(
        &image.log,
        "the architecture has changed from arm64 to amd64",
    );
    assert_eq!(server.take_requests()[0].line, "GET /linux-amd64 HTTP/1.1");

    let unpinned = format!("amd64:{}", sha256(&amd64));
    let build = image.restored().architecture("arm64");
    let (log, _) = build
        .env("BACKPLANE_AGENT_SHA256", unpinned)
        .run_to_failure();
    assert_says(&log, "Error: backplane/release/no-checksum-for-arch");
}

/// Enough of a program, where nobody runs it: an ELF header that names no tables.
pub(crate) fn start_of_a_program() -> Vec<u8> {
    let mut program = fs::read("/proc/self/exe").unwrap();
    program.truncate(4096);
    program[32..48].fill(0);
    program
}

fn source_in_trouble_stops_a_first_build_with_advice(front_end: FrontEnd) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::status(404)]);
    let (log, build) = build_from(front_end, &server, &authority).run_to_failure();
    assert_says(
        &log,
        &server.url(&format!("/stable-linux-{ARCHITECTURE}.tgz")),
    );
    assert_says(&log, "status 404");
    assert_says(&log, "Error: backplane/download/not-found");
    assert!(!build.kept_agent().join("libexec").exists());
    assert!(!build.agent_layer().join("libexec").exists());

    server.will_answer([file(b"<!DOCTYPE html>Please log in")]);
    let (log, _) = build.run_to_failure();
    assert_says(&log, "text/html");
    assert_says(&log, "Error: backplane/archive/not-an-agent");
}

fn short_trouble_is_waited_for(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let (server, build) = served(front_end, &content);
    server.will_answer([
        Answer::status(503).header("Retry-After", "0"),
        Answer::cut(&content),
        file(&content),
    ]);
    let image = build.run();
    assert_says(&image.log, "status 503");
    assert_eq!(server.take_requests().len(), 3);
    assert_eq!(installed(&image), PATIENT_AGENT);
}

#[test]
fn platform_without_an_archive_has_three_ways_out() {
    let (log, build) = Build::new(app()).architecture("arm64").run_to_failure();
    assert_says(&log, "Error: backplane/release/no-default-archive");
    assert_says(&log, "linux/arm64");
    let image = build
        .app(app().executable("vendor/arm64/backplane", PATIENT_AGENT))
        .env("BACKPLANE_AGENT_URL", "vendor/{arch}/backplane")
        .run();
    assert_eq!(installed(&image), PATIENT_AGENT);
}

fn sources_that_need_no_server(front_end: FrontEnd) {
    let build = build_by(front_end, PATIENT_AGENT);
    let image = build.run();
    assert_eq!(image.recorded_source().as_deref(), Some("agent"));
    let path = image.app_directory().join("agent");
    let url = format!("file://{}", path.display());
    let image = image.restored().env("BACKPLANE_AGENT_URL", &url).run();
    assert_eq!(image.recorded_source(), Some(url));
    assert_eq!(installed(&image), PATIENT_AGENT);
}

fn vendored_agent_may_not_come_from_outside_the_app(front_end: FrontEnd) {
    let build = Build::by(front_end, app().link("agent", "/bin/true"));
    let (log, build) = build.env("BACKPLANE_AGENT_URL", "agent").run_to_failure();
    assert_says(&log, "Error: backplane/download/outside-app");
    let (log, build) = build
        .env("BACKPLANE_AGENT_URL", "../app/agent")
        .run_to_failure();
    assert_says(&log, "Error: backplane/release/outside-app");
    let (log, _) = build.env("BACKPLANE_AGENT_URL", "missing").run_to_failure();
    assert_says(&log, "Error: backplane/download/read");
}

fn malformed_settings_stop_the_build_and_show_no_password(front_end: FrontEnd) {
    for (name, value, expected) in [
        (
            "BACKPLANE_AGENT_CHANNEL",
            "../beta",
            "settings/agent-channel",
        ),
        (
            "BACKPLANE_AGENT_SHA256",
            "e3b0c442",
            "settings/agent-sha256",
        ),
        (
            "BACKPLANE_AGENT_OPTIONAL",
            "maybe",
            "settings/agent-optional",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "https://u:s3cret@[x",
            "release/malformed-url",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "ftp://u:s3cret@x/y",
            "release/unsupported-scheme",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "http://u:s3cret@x/y",
            "release/http-without-checksum",
        ),
        (
            "BACKPLANE_AGENT_URL",
            "https://x/{what}",
            "release/unknown-placeholder",
        ),
    ] {
        let (log, _) = Build::by(front_end, app())
            .env(name, value)
            .run_to_failure();
        assert_says(&log, name);
        assert_says(&log, &format!("Error: backplane/{expected}"));
        assert!(!log.contains("s3cret"), "{log}");
    }
}

fn empty_settings_are_unset_ones(front_end: FrontEnd) {
    let image = build_by(front_end, PATIENT_AGENT)
        .env("BACKPLANE_AGENT_CHANNEL", "")
        .env("BACKPLANE_AGENT_SHA256", "")
        .env("BACKPLANE_AGENT_OPTIONAL", "")
        .run();
    assert_eq!(installed(&image), PATIENT_AGENT);
}

fn nearly_right_names_are_pointed_out(front_end: FrontEnd) {
    let image = build_by(front_end, PATIENT_AGENT)
        .env("BACKPLANE_AGENT_SHA", "0".repeat(64))
        .run();
    assert_says(&image.log, "'BACKPLANE_AGENT_SHA'");
    assert_says(&image.log, "'BACKPLANE_AGENT_SHA256', rename it");
}

fn redirect_to_an_unencrypted_server_stops_the_build(front_end: FrontEnd) {
    let plain = ReleaseServer::http([file(PATIENT_AGENT.as_bytes())]);
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::redirect(&plain.url("/agent"))]);
    let (log, _) = build_from(front_end, &server, &authority).run_to_failure();
    assert_says(&log, "Error: backplane/download/insecure-redirect");
    assert!(plain.take_requests().is_empty());
}

fn proxy_of_the_platform_is_used(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let proxy = ReleaseServer::http([Answer::status(403)]);
    let build = |no_proxy: &str| {
        let (server, build) = served(front_end, &content);
        let build = build
            .env("HTTPS_PROXY", proxy.url("/"))
            .env("NO_PROXY", no_proxy);
        (server, build)
    };
    let (server, through) = build("");
    let (log, _) = through.run_to_failure();
    assert_says(&log, "Error: backplane/download/proxy-refused");
    let requests = proxy.take_requests();
    assert!(
        requests[0]
            .line
            .starts_with(&format!("CONNECT {}", server.authority()))
    );
    let (_server, around) = build("localhost");
    assert_eq!(installed(&around.run()), PATIENT_AGENT);
    assert!(proxy.take_requests().is_empty());
}
