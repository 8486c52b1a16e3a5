//! Builds that are killed, short of disk or memory, or panic. The build program runs alone here.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use harness::lifecycle::{BuildProgram, FrontEnd};
use harness::release_server::ReleaseServer;
use harness::{assert_logs, file, for_each_front_end, sha256, soak_or};
use sha2::{Digest, Sha256};

for_each_front_end! {
    build_after_a_killed_one_is_whole,
    full_disk_stops_the_build_and_keeps_the_cached_agent,
    memory_does_not_grow_with_the_archive,
}

/// An agent of this size that does not compress: a script with a comment, different for each
/// number.
fn large_agent(number: u8, kilobytes: usize) -> Vec<u8> {
    let mut agent = b"#!/bin/sh\nexec sleep 1000\n#".to_vec();
    let mut state = [number; 32];
    while agent.len() < kilobytes * 1024 {
        state = Sha256::digest(state).into();
        agent.extend(hex::encode(state).into_bytes());
    }
    agent
}

fn archive(content: impl Read, length: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(length);
    tar.append_data(&mut header, "backplane", content).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

fn archive_of(agent: &[u8]) -> Vec<u8> {
    archive(agent, agent.len() as u64)
}

/// Makes the next builds those of one archive, pinned, as the server is not encrypted.
fn pin(program: &BuildProgram, server: &ReleaseServer, archive: &[u8]) {
    program.set("BACKPLANE_AGENT_URL", &server.url("/agent.tgz"));
    program.set("BACKPLANE_AGENT_SHA256", &sha256(archive));
}

#[track_caller]
fn run_to_success(command: Command) -> String {
    let (status, log) = BuildProgram::run(command);
    assert!(status.success(), "{log}");
    log
}

fn build_after_a_killed_one_is_whole(front_end: FrontEnd) {
    let (old, new) = (large_agent(1, 2048), large_agent(2, 2048));
    let (old_archive, new_archive) = (archive_of(&old), archive_of(&new));
    let server = ReleaseServer::http([file(&old_archive)]);
    let duration = {
        let program = BuildProgram::new(front_end);
        let start = Instant::now();
        pin(&program, &server, &old_archive);
        run_to_success(program.command());
        start.elapsed()
    };
    let points = soak_or(120, 12);
    for point in 0..points {
        let program = BuildProgram::new(front_end);
        server.will_answer([file(&old_archive)]);
        let has_cache = point % 2 == 1;
        if has_cache {
            pin(&program, &server, &old_archive);
            run_to_success(program.command());
            program.restore();
        }
        server.will_answer([file(&new_archive)]);
        pin(&program, &server, &new_archive);
        let mut victim = program
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Spread over the whole build, wherever that is in it.
        std::thread::sleep(duration * point / points);
        victim.kill().unwrap();
        victim.wait().unwrap();

        program.restore();
        let log = run_to_success(program.command());
        let installed = fs::read(&program.installed).unwrap();
        assert!(installed == new, "after a kill at point {point}:\n{log}");
        let kept = fs::read(&program.kept).unwrap();
        assert!(kept == new, "{point}: the old agent is kept");
        program.assert_nothing_is_left();
        // And it is whole: nothing is fetched again.
        program.restore();
        server.forget_requests();
        run_to_success(program.command());
        assert!(server.take_requests().is_empty());
    }
}

fn full_disk_stops_the_build_and_keeps_the_cached_agent(front_end: FrontEnd) {
    let (old, new) = (large_agent(1, 100), large_agent(2, 2048));
    let (old_archive, new_archive) = (archive_of(&old), archive_of(&new));
    let server = ReleaseServer::http([file(&old_archive)]);
    let program = BuildProgram::new(front_end);
    pin(&program, &server, &old_archive);
    run_to_success(program.command());
    program.restore();

    server.will_answer([file(&new_archive)]);
    // Files may have a megabyte (2048 times 512 bytes); the signal for more of it is off, so that
    // writing fails instead.
    let limited = [
        "/bin/sh",
        "-c",
        "trap '' XFSZ; ulimit -f 2048; exec \"$@\"",
        "limit",
    ];
    pin(&program, &server, &new_archive);
    let (status, log) = BuildProgram::run(program.command_under(&limited));
    assert!(!status.success(), "{log}");
    assert_logs(&log, "Error: backplane/download/write");
    assert_logs(&log, "free disk space");
    assert!(fs::read(&program.kept).unwrap() == old);

    program.restore();
    server.forget_requests();
    pin(&program, &server, &old_archive);
    let log = run_to_success(program.command());
    assert_logs(&log, "Using the cached agent");
    assert!(server.take_requests().is_empty());
}

fn memory_does_not_grow_with_the_archive(front_end: FrontEnd) {
    const MEGABYTE: u64 = 1 << 20;
    // All the program may map: its own file and stack, and far less than what is unpacked.
    let limited = ["/bin/sh", "-c", "ulimit -v 32768; exec \"$@\"", "limit"];
    let length = soak_or(1024, 100) * MEGABYTE;
    let agent = io::Cursor::new(b"#!/bin/sh\n").chain(io::repeat(0).take(length));
    let large = archive(agent, length);
    let server = ReleaseServer::http([file(&large)]);
    let program = BuildProgram::new(front_end);
    pin(&program, &server, &large);
    run_to_success(program.command_under(&limited));
    assert_eq!(fs::metadata(&program.installed).unwrap().len(), length);
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
    assert_logs(&log, "Error: backplane/panic");
    assert!(!log.contains("panicked"), "{log}");
}
