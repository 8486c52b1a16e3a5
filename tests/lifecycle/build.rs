//! Installation, record and cache of the agent, and the build's log of them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use harness::lifecycle::{Build, FrontEnd};
use harness::release_server::{Answer, Authority, ReleaseServer, Request};
use harness::{ARCHITECTURE, archive, assert_logs, file, for_each_front_end, sha256};

use crate::fixtures::{PATIENT_AGENT, app, build_by, build_with_agent};
use crate::releases::{CACHED_AGENT_KEPT, OTHER_AGENT, build_from, installed, served};

for_each_front_end! {
    first_build_installs_the_agent_and_records_it,
    secrets_are_in_no_log_and_no_file,
    pinned_rebuild_makes_no_request,
    pin_that_changed_is_never_served_from_the_cache,
    unchanged_release_is_kept_by_a_conditional_request,
    changed_release_is_installed_and_logged,
    other_source_is_never_replaced_by_the_cache,
    damaged_cache_is_replaced_and_named,
    lost_cache_is_a_first_build,
    agent_that_is_optional_may_be_missing,
}

/// Our part of the log.
fn ours(front_end: FrontEnd, log: &str) -> &str {
    let heading = match front_end {
        FrontEnd::Cnb => "## Backplane\n",
        FrontEnd::Classic => "-----> Backplane\n",
    };
    log.split_once(heading).expect("our heading").1
}

fn conditional(requests: &[Request]) -> Vec<Option<&str>> {
    requests
        .iter()
        .map(|request| request.header("If-None-Match"))
        .collect()
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
    assert_eq!(
        fs::read_link(layer.join("libexec/backplane-status")).unwrap(),
        Path::new("../exec.d/launch")
    );

    assert_eq!(image.recorded_source(), Some(url));
    assert_eq!(image.recorded_checksum(), Some(sum));
}

fn secrets_are_in_no_log_and_no_file(front_end: FrontEnd) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [file(PATIENT_AGENT.as_bytes())]);
    let url = format!(
        "https://us3r:s3cret@{}/agent?key=s3cret",
        server.authority()
    );
    let build = build_from(front_end, &server, &authority).env("BACKPLANE_AGENT_URL", url);
    let image = build.run();
    assert_eq!(
        server.take_requests()[0].line,
        "GET /agent?key=s3cret HTTP/1.1"
    );
    assert!(
        !image.log.contains("s3cret") && !image.log.contains("us3r"),
        "{}",
        image.log
    );
    // The harness sets a token for the build, which some users do.
    let secrets = ["s3cret", "us3r", "token-at-build"];
    for directory in image.written() {
        assert_no_file_contains(&directory, &secrets);
    }

    // Nor when it fails, with a cached agent or without.
    server.will_answer([Answer::status(404)]);
    let image = image.rebuild();
    assert_logs(&image.log, CACHED_AGENT_KEPT);
    let elsewhere = format!(
        "https://us3r:s3cret@{}/other?key=s3cret",
        server.authority()
    );
    let build = image.restored().env("BACKPLANE_AGENT_URL", elsewhere);
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
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_file_contains(&path, secrets);
            continue;
        }
        let content = fs::read(&path).unwrap();
        for secret in secrets {
            let found = content
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
    }
}

fn pinned_rebuild_makes_no_request(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let server = ReleaseServer::http([file(&content)]);
    let image = Build::by(front_end, app())
        .env("BACKPLANE_AGENT_URL", server.url("/agent.tgz"))
        .env("BACKPLANE_AGENT_SHA256", sha256(&content))
        .run();
    assert!(!image.log.contains("isn't pinned"), "{}", image.log);
    assert_eq!(server.take_requests().len(), 1);
    let rebuilt = image.rebuild();
    assert_logs(
        &rebuilt.log,
        &format!("has the pinned checksum {}", sha256(&content)),
    );
    assert_eq!(installed(&rebuilt), PATIENT_AGENT);
    // From any source.
    let build = rebuilt
        .restored()
        .env("BACKPLANE_AGENT_URL", server.url("/elsewhere"));
    let rebuilt = build.run();
    assert_eq!(rebuilt.recorded_checksum(), Some(sha256(&content)));
    assert!(server.take_requests().is_empty());
}

fn pin_that_changed_is_never_served_from_the_cache(front_end: FrontEnd) {
    let (content, other) = (archive(PATIENT_AGENT), archive(OTHER_AGENT));
    let (server, build) = served(front_end, &content);
    let image = build.env("BACKPLANE_AGENT_SHA256", sha256(&content)).run();

    let repinned = image
        .restored()
        .env("BACKPLANE_AGENT_SHA256", sha256(&other));
    server.forget_requests();
    let (log, build) = repinned.run_to_failure();
    assert_eq!(server.take_requests().len(), 1);
    assert_logs(&log, "Error: backplane/checksum");
    assert_logs(&log, &format!("expected {}", sha256(&other)));
    assert_logs(&log, &format!("actual   {}", sha256(&content)));

    server.will_answer([file(b"<!DOCTYPE html>Please log in")]);
    let (log, build) = build.run_to_failure();
    assert_logs(&log, "(text/html), 28 B");

    server.will_answer([file(&other)]);
    let image = build.run();
    assert_logs(&image.log, "the pinned checksum has changed");
    assert_eq!(installed(&image), OTHER_AGENT);
}

fn unchanged_release_is_kept_by_a_conditional_request(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let (server, build) = served(front_end, &content);
    let image = build.run();
    assert_eq!(conditional(&server.take_requests()), [None]);
    let rebuilt = image.rebuild();
    assert_logs(&rebuilt.log, "Using the cached agent: it is unchanged");
    assert!(!rebuilt.log.contains("isn't pinned"), "{}", rebuilt.log);
    let requests = server.take_requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].header("If-None-Match").is_some());
    assert_eq!(rebuilt.recorded_checksum(), Some(sha256(&content)));

    // A server without conditional requests sends all of it.
    server.will_answer([Answer::chunked(&content)]);
    let rebuilt = rebuilt.rebuild();
    assert_logs(&rebuilt.log, "the download has the same checksum");
    assert!(!rebuilt.log.contains("isn't pinned"), "{}", rebuilt.log);
}

fn changed_release_is_installed_and_logged(front_end: FrontEnd) {
    let (content, other) = (archive(PATIENT_AGENT), archive(OTHER_AGENT));
    let (server, build) = served(front_end, &content);
    let image = build.run();
    server.will_answer([file(&other)]);
    let rebuilt = image.rebuild();
    assert_logs(
        &rebuilt.log,
        &format!("changed {} → {}", sha256(&content), sha256(&other)),
    );
    assert_logs(
        &rebuilt.log,
        &format!("BACKPLANE_AGENT_SHA256={}", sha256(&other)),
    );
    assert_eq!(installed(&rebuilt), OTHER_AGENT);
    assert_eq!(rebuilt.recorded_checksum(), Some(sha256(&other)));
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

fn damaged_cache_is_replaced_and_named(front_end: FrontEnd) {
    let build = build_by(front_end, PATIENT_AGENT);
    let agent = build.kept_agent().join("libexec/backplane");
    let record = build.kept_record();
    // The other files are our programs, which the other front end does not cache.
    let (unreadable, files) = match front_end {
        FrontEnd::Cnb => ("the cached agent's description", 4),
        FrontEnd::Classic => ("metadata is unreadable", 1),
    };
    let edit = |from: &str, to: &str| {
        let text = fs::read_to_string(&record).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&record, text.replace(from, to)).unwrap();
    };
    let damages: [(&str, &dyn Fn()); 5] = [
        ("altered cached files: backplane", &|| {
            fs::write(&agent, "#!/bin/sh\nexec evil\n").unwrap();
        }),
        ("unknown cached files: extra", &|| {
            fs::write(agent.with_file_name("extra"), "extra").unwrap();
        }),
        ("the installer has changed from 0 to 1", &|| {
            edit("installer = \"1\"", "installer = \"0\"");
        }),
        ("metadata is unreadable", &|| {
            edit("installer = \"1\"", "installer = \"1\"\nadded_later = true");
        }),
        (unreadable, &|| fs::write(&record, "[half a ta").unwrap()),
    ];
    let mut image = build.run();
    for (reason, damage) in damages {
        let restored = image.restored();
        damage();
        image = restored.run();
        assert_logs(&image.log, reason);
        assert_eq!(installed(&image), PATIENT_AGENT, "{reason}");
        let names = fs::read_dir(agent.parent().unwrap()).unwrap().count();
        assert_eq!(names, files, "{reason}");
    }
}

fn lost_cache_is_a_first_build(front_end: FrontEnd) {
    let image = build_by(front_end, PATIENT_AGENT).run();
    // The files without their record, and the record without its files.
    let restored = image.restored();
    fs::remove_file(restored.kept_record()).unwrap();
    let image = restored.run();
    assert_logs(&image.log, "no agent is cached");
    let restored = image.restored();
    let files = match front_end {
        FrontEnd::Cnb => restored.kept_agent(),
        FrontEnd::Classic => restored.kept_agent().join("libexec"),
    };
    fs::remove_dir_all(files).unwrap();
    let image = restored.run();
    assert_eq!(installed(&image), PATIENT_AGENT);
}

#[test]
fn launch_program_is_rewritten_at_every_build() {
    let image = build_with_agent(app(), PATIENT_AGENT).run();
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
