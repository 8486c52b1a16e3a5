//! Sources of an agent, and faults of a source.

use std::fs;

use harness::lifecycle::{Build, FrontEnd};
use harness::release_server::{Answer, Authority, ReleaseServer, SocksServer};
use harness::{ARCHITECTURE, archive, assert_logs, file, for_each_front_end, sha256};

use crate::fixtures::{PATIENT_AGENT, app, build_by};
use crate::releases::{CACHED_AGENT_KEPT, installed, served};

for_each_front_end! {
    faulty_source_does_not_stop_a_rebuild,
    faulty_source_stops_a_first_build_with_advice,
    short_fault_is_retried_and_a_redirect_followed,
    download_of_unknown_length_has_to_prove_its_end,
    server_of_an_unknown_authority_is_refused_with_advice,
    redirect_to_an_unencrypted_server_stops_the_build,
    proxy_of_the_platform_is_used,
    socks_proxy_is_used_and_its_fault_does_not_cost_a_cached_agent,
    sources_that_need_no_server,
    vendored_file_that_is_no_agent_is_named_with_its_cure,
}

/// An answer whose end is the end of the connection.
fn without_length(content: &[u8]) -> Answer {
    Answer::Raw([b"HTTP/1.1 200 OK\r\n\r\n", content].concat())
}

/// An answer whose header announces half of what follows.
fn with_wrong_length(content: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        content.len() / 2
    );
    Answer::Raw([head.as_bytes(), content].concat())
}

fn faulty_source_does_not_stop_a_rebuild(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let (server, build) = served(front_end, &content);
    let mut image = build.run();
    for (fault, reason) in [
        (Answer::status(404), "status 404"),
        (file(b"<!DOCTYPE html>Please log in"), "text/html"),
        (file(&content[..content.len() / 2]), "truncated or damaged"),
        (with_wrong_length(&content), "truncated or damaged"),
        (without_length(b"#!/bin/sh\n"), "incomplete"),
        (file(b""), "it is empty"),
    ] {
        server.will_answer([fault]);
        image = image.rebuild();
        assert_logs(&image.log, CACHED_AGENT_KEPT);
        assert_logs(&image.log, reason);
        assert_eq!(installed(&image), PATIENT_AGENT);
        assert_eq!(image.recorded_checksum(), Some(sha256(&content)));
    }
}

fn faulty_source_stops_a_first_build_with_advice(front_end: FrontEnd) {
    let (server, mut build) = served(front_end, b"");
    let url = server.url(&format!("/stable-linux-{ARCHITECTURE}.tgz"));
    let rate_limit = Answer::status(429).header("Retry-After", "0");
    let page = file(b"<!DOCTYPE html>Please log in");
    for (fault, requests, reason, id) in [
        (Answer::status(404), 1, "status 404", "download/not-found"),
        (rate_limit, 4, "status 429", "download/status"),
        (page, 1, "text/html", "archive/not-an-agent"),
    ] {
        server.will_answer([fault]);
        let (log, failed) = build.run_to_failure();
        build = failed;
        for expected in [&url, reason, &format!("Error: backplane/{id}")] {
            assert_logs(&log, expected);
        }
        assert_eq!(server.take_requests().len(), requests, "{id}");
        assert!(!build.kept_agent().join("libexec").exists());
        assert!(!build.agent_layer().join("libexec").exists());
    }
}

fn short_fault_is_retried_and_a_redirect_followed(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let (server, build) = served(front_end, &content);
    server.will_answer([
        Answer::status(503).header("Retry-After", "0"),
        Answer::cut(&content),
        // Not encoded, as some servers send it.
        Answer::redirect("/ä b.tgz?signature=s3cret"),
        file(&content),
    ]);
    let image = build.run();
    assert_logs(&image.log, "status 503");
    assert!(!image.log.contains("s3cret"), "{}", image.log);
    let requests = server.take_requests();
    assert_eq!(requests.len(), 4);
    let line = "GET /%C3%A4%20b.tgz?signature=s3cret HTTP/1.1";
    assert_eq!(requests[3].line, line);
    assert_eq!(installed(&image), PATIENT_AGENT);
}

/// A script has no end of its own, unless it is compressed or pinned.
fn download_of_unknown_length_has_to_prove_its_end(front_end: FrontEnd) {
    let agent = PATIENT_AGENT.as_bytes();
    let (server, build) = served(front_end, b"");
    server.will_answer([without_length(agent)]);
    let (log, build) = build.run_to_failure();
    assert_logs(&log, "Error: backplane/archive/unproven");
    server.will_answer([without_length(&archive(PATIENT_AGENT))]);
    let image = build.run();
    server.will_answer([without_length(agent)]);
    let build = image.restored();
    let image = build.env("BACKPLANE_AGENT_SHA256", sha256(agent)).run();
    assert_eq!(image.recorded_checksum(), Some(sha256(agent)));
    assert_eq!(installed(&image), PATIENT_AGENT);
}

fn server_of_an_unknown_authority_is_refused_with_advice(front_end: FrontEnd) {
    let (_server, build) = served(front_end, &archive(PATIENT_AGENT));
    let other = app().file("ca.pem", Authority::new().pem());
    let (log, mut build) = build.app(other).run_to_failure();
    assert_logs(&log, "Error: backplane/download/tls");
    assert_logs(&log, "SSL_CERT_FILE=");
    for file in ["/nowhere/ca.pem", "https://user:s3cret@mirror.invalid"] {
        let (log, failed) = build.env("SSL_CERT_FILE", file).run_to_failure();
        build = failed;
        assert_logs(&log, "Error: backplane/download/no-authorities");
        assert_logs(
            &log,
            &format!("SSL_CERT_FILE={}", file.replace("user:s3cret", "***")),
        );
        assert!(!log.contains("s3cret"), "{log}");
    }
}

fn redirect_to_an_unencrypted_server_stops_the_build(front_end: FrontEnd) {
    let plain = ReleaseServer::http([file(PATIENT_AGENT.as_bytes())]);
    let (server, build) = served(front_end, b"");
    server.will_answer([Answer::redirect(&plain.url("/agent"))]);
    let (log, _) = build.run_to_failure();
    assert_logs(&log, "Error: backplane/download/insecure-redirect");
    assert!(plain.take_requests().is_empty());
}

fn proxy_of_the_platform_is_used(front_end: FrontEnd) {
    let proxy = ReleaseServer::http([Answer::status(403)]);
    let (server, build) = served(front_end, &archive(PATIENT_AGENT));
    let build = build.env("HTTPS_PROXY", proxy.url("/"));
    let (log, build) = build.run_to_failure();
    assert_logs(&log, "Error: backplane/download/proxy-refused");
    let connect = format!("CONNECT {} HTTP/1.1", server.authority());
    assert_eq!(proxy.take_requests()[0].line, connect);
    let around = build.env("NO_PROXY", "localhost").run();
    assert_eq!(installed(&around), PATIENT_AGENT);
    assert!(proxy.take_requests().is_empty());
}

fn socks_proxy_is_used_and_its_fault_does_not_cost_a_cached_agent(front_end: FrontEnd) {
    let (server, build) = served(front_end, &archive(PATIENT_AGENT));
    let proxy = SocksServer::start(Some(("user", "s3cret")));
    let url = format!("socks5h://user:s3cret@{}\n", proxy.authority());
    let image = build.env("ALL_PROXY", url).run();
    assert_eq!(proxy.take_requests(), [server.authority()]);
    let unusable = "socks5://user:s3cret@127.0.0.1:0";
    let image = image.restored().env("ALL_PROXY", unusable).run();
    assert_logs(&image.log, CACHED_AGENT_KEPT);
    assert!(!image.log.contains("s3cret"), "{}", image.log);
    assert_eq!(installed(&image), PATIENT_AGENT);
}

#[test]
fn arm64_is_served_like_amd64() {
    // Enough of a program that does not run here: an ELF header without tables.
    let mut program = fs::read("/proc/self/exe").unwrap();
    program.truncate(4096);
    program[32..48].fill(0);
    let [amd64, arm64] = [elf::abi::EM_X86_64, elf::abi::EM_AARCH64].map(|machine| {
        program[18..20].copy_from_slice(&machine.to_le_bytes());
        program.clone()
    });
    let pins = format!("amd64:{},arm64:{}", sha256(&amd64), sha256(&arm64));
    let server = ReleaseServer::http([file(&arm64)]);
    let build = Build::new(app())
        .architecture("arm64")
        .env("BACKPLANE_AGENT_URL", server.url("/{os}-{arch}"))
        .env("BACKPLANE_AGENT_SHA256", pins);
    let image = build.run();
    assert_eq!(server.take_requests()[0].line, "GET /linux-arm64 HTTP/1.1");
    assert_eq!(image.labels()["io.backplane.agent.sha256"], sha256(&arm64));

    // The cache of one platform is of no use to the other.
    server.will_answer([file(&amd64)]);
    let image = image.restored().architecture("amd64").run();
    assert_logs(
        &image.log,
        "the architecture has changed from arm64 to amd64",
    );
    assert_eq!(server.take_requests()[0].line, "GET /linux-amd64 HTTP/1.1");
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

fn vendored_file_that_is_no_agent_is_named_with_its_cure(front_end: FrontEnd) {
    let mut build = build_by(front_end, PATIENT_AGENT);
    let outside = app().link("agent", "/bin/true");
    let script = app().executable("agent", PATIENT_AGENT.replace('\n', "\r\n"));
    for (app, id, cure) in [
        (app(), "download/read", "agent"),
        (outside, "download/outside-app", "agent"),
        (script, "archive/script", r"sed -i 's/\r$//' backplane"),
    ] {
        let (log, failed) = build.app(app).run_to_failure();
        build = failed;
        assert_logs(&log, &format!("Error: backplane/{id}"));
        assert_logs(&log, cure);
        // It would change nothing.
        assert!(!log.contains("BACKPLANE_AGENT_OPTIONAL"), "{log}");
    }
}
