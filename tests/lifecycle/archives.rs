//! What archivers, Git and editors do to an agent on its way into an image.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use harness::lifecycle::{Build, FrontEnd, Image};
use harness::release_server::{Answer, Authority, ReleaseServer};
use harness::{assert_says, file, for_each_front_end, sha256};

use crate::fixtures::{PATIENT_AGENT, app};
use crate::releases::{CACHED_AGENT_KEPT, build_from};
use crate::sources::start_of_a_program;

for_each_front_end! {
    what_gnu_tar_packs_is_installed_byte_for_byte,
    half_a_program_never_replaces_a_cached_agent,
    download_of_unknown_length_has_to_say_where_it_ends,
    every_form_of_a_gzip_file_is_a_source,
    mangled_vendored_file_is_named_with_its_cure,
    pinned_download_of_something_else_is_named,
}

fn tar(directory: &Path, options: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(options)
        .args(["-cf", "-", "dist"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{options:?}");
    output.stdout
}

fn zeros(count: usize) -> Vec<u8> {
    vec![0; count]
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn installed(image: &Image, name: &str) -> Vec<u8> {
    fs::read(image.agent_layer().join("libexec").join(name)).unwrap()
}

/// A program that is whole: its only segment is the file.
fn program() -> Vec<u8> {
    let mut program = start_of_a_program();
    let length = u16::try_from(program.len()).unwrap().to_le_bytes();
    program[32] = 64;
    program[54..58].copy_from_slice(&[56, 0, 1, 0]);
    program[64..120].fill(0);
    program[64] = 1;
    program[96..98].copy_from_slice(&length);
    program
}

fn what_gnu_tar_packs_is_installed_byte_for_byte(front_end: FrontEnd) {
    let directory = tempfile::tempdir().unwrap();
    let dist = directory.path().join("dist");
    fs::create_dir(&dist).unwrap();
    let with_hole = [PATIENT_AGENT.as_bytes(), &zeros(100_000), b"\n# end\n"].concat();
    for (name, content) in [
        ("backplane", &with_hole[..]),
        ("frpc", &program()),
        ("hole", &zeros(50_000)),
    ] {
        fs::write(dist.join(name), content).unwrap();
        fs::set_permissions(dist.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::hard_link(dist.join("frpc"), dist.join("tunnel")).unwrap();
    std::os::unix::fs::symlink("frpc", dist.join("latest")).unwrap();
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::status(404)]);
    for options in [
        &["--hole-detection=raw", "--format=gnu"][..],
        &["--hole-detection=raw", "--format=posix"],
        &["--format=v7"],
        &["--format=gnu", "--label=release"],
    ] {
        server.will_answer([file(&tar(directory.path(), options))]);
        let image = build_from(front_end, &server, &authority).run();
        assert_eq!(installed(&image, "backplane"), with_hole, "{options:?}");
        assert_eq!(installed(&image, "frpc"), program());
        assert_eq!(installed(&image, "tunnel"), program());
        assert_eq!(installed(&image, "hole"), zeros(50_000));
        let mode = |name| {
            let path = image.agent_layer().join("libexec").join(name);
            fs::metadata(path).unwrap().permissions().mode() & 0o7777
        };
        assert_eq!(["backplane", "frpc", "tunnel"].map(mode), [0o755; 3]);
        assert_eq!(mode("hole"), 0o644);
        assert_says(&image.log, "Left out latest");
    }
}

fn half_a_program_never_replaces_a_cached_agent(front_end: FrontEnd) {
    let whole = program();
    let half = &whole[..whole.len() / 2];
    let without_length = [b"HTTP/1.1 200 OK\r\n\r\n", half].concat();
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [file(half)]);
    let (log, build) = build_from(front_end, &server, &authority).run_to_failure();
    assert_says(&log, "Error: backplane/archive/incomplete-program");
    server.will_answer([file(&whole)]);
    let mut image = build.run();
    for answer in [file(half), file(&gzip(half)), Answer::Raw(without_length)] {
        server.will_answer([answer]);
        image = image.rebuild();
        assert_says(&image.log, CACHED_AGENT_KEPT);
        assert_eq!(installed(&image, "backplane"), whole);
    }
}

fn download_of_unknown_length_has_to_say_where_it_ends(front_end: FrontEnd) {
    let without_length =
        |content: &[u8]| Answer::Raw([b"HTTP/1.1 200 OK\r\n\r\n", content].concat());
    let agent = PATIENT_AGENT.as_bytes();
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [without_length(agent)]);
    let build = build_from(front_end, &server, &authority);
    let (log, build) = build.run_to_failure();
    assert_says(&log, "Error: backplane/archive/unproven");
    let (log, build) = build
        .env("BACKPLANE_AGENT_OPTIONAL", "true")
        .run()
        .restored()
        .env("BACKPLANE_AGENT_OPTIONAL", "false")
        .run_to_failure();
    assert_says(&log, "Error: backplane/archive/unproven");
    server.will_answer([without_length(&gzip(agent))]);
    let image = build.run();
    assert_eq!(installed(&image, "backplane"), agent);
    server.will_answer([without_length(agent)]);
    let image = image.rebuild();
    assert_says(&image.log, CACHED_AGENT_KEPT);
    let pinned = image
        .restored()
        .env("BACKPLANE_AGENT_SHA256", sha256(agent))
        .run();
    assert_eq!(installed(&pinned, "backplane"), agent);
}

fn every_form_of_a_gzip_file_is_a_source(front_end: FrontEnd) {
    let agent = PATIENT_AGENT.as_bytes();
    let (first, second) = agent.split_at(10);
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::status(404)]);
    for content in [
        gzip(agent),
        gzip(&gzip(agent)),
        [gzip(first), gzip(second)].concat(),
        [gzip(agent), vec![0; 512]].concat(),
    ] {
        server.will_answer([file(&content)]);
        let image = build_from(front_end, &server, &authority).run();
        assert_eq!(installed(&image, "backplane"), agent);
    }
    server.will_answer([file(&gzip(b"Too Many Requests"))]);
    let (log, _) = build_from(front_end, &server, &authority).run_to_failure();
    assert_says(&log, "gzip content");
    assert_says(&log, "Error: backplane/archive/not-an-agent");
}

const LFS_POINTER: &str =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";

fn mangled_vendored_file_is_named_with_its_cure(front_end: FrontEnd) {
    let crlf = PATIENT_AGENT.replace('\n', "\r\n");
    let converted = fs::read("/bin/sh").unwrap();
    let converted = converted.split(|byte| *byte == b'\n').collect::<Vec<_>>();
    let converted = converted.join(&b"\r\n"[..]);
    for (content, id, cure) in [
        (crlf.into_bytes(), "script", "sed -i 's/\\r$//' backplane"),
        (
            format!("\u{feff}{PATIENT_AGENT}").into_bytes(),
            "script",
            "byte-order mark (BOM)",
        ),
        (LFS_POINTER.into(), "lfs-pointer", "Run 'git lfs pull'"),
        (converted, "incomplete-program", ".gitattributes"),
        (
            program()[..999].to_vec(),
            "incomplete-program",
            "Commit the file again",
        ),
        (
            gzip(b"x")[..15].to_vec(),
            "damaged",
            "Commit the file again",
        ),
        (
            b"Not Found".to_vec(),
            "not-an-agent",
            "names the agent's archive",
        ),
    ] {
        let build = Build::by(front_end, app().executable("agent", content));
        let (log, _) = build.env("BACKPLANE_AGENT_URL", "agent").run_to_failure();
        assert_says(&log, &format!("Error: backplane/archive/{id}"));
        assert_says(&log, cure);
        // It would change nothing.
        assert!(!log.contains("BACKPLANE_AGENT_OPTIONAL"), "{log}");
    }
}

fn pinned_download_of_something_else_is_named(front_end: FrontEnd) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::status(404)]);
    for (content, expected) in [
        ("<!DOCTYPE html><p>Please log in", "(text/html), 31 B"),
        (LFS_POINTER, "a Git LFS pointer"),
        (PATIENT_AGENT, "tampered with the file"),
    ] {
        server.will_answer([file(content.as_bytes())]);
        let (log, _) = build_from(front_end, &server, &authority)
            .env("BACKPLANE_AGENT_SHA256", sha256(b"another agent"))
            .run_to_failure();
        assert_says(&log, "Error: backplane/checksum");
        assert_says(&log, expected);
    }
}
