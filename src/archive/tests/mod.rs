//! Archives, good and bad.

mod archivers;
mod completeness;
mod dialects;
mod random;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use elf::abi::{EM_AARCH64, EM_X86_64};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::archive::file_kind::tests::elf_header;
use crate::release::tests::target;

const SCRIPT: &[u8] = b"#!/bin/sh\nexec tunnel\n";

/// A tar archive in the making.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, mode, content)
    }

    /// An entry with a path that the library would refuse to write.
    fn entry(mut self, kind: EntryType, path: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn link(mut self, kind: EntryType, path: &str, to: &str) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        self.0.append_link(&mut header, path, to).unwrap();
        self
    }

    fn long_path(mut self, path: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        self.0.append_data(&mut header, path, content).unwrap();
        self
    }

    fn pax_path(mut self, path: &str, content: &[u8]) -> Self {
        self.0
            .append_pax_extensions([("path", path.as_bytes())])
            .unwrap();
        self.file("short", 0o755, content)
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn gzipped(self) -> Vec<u8> {
        gzip(&self.bytes())
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A directory with a download in it, and the directory that it is unpacked into.
struct Attempt {
    directory: TempDir,
    outcome: Result<Files, ArchiveError>,
    left_out: Vec<String>,
}

impl Attempt {
    fn new(download: &[u8]) -> Self {
        Self::with_limits(download, &Limits::default())
    }

    fn with_limits(download: &[u8], limits: &Limits) -> Self {
        Self::with(download, limits, true)
    }

    /// A download that its source does not delimit.
    fn undelimited(download: &[u8]) -> Self {
        Self::with(download, &Limits::default(), false)
    }

    fn with(download: &[u8], limits: &Limits, is_complete: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        fs_err::write(path("download"), download).unwrap();
        fs_err::create_dir(path("scratch")).unwrap();
        fs_err::create_dir(path("into")).unwrap();
        let mut left_out = Vec::new();
        let outcome = unpack(
            &path("download"),
            &path("scratch"),
            &path("into"),
            &target("amd64"),
            limits,
            is_complete,
        )
        .map(|unpacked| {
            left_out = unpacked.left_out;
            unpacked.files
        });
        Self {
            directory,
            outcome,
            left_out,
        }
    }

    /// The content of an installed file.
    fn content(&self, name: &str) -> Vec<u8> {
        assert!(self.outcome.is_ok(), "{:?}", self.outcome);
        fs_err::read(self.into().join(name)).unwrap()
    }

    fn into(&self) -> PathBuf {
        self.directory.path().join("into")
    }

    fn error(self) -> ArchiveError {
        self.outcome.unwrap_err()
    }

    /// The installed files, each with its mode, which must be the ones that were reported.
    fn installed(&self) -> Vec<(String, u32)> {
        let reported: BTreeSet<_> = self.outcome.as_ref().unwrap().keys().cloned().collect();
        let installed: Vec<_> = fs_err::read_dir(self.into())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, entry.metadata().unwrap().mode() & 0o7777)
            })
            .collect();
        let names: BTreeSet<_> = installed.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, reported);
        for (name, checksum) in self.outcome.as_ref().unwrap() {
            assert_eq!(
                *checksum,
                Checksum::of_file(&self.into().join(name)).unwrap()
            );
        }
        installed
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

fn executable(name: &str) -> (String, u32) {
    (name.to_owned(), 0o755)
}

fn plain(name: &str) -> (String, u32) {
    (name.to_owned(), 0o644)
}

#[test]
fn four_forms_are_told_by_content() {
    let program = elf_header(EM_X86_64);
    for download in [
        Tar::new().file("backplane", 0o755, SCRIPT).gzipped(),
        Tar::new().file("backplane", 0o755, SCRIPT).bytes(),
        SCRIPT.to_vec(),
        program,
    ] {
        assert_eq!(
            Attempt::new(&download).installed(),
            [executable("backplane")]
        );
    }
}

#[test]
fn neighbours_of_the_agent_come_along_and_nothing_else() {
    let attempt = Attempt::new(
        &Tar::new()
            .file("README.md", 0o644, b"read me")
            .file("agent-1.0/tunnel", 0o700, &elf_header(EM_X86_64))
            .file("agent-1.0/backplane", 0o600, SCRIPT)
            .file("./agent-1.0//tunnel.toml", 0o4666, b"x = 1")
            .file("agent-1.0/doc/manual", 0o644, b"manual")
            .gzipped(),
    );
    assert_eq!(
        attempt.installed(),
        [
            executable("backplane"),
            executable("tunnel"),
            plain("tunnel.toml")
        ]
    );
}

#[test]
fn links_and_devices_are_never_written() {
    let attempt = Attempt::new(
        &Tar::new()
            .file("backplane", 0o755, SCRIPT)
            .link(EntryType::Symlink, "link", "/etc/passwd")
            .link(EntryType::Link, "hard", "/etc/passwd")
            .entry(EntryType::Char, "device", 0o644, b"")
            .entry(EntryType::Fifo, "pipe", 0o644, b"")
            .entry(EntryType::Directory, "directory", 0o755, b"")
            .gzipped(),
    );
    assert_eq!(attempt.installed(), [executable("backplane")]);
}

#[test]
fn paths_cannot_escape() {
    for path in ["../../escaped", "/escaped", "a/../../../escaped", "..", "."] {
        let attempt = Attempt::new(
            &Tar::new()
                .file("backplane", 0o755, SCRIPT)
                .file(path, 0o644, b"escaped")
                .gzipped(),
        );
        let installed = attempt.installed();
        let flat = [executable("backplane"), plain("escaped")];
        // `/escaped` lies in the agent's directory, the root of the archive; the others do not.
        let expected = if path == "/escaped" {
            &flat[..]
        } else {
            &flat[..1]
        };
        assert_eq!(installed, expected, "{path}");
        let names: BTreeSet<_> = fs_err::read_dir(attempt.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        let ours = ["download", "scratch", "into"].map(Into::into);
        assert_eq!(names, BTreeSet::from(ours), "{path}");
    }
}

#[test]
fn link_to_outside_is_not_followed_by_a_later_file() {
    let attempt = Attempt::new(
        &Tar::new()
            .link(EntryType::Symlink, "into", "/tmp")
            .file("into/backplane", 0o755, SCRIPT)
            .gzipped(),
    );
    assert_eq!(attempt.installed(), [executable("backplane")]);
}

#[test]
fn long_paths_of_both_dialects_are_read() {
    let directory = "f".repeat(200);
    let gnu = Tar::new()
        .long_path(&format!("{directory}/backplane"), SCRIPT)
        .gzipped();
    let pax = Tar::new()
        .pax_path(&format!("{directory}/backplane"), SCRIPT)
        .gzipped();
    for download in [gnu, pax] {
        assert_eq!(
            Attempt::new(&download).installed(),
            [executable("backplane")]
        );
    }
}

#[test]
fn endless_path_is_refused() {
    let bytes = vec![b'a'; 1 << 20];
    for kind in [EntryType::GNULongName, EntryType::XHeader] {
        let download = Tar::new().entry(kind, "long", 0o644, &bytes).gzipped();
        assert!(matches!(
            Attempt::new(&download).error(),
            ArchiveError::PathTooLong
        ));
    }
    let path = format!("{}/backplane", "a/".repeat(entries::MAX_PATH_BYTES));
    let download = Tar::new().long_path(&path, SCRIPT).gzipped();
    assert!(matches!(
        Attempt::new(&download).error(),
        ArchiveError::PathTooLong
    ));
}

#[test]
fn archive_without_a_regular_agent_is_refused() {
    let other = Tar::new().file("bin/frpc", 0o755, SCRIPT).gzipped();
    assert!(matches!(
        Attempt::new(&other).error(),
        ArchiveError::NoAgent { names } if names == ["bin/frpc"]
    ));
    for kind in [EntryType::Symlink, EntryType::Link] {
        let link = Tar::new().link(kind, "bin/backplane", "other").gzipped();
        assert!(matches!(
            Attempt::new(&link).error(),
            ArchiveError::AgentIsLink { path, target } if path == "bin/backplane" && target == "other"
        ));
    }
    let directory = Tar::new()
        .entry(EntryType::Directory, "backplane/", 0o755, b"")
        .gzipped();
    assert!(matches!(
        Attempt::new(&directory).error(),
        ArchiveError::NoAgent { names } if names.is_empty()
    ));
}

#[test]
fn directory_named_as_the_agent_may_hold_it() {
    let download = Tar::new()
        .entry(EntryType::Directory, "backplane/", 0o755, b"")
        .file("backplane/backplane", 0o755, SCRIPT)
        .gzipped();
    assert_eq!(
        Attempt::new(&download).installed(),
        [executable("backplane")]
    );
}

#[test]
fn several_agents_are_refused() {
    let twice = Tar::new()
        .file("backplane", 0o755, SCRIPT)
        .file("./backplane", 0o755, SCRIPT)
        .gzipped();
    let two_directories = Tar::new()
        .file("a/backplane", 0o755, SCRIPT)
        .file("b/backplane", 0o755, SCRIPT)
        .gzipped();
    for (download, expected) in [
        (twice, ["backplane", "backplane"]),
        (two_directories, ["a/backplane", "b/backplane"]),
    ] {
        assert!(matches!(
            Attempt::new(&download).error(),
            ArchiveError::SeveralAgents { paths } if paths == expected
        ));
    }
}

#[test]
fn names_beside_the_agent_are_checked() {
    let beside = |path: &str| {
        Tar::new()
            .file("backplane", 0o755, SCRIPT)
            .file(path, 0o644, b"x")
    };
    assert!(matches!(
        Attempt::new(&beside("backplane-status").gzipped()).error(),
        ArchiveError::ReservedName { name } if name == "backplane-status"
    ));
    assert!(matches!(
        Attempt::new(&beside("a\x1b[31mb").gzipped()).error(),
        ArchiveError::UnusableName { name } if name == "a\x1b[31mb"
    ));
    assert!(matches!(
        Attempt::new(&beside("same").file("same", 0o644, b"y").gzipped()).error(),
        ArchiveError::RepeatedName { name } if name == "same"
    ));
    // In another directory they do no harm.
    let elsewhere = beside("other/backplane-status").gzipped();
    assert_eq!(
        Attempt::new(&elsewhere).installed(),
        [executable("backplane")]
    );
}

#[test]
fn programs_must_be_for_the_target() {
    let foreign = elf_header(EM_AARCH64);
    let agent = Tar::new().file("backplane", 0o755, &foreign).gzipped();
    let neighbour = Tar::new()
        .file("backplane", 0o755, SCRIPT)
        .file("tunnel", 0o755, &foreign)
        .gzipped();
    for (download, culprit) in [
        (foreign, "backplane"),
        (agent, "backplane"),
        (neighbour, "tunnel"),
    ] {
        assert!(matches!(
            Attempt::new(&download).error(),
            ArchiveError::WrongArchitecture { name, .. } if name == culprit
        ));
    }
}

#[test]
fn agent_must_be_executable() {
    let mach_o = b"\xcf\xfa\xed\xfe\x07\x00\x00\x01\x03\x00\x00\x00";
    for content in [&b"no program"[..], b"", mach_o] {
        let download = Tar::new().file("backplane", 0o755, content).gzipped();
        assert!(matches!(
            Attempt::new(&download).error(),
            ArchiveError::NotExecutable { .. }
        ));
    }
}

#[test]
fn what_is_no_archive_is_refused() {
    for content in [
        &b"<!DOCTYPE html><title>Login</title>"[..],
        b"429",
        b"PK\x03\x04",
    ] {
        assert!(matches!(
            Attempt::new(content).error(),
            ArchiveError::NotAnAgent { .. }
        ));
    }
}

#[test]
fn every_truncation_is_noticed() {
    // Content that does not compress, so that each cut hits something.
    let mut content = SCRIPT.to_vec();
    content.extend((0..256_u32).flat_map(|number| {
        Checksum::of_bytes(&number.to_le_bytes())
            .to_string()
            .into_bytes()
    }));
    let whole = Tar::new().file("backplane", 0o755, &content).gzipped();
    assert_eq!(Attempt::new(&whole).installed(), [executable("backplane")]);
    for length in (20..whole.len()).step_by(997).chain([whole.len() - 1]) {
        assert!(
            matches!(
                Attempt::new(&whole[..length]).error(),
                ArchiveError::Damaged { .. }
            ),
            "{length}"
        );
    }
}

#[test]
fn corruption_is_noticed_even_behind_the_last_entry() {
    let mut download = Tar::new().file("backplane", 0o755, SCRIPT).gzipped();
    let checksum = download.len() - 8;
    download[checksum] ^= 1;
    assert!(matches!(
        Attempt::new(&download).error(),
        ArchiveError::Damaged { .. }
    ));
}

#[test]
fn unpacked_size_is_limited_wherever_it_hides() {
    let limits = Limits {
        max_unpacked_bytes: 100_000,
        ..Limits::default()
    };
    let bomb = vec![0; 1 << 20];
    let in_agent = Tar::new().file("backplane", 0o755, &bomb).gzipped();
    let elsewhere = Tar::new()
        .file("backplane", 0o755, SCRIPT)
        .file("other/bomb", 0o644, &bomb)
        .gzipped();
    let mut behind_the_end = Tar::new().file("backplane", 0o755, SCRIPT).bytes();
    behind_the_end.extend(&bomb);
    for download in [in_agent, elsewhere, gzip(&behind_the_end)] {
        assert!(matches!(
            Attempt::with_limits(&download, &limits).error(),
            ArchiveError::TooLarge
        ));
    }
}

#[test]
fn number_of_entries_is_limited() {
    let limits = Limits {
        max_entries: 2,
        ..Limits::default()
    };
    let two = || {
        Tar::new()
            .file("backplane", 0o755, SCRIPT)
            .entry(EntryType::Directory, "a", 0o755, b"")
    };
    assert!(
        Attempt::with_limits(&two().gzipped(), &limits)
            .outcome
            .is_ok()
    );
    let three = two().file("b", 0o644, b"").gzipped();
    assert!(matches!(
        Attempt::with_limits(&three, &limits).error(),
        ArchiveError::TooManyEntries { limit: 2 }
    ));
}
