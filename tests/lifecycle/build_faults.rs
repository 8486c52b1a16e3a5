//! Builds that are killed, starved or fed with too much. The build program runs alone here, so that each blow hits it.

use crate::support::{BuildProgram, soak_or};
use backplane_test_server::{Answer, ReleaseServer};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::time::Instant;

/// An agent of some size, whose content does not compress: a script, and a comment that no other number gives.
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

/// A build of one archive, pinned, as the server is not encrypted.
fn pinned(mut command: Command, server: &ReleaseServer, archive: &[u8]) -> Command {
    command
        .env("BACKPLANE_AGENT_URL", server.url("/agent.tgz"))
        .env(
            "BACKPLANE_AGENT_SHA256",
            hex::encode(Sha256::digest(archive)),
        );
    command
}

#[track_caller]
fn run_to_success(command: Command) -> String {
    let (status, log) = BuildProgram::run(command);
    assert!(status.success(), "{log}");
    log
}

/// What the restorer does to the layer's description between two builds.
fn restore(program: &BuildProgram) {
    let description = program.layers().join("agent.toml");
    if let Ok(text) = fs::read_to_string(&description)
        && let Ok(mut table) = text.parse::<toml::Table>()
    {
        table.remove("types");
        fs::write(description, table.to_string()).unwrap();
    }
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn build_killed_anywhere_is_made_good_by_the_next() {
    let (old, new) = (large_agent(1, 2048), large_agent(2, 2048));
    let (old_archive, new_archive) = (archive_of(&old), archive_of(&new));
    let server = ReleaseServer::http([Answer::File(old_archive.clone())]);
    let duration = {
        let program = BuildProgram::new();
        let start = Instant::now();
        run_to_success(pinned(program.command(), &server, &old_archive));
        start.elapsed()
    };
    let points = soak_or(120, 12);
    for point in 0..points {
        let program = BuildProgram::new();
        server.will_answer([Answer::File(old_archive.clone())]);
        let has_cache = point % 2 == 1;
        if has_cache {
            run_to_success(pinned(program.command(), &server, &old_archive));
            restore(&program);
        }
        server.will_answer([Answer::File(new_archive.clone())]);
        let mut victim = pinned(program.command(), &server, &new_archive)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Spread over the whole build, wherever that is in it.
        std::thread::sleep(duration * point / points);
        victim.kill().unwrap();
        victim.wait().unwrap();

        restore(&program);
        let log = run_to_success(pinned(program.command(), &server, &new_archive));
        let installed = fs::read(program.installed()).unwrap();
        assert!(installed == new, "after a kill at point {point}:\n{log}");
        let names = fs::read_dir(program.layers()).unwrap();
        for name in names.map(|entry| entry.unwrap().file_name()) {
            let name = name.to_str().unwrap();
            let is_ours = name == "agent" || name.starts_with("agent.") || name == "launch.toml";
            assert!(is_ours && name != "agent.staging", "{name} is left");
        }
        // And it is whole: nothing is fetched again.
        restore(&program);
        server.forget_requests();
        run_to_success(pinned(program.command(), &server, &new_archive));
        assert!(server.take_requests().is_empty());
    }
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn full_disk_stops_the_build_and_spares_what_is_cached() {
    let (old, new) = (large_agent(1, 100), large_agent(2, 2048));
    let (old_archive, new_archive) = (archive_of(&old), archive_of(&new));
    let server = ReleaseServer::http([Answer::File(old_archive.clone())]);
    let program = BuildProgram::new();
    run_to_success(pinned(program.command(), &server, &old_archive));
    restore(&program);

    server.will_answer([Answer::File(new_archive.clone())]);
    // Files may have a megabyte (2048 times 512 bytes); the signal for more of it is off, so that writing fails instead.
    let limited = [
        "/bin/sh",
        "-c",
        "trap '' XFSZ; ulimit -f 2048; exec \"$@\"",
        "limit",
    ];
    let (status, log) = BuildProgram::run(pinned(
        program.command_under(&limited),
        &server,
        &new_archive,
    ));
    assert!(!status.success(), "{log}");
    assert!(log.contains("the download can't be written"), "{log}");
    assert!(log.contains("has free disk space"), "{log}");
    assert!(fs::read(program.installed()).unwrap() == old);

    restore(&program);
    server.forget_requests();
    let log = run_to_success(pinned(program.command(), &server, &old_archive));
    assert!(log.contains("Using the cached agent"), "{log}");
    assert!(server.take_requests().is_empty());
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn memory_does_not_grow_with_the_archive() {
    const MEGABYTE: u64 = 1 << 20;
    // All the program may map: its own file and stack, and far less than what is unpacked.
    let limited = ["/bin/sh", "-c", "ulimit -v 32768; exec \"$@\"", "limit"];
    let length = soak_or(1024, 100) * MEGABYTE;
    let large = archive(
        io::Cursor::new(b"#!/bin/sh\n").chain(io::repeat(0).take(length)),
        length,
    );
    let server = ReleaseServer::http([Answer::File(large.clone())]);
    let program = BuildProgram::new();
    run_to_success(pinned(program.command_under(&limited), &server, &large));
    assert_eq!(fs::metadata(program.installed()).unwrap().len(), length);
}
