//! Installation, record and cache of the agent, and the build's log of them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use harness::lifecycle::{Build, FrontEnd};
use harness::release_server::{Answer, Authority, ReleaseServer};
use harness::{ARCHITECTURE, archive, assert_logs, file, for_each_front_end, sha256};

use crate::fixtures::{PATIENT_AGENT, app, image_with_agent, installed, paths_below};

for_each_front_end! {
    first_build_installs_the_agent_and_records_it,
    secrets_are_in_no_log_and_no_file,
    other_source_is_never_replaced_by_the_cache,
    agent_that_is_optional_may_be_missing,
    faulty_source_stops_a_first_build_with_advice,
    proxy_of_the_platform_is_used,
}

/// How the warning starts that a build goes on with the cached agent.
const CACHED_AGENT_KEPT: &str = "Using the cached agent because";

/// A build from a server with a certificate of a private authority, which the app brings along.
fn build_from(front_end: FrontEnd, server: &ReleaseServer, authority: &Authority) -> Build {
    let build = Build::by(front_end, app().file("ca.pem", authority.pem()));
    let certificate = build.app_directory().join("ca.pem");
    let url = server.url("/{channel}-{os}-{arch}.tgz");
    let build = build.env("SSL_CERT_FILE", certificate);
    build.env("BACKPLANE_AGENT_URL", url)
}

/// A server of one archive, and a build from it.
fn served(front_end: FrontEnd, content: &[u8]) -> (ReleaseServer, Build) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [file(content)]);
    let build = build_from(front_end, &server, &authority);
    (server, build)
}

/// Our part of the log.
fn ours(front_end: FrontEnd, log: &str) -> &str {
    let heading = match front_end {
        FrontEnd::Cnb => "## Backplane\n",
        FrontEnd::Classic => "-----> Backplane\n",
    };
    log.split_once(heading).expect("our heading").1
}

fn first_build_installs_the_agent_and_records_it(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let (server, build) = served(front_end, &content);
    let image = build.run();

    let architecture = ARCHITECTURE;
    let url = server.url(&format!("/stable-linux-{architecture}.tgz"));
    let sum = sha256(&content);
    let (start, step, mark, end) = match front_end {
        FrontEnd::Cnb => ("\n- Agent\n", "  - ", "! ", "- Done (finished in "),
        FrontEnd::Classic => ("", "       ", " !     ", ""),
    };
    let log = ours(front_end, &image.log);
    let first = format!("{start}{step}Installing the agent: no agent is cached\n");
    assert!(log.starts_with(&first), "{log}");
    for expected in [
        format!("\n{step}Fetching {url} for linux/{architecture}\n"),
        format!("\n{step}Left out latest: links and devices aren't installed\n"),
        format!("\n{step}Installed backplane, tunnel.toml\n\n{mark}The agent isn't pinned\n"),
        format!("\n{mark}BACKPLANE_AGENT_SHA256={sum}\n\n{end}"),
    ] {
        assert!(log.contains(&expected), "«{expected}» is not in:\n{log}");
    }
    assert_eq!(server.take_requests().len(), 1);

    let layer = image.agent_layer();
    let mode = |path: &str| fs::metadata(layer.join(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode("libexec/backplane"), 0o755);
    assert_eq!(mode("libexec/tunnel.toml"), 0o644);
    assert_eq!(mode("exec.d/launch"), 0o755);
    for directory in ["", "libexec", "exec.d"] {
        assert_eq!(mode(directory), 0o755, "{directory}");
    }
    assert_eq!(installed(&image), PATIENT_AGENT);
    // Relative, so that it leads to the same layer wherever that is.
    let status = fs::read_link(layer.join("libexec/backplane-status"));
    assert_eq!(status.unwrap(), Path::new("../exec.d/launch"));

    assert_eq!(image.recorded_source(), Some(url));
    assert_eq!(image.recorded_checksum(), Some(sum));
}

fn secrets_are_in_no_log_and_no_file(front_end: FrontEnd) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [file(PATIENT_AGENT.as_bytes())]);
    let secret_url = |path| {
        format!(
            "https://us3r:s3cret@{}/{path}?key=s3cret",
            server.authority()
        )
    };
    let url = secret_url("agent");
    let build = build_from(front_end, &server, &authority).env("BACKPLANE_AGENT_URL", url);
    let image = build.run();
    let request = &server.take_requests()[0];
    assert_eq!(request.line, "GET /agent?key=s3cret HTTP/1.1");
    // The harness sets a token for the build, which some users do.
    let secrets = ["s3cret", "us3r", "token-at-build"];
    for secret in secrets {
        assert!(!image.log.contains(secret), "{}", image.log);
    }
    for directory in image.written() {
        assert_no_file_contains(&directory, &secrets);
    }

    // Nor when it fails, with a cached agent or without.
    server.will_answer([Answer::status(404)]);
    let image = image.rebuild();
    assert_logs(&image.log, CACHED_AGENT_KEPT);
    let build = image.restored();
    let build = build.env("BACKPLANE_AGENT_URL", secret_url("other"));
    let (log, build) = build.run_to_failure();
    assert_logs(&log, "Error: backplane/download/not-found");
    for secret in secrets {
        assert!(!log.contains(secret), "{log}");
    }
    for directory in build.written() {
        assert_no_file_contains(&directory, &secrets);
    }
}

fn assert_no_file_contains(directory: &Path, secrets: &[&str]) {
    for path in paths_below(directory).iter().filter(|path| path.is_file()) {
        let content = fs::read(path).unwrap();
        for secret in secrets {
            let mut parts = content.windows(secret.len());
            let found = parts.any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
    }
}

fn other_source_is_never_replaced_by_the_cache(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let (server, build) = served(front_end, &content);
    let image = build.run();
    server.will_answer([Answer::status(404)]);
    let moved = image.restored().env("BACKPLANE_AGENT_CHANNEL", "beta");
    let (log, build) = moved.run_to_failure();
    let old = server.url(&format!("/stable-linux-{ARCHITECTURE}.tgz"));
    assert_logs(&log, &format!("the source has changed from {old}"));
    // The cached one was not lost by that.
    server.will_answer([file(&content)]);
    let image = build.env("BACKPLANE_AGENT_CHANNEL", "stable").run();
    assert_logs(&image.log, "Using the cached agent: it is unchanged");
}

#[test]
fn launch_program_is_rewritten_at_every_build() {
    let image = image_with_agent(PATIENT_AGENT);
    let program = image.agent_layer().join("exec.d/launch");
    let current = fs::read(&program).unwrap();
    let description = image.layers().join("backplane_agent/agent.toml");
    let description = fs::read_to_string(description).unwrap();
    assert!(description.contains("build = false"), "{description}");
    let restored = image.restored();
    fs::write(&program, "#!/bin/sh\n# of an old buildpack\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let status = program.with_file_name("../libexec/backplane-status");
    fs::remove_file(&status).unwrap();
    fs::write(&status, "of an old buildpack").unwrap();
    let _image = restored.run();
    assert!(fs::read(&program).unwrap() == current, "launch is old");
    assert!(fs::read(&status).unwrap() == current, "status is old");
    assert_eq!(fs::metadata(&program).unwrap().mode() & 0o7777, 0o755);
}

fn agent_that_is_optional_may_be_missing(front_end: FrontEnd) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::status(404)]);
    let image = build_from(front_end, &server, &authority)
        .env("BACKPLANE_AGENT_OPTIONAL", "true")
        .run();
    assert_logs(&image.log, "There is no Backplane agent in this build");
    assert_logs(&image.log, "status 404");
    assert!(!image.agent_layer().join("libexec/backplane").exists());
    // It logs at launch why there is no agent.
    assert!(image.agent_layer().join("exec.d/launch").exists());
    assert_eq!(image.recorded_source(), None);
    assert_eq!(image.recorded_checksum(), None);

    server.will_answer([file(&archive(PATIENT_AGENT))]);
    let image = image.rebuild();
    assert_logs(&image.log, "no agent is cached");
    assert_eq!(installed(&image), PATIENT_AGENT);
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
