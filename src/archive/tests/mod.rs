//! Downloads in every form, and the builders that other tests of archives share.

mod archivers;
mod dialects;
mod random;
mod refused;

use std::io::Write as _;

use elf::abi::{EM_AARCH64, EM_X86_64};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Header;
use tempfile::TempDir;

use super::*;
use crate::archive::file_kind::tests::elf_header;
use crate::files::tests::mode;
use crate::release::tests::target;

const SCRIPT: &[u8] = b"#!/bin/sh\nexec tunnel\n";

/// An entry, field by field.
struct Raw(Header);

impl Raw {
    fn new(kind: u8, path: &[u8], size: u64) -> Self {
        let mut header = Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(size);
        header.as_old_mut().linkflag = [kind];
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        Self(header)
    }

    /// Changes the bytes of the header from `offset` on.
    fn with(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.0.as_mut_bytes()[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The bytes of the entry with `content`, padded.
    fn holding(mut self, content: &[u8]) -> Vec<u8> {
        self.0.set_cksum();
        self.into_bytes(content)
    }

    fn into_bytes(self, content: &[u8]) -> Vec<u8> {
        let mut bytes = [self.0.as_bytes(), content].concat();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

fn file(path: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let mut raw = Raw::new(b'0', path.as_bytes(), content.len() as u64);
    raw.0.set_mode(mode);
    raw.holding(content)
}

fn agent() -> Vec<u8> {
    agent_at("backplane")
}

fn agent_at(path: &str) -> Vec<u8> {
    file(path, 0o755, SCRIPT)
}

fn link(kind: u8, path: &str, target: &str) -> Vec<u8> {
    let raw = Raw::new(kind, path.as_bytes(), 0);
    raw.with(157, target.as_bytes()).holding(b"")
}

/// An entry with the long path or target of the next entry.
fn long_name(kind: u8, name: &[u8]) -> Vec<u8> {
    Raw::new(kind, b"././@LongLink", name.len() as u64).holding(name)
}

/// An entry without content, such as a directory or a device.
fn empty(kind: u8, path: &str) -> Vec<u8> {
    Raw::new(kind, path.as_bytes(), 0).holding(b"")
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A program with a segment that ends where the file does.
fn program() -> Vec<u8> {
    let mut program = elf_header(EM_X86_64);
    program[32] = 64;
    program[54] = 56;
    program[56] = 1;
    program.resize(200, 0);
    program[64] = 1;
    program[64 + 32] = 200;
    program
}

fn small() -> Limits {
    Limits {
        max_unpacked_bytes: 100_000,
        ..Limits::default()
    }
}

/// A directory with a download in it, and the directory that it is unpacked into.
struct Attempt {
    directory: TempDir,
    outcome: Result<Unpacked, ArchiveError>,
}

impl Attempt {
    fn new(download: &[u8]) -> Self {
        Self::with(download, &Limits::default(), true)
    }

    fn with(download: &[u8], limits: &Limits, is_complete: bool) -> Self {
        Self::of(AGENT, download, limits, is_complete)
    }

    fn of(program: &str, download: &[u8], limits: &Limits, is_complete: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        fs_err::write(path("download"), download).unwrap();
        fs_err::create_dir(path("scratch")).unwrap();
        fs_err::create_dir(path("into")).unwrap();
        let outcome = unpack(
            &path("download"),
            program,
            &path("scratch"),
            &path("into"),
            &target("amd64"),
            limits,
            is_complete,
        );
        Self { directory, outcome }
    }

    #[track_caller]
    fn unpacked(&self) -> &Unpacked {
        self.outcome.as_ref().unwrap()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs_err::read(self.into().join(name)).unwrap()
    }

    /// The content of an installed file.
    #[track_caller]
    fn content(&self, name: &str) -> Vec<u8> {
        self.unpacked();
        self.read(name)
    }

    fn into(&self) -> PathBuf {
        self.directory.path().join("into")
    }

    /// The installed files, each with its mode, which must be the ones that were reported.
    #[track_caller]
    fn installed(&self) -> Vec<(String, u32)> {
        let installed: BTreeMap<_, _> = fs_err::read_dir(self.into())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, mode(&entry.path()))
            })
            .collect();
        let checksum = |name: &String| Checksum::of_bytes(&self.read(name));
        let files: Files = installed
            .keys()
            .map(|name| (name.clone(), checksum(name)))
            .collect();
        assert_eq!(files, self.unpacked().files);
        installed.into_iter().collect()
    }
}

/// Each download must be refused with an error whose debug form starts with this text.
#[track_caller]
fn assert_refused<const N: usize>(downloads: [(Vec<u8>, &str); N]) {
    assert_refused_within(&Limits::default(), downloads);
}

#[track_caller]
fn assert_refused_within<const N: usize>(limits: &Limits, downloads: [(Vec<u8>, &str); N]) {
    for (index, (download, expected)) in downloads.into_iter().enumerate() {
        let outcome = Attempt::with(&download, limits, true).outcome;
        let error = format!("{:?}", outcome.unwrap_err());
        assert!(error.starts_with(expected), "{index}, {expected}: {error}");
    }
}

fn executable(name: &str) -> (String, u32) {
    (name.to_owned(), 0o755)
}

fn plain(name: &str) -> (String, u32) {
    (name.to_owned(), 0o644)
}

#[test]
fn agent_alone_is_installed_from_every_form_of_a_download() {
    let script_of_a_shell = b"complete -F x backplane\n";
    for download in [
        SCRIPT.to_vec(),
        program(),
        archive(&[agent()]),
        gzip(&archive(&[agent()])),
        // GNU tar needs no mark at the end, if the file's end is known.
        agent(),
        [agent(), vec![0; 512]].concat(),
        archive(&[empty(b'5', "backplane/"), agent_at("backplane/backplane")]),
        // A link is not followed by a later file.
        archive(&[link(b'2', "into", "/tmp"), agent_at("into/backplane")]),
        archive(&[agent(), file("other/backplane-status", 0o644, b"x")]),
        // Only a program of the agent's name is the agent.
        archive(&[
            file("completions/backplane", 0o644, script_of_a_shell),
            agent_at("bin/backplane"),
            file("share/man/backplane", 0o644, b".TH BACKPLANE 1\n"),
        ]),
    ] {
        let attempt = Attempt::new(&download);
        assert_eq!(attempt.installed(), [executable("backplane")]);
        assert!([SCRIPT, &program()].contains(&&attempt.content("backplane")[..]));
    }
}

#[test]
fn files_beside_the_agent_are_installed_with_the_mode_of_their_kind_and_nothing_else() {
    let attempt = Attempt::new(&gzip(&archive(&[
        file("README.md", 0o644, b"read me"),
        file("dist/tunnel", 0o644, &program()),
        file("dist/backplane", 0o600, SCRIPT),
        file("dist/setup", 0o444, b"#!/bin/sh\n"),
        file("dist/windows", 0o444, b"#!/bin/sh\r\n"),
        file("dist/hook", 0o4755, b"no program"),
        file("./dist//tunnel.toml", 0o4666, b"x = 1"),
        file("dist/doc/manual", 0o644, b"manual"),
        link(b'2', "dist/link", "/etc/passwd"),
        link(b'1', "dist/hard", "/etc/passwd"),
        empty(b'3', "dist/device"),
        empty(b'6', "dist/pipe"),
        empty(b'5', "dist/directory"),
    ])));
    assert_eq!(
        attempt.installed(),
        [
            executable("backplane"),
            executable("hook"),
            executable("setup"),
            executable("tunnel"),
            plain("tunnel.toml"),
            executable("windows"),
        ]
    );
    let left_out = ["link", "hard", "device", "pipe"];
    assert_eq!(attempt.unpacked().left_out, left_out);
}

/// The files that belong beside such a program are the buildpack's.
#[test]
fn program_of_another_name_is_installed_alone() {
    let release = gzip(&archive(&[
        empty(b'5', "tunnel_1.0/"),
        file("tunnel_1.0/LICENSE", 0o644, b"license"),
        file("tunnel_1.0/tunneld", 0o755, &program()),
        file("tunnel_1.0/tunneld.toml", 0o644, b"port = 1"),
        file("tunnel_1.0/backplane-status", 0o755, SCRIPT),
        link(b'2', "tunnel_1.0/link", "tunneld"),
    ]));
    for download in [release.clone(), gzip(&program())] {
        let attempt = Attempt::of("tunneld", &download, &Limits::default(), false);
        assert_eq!(attempt.installed(), [executable("tunneld")]);
        assert_eq!(attempt.unpacked().left_out, [""; 0]);
    }
    let attempt = Attempt::of("tunnelc", &release, &Limits::default(), true);
    let error = format!("{:?}", attempt.outcome.unwrap_err());
    assert!(
        error.starts_with("NoAgent { program: \"tunnelc\""),
        "{error}"
    );
}

#[test]
fn paths_cannot_escape() {
    for path in ["../../escaped", "/escaped", "a/../../../escaped", "..", "."] {
        let attempt = Attempt::new(&archive(&[agent(), file(path, 0o644, b"escaped")]));
        // `/escaped` lies in the agent's directory, the root of the archive; the others do not.
        let count = if path == "/escaped" { 2 } else { 1 };
        let expected = [executable("backplane"), plain("escaped")];
        assert_eq!(attempt.installed(), expected[..count], "{path}");
        let entries = fs_err::read_dir(attempt.directory.path()).unwrap();
        assert_eq!(entries.count(), 3, "{path}");
    }
}

#[test]
fn gzip_files_are_unwrapped() {
    for content in [SCRIPT.to_vec(), archive(&[agent()])] {
        let mut download = content;
        for _ in 0..MAX_WRAPPINGS {
            download = gzip(&download);
            assert_eq!(Attempt::new(&download).content("backplane"), SCRIPT);
        }
        let expected = "NotAnAgent { found: Gzip, is_zipped: true }";
        assert_refused([(gzip(&download), expected)]);
    }
    let (first, second) = SCRIPT.split_at(10);
    let members = [gzip(first), gzip(second), vec![0; 512]].concat();
    assert_eq!(Attempt::new(&members).content("backplane"), SCRIPT);
}

#[test]
fn download_that_ends_with_its_connection_has_to_mark_its_end() {
    let tar = archive(&[agent()]);
    for (download, expected) in [
        (SCRIPT, Err("Unproven")),
        (&program(), Err("Unproven")),
        (&gzip(SCRIPT), Ok(())),
        (&gzip(&gzip(&program())), Ok(())),
        (&tar, Ok(())),
        (&gzip(&tar), Ok(())),
        (&agent(), Err("Damaged(EndsEarly)")),
        (&gzip(&agent()), Err("Damaged(EndsEarly)")),
        // One block of zeros may be the first half of the mark.
        (&tar[..1024 + 512], Err("Damaged(EndsEarly)")),
        (&tar[..1024 + 1023], Err("Damaged(EndsEarly)")),
    ] {
        let outcome = Attempt::with(download, &Limits::default(), false).outcome;
        let outcome = outcome.map(drop).map_err(|error| format!("{error:?}"));
        assert_eq!(outcome, expected.map_err(str::to_owned));
    }
}
