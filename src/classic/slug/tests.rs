use std::os::unix::fs::{MetadataExt, symlink};

use tempfile::TempDir;

use super::*;
use crate::archive::Files;
use crate::checksum::Checksum;
use crate::files::set_mode;
use crate::files::strange::{STRANGE, assert_untouched, put_strange};
use crate::output::Recorded;
use crate::record::tests::record;

const AGENT_FILE: &[u8] = b"#!/bin/sh\n# agent\n";

/// An app, and an installed agent beside it.
struct Bench {
    folder: TempDir,
    record: Record,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::create_dir_all(path("cache/libexec")).unwrap();
        fs_err::create_dir(path("app")).unwrap();
        fs_err::write(path("cache/libexec/backplane"), AGENT_FILE).unwrap();
        set_mode(&path("cache/libexec/backplane"), 0o755).unwrap();
        fs_err::write(path("launch"), "launch program").unwrap();
        set_mode(&path("launch"), 0o555).unwrap();
        let files = Files::from([("backplane".to_owned(), Checksum::of_bytes(AGENT_FILE))]);
        Self {
            folder,
            record: Record { files, ..record() },
        }
    }

    fn app(&self, path: &str) -> PathBuf {
        self.folder.path().join("app").join(path)
    }

    fn put(&self, record: Option<&Record>) -> Vec<String> {
        let app = self.app("");
        let output = Recorded::default();
        let slug = Slug::of(&app, &output);
        slug.put_launch_program(&self.folder.path().join("launch"))
            .unwrap();
        slug.put_agent(&self.folder.path().join("cache"), record)
            .unwrap();
        output.lines()
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs_err::read(self.app(path)).unwrap()
    }
}

#[test]
fn all_files_are_there_with_their_modes() {
    let bench = Bench::new();
    // Twice, as where the buildpack is in the list twice.
    for _ in 0..2 {
        bench.put(Some(&bench.record));
        for (path, mode) in [
            (".backplane", 0o755),
            (".backplane/exec.d", 0o755),
            (".backplane/exec.d/launch", 0o755),
            (".backplane/libexec", 0o755),
            (".backplane/libexec/backplane", 0o755),
            (".backplane/agent.sha256", 0o644),
            (".profile.d/backplane.sh", 0o644),
        ] {
            let metadata = fs_err::metadata(bench.app(path)).unwrap();
            assert_eq!(metadata.mode() & 0o7777, mode, "{path}");
        }
        assert_eq!(bench.read(".backplane/exec.d/launch"), b"launch program");
        assert_eq!(bench.read("bin/backplane"), AGENT_FILE);
        let status = bench.app(".backplane/libexec/backplane-status");
        assert_eq!(
            fs_err::read_link(status).unwrap(),
            Path::new("../exec.d/launch")
        );
    }
}

#[test]
fn what_the_app_brings_is_replaced_where_it_is_ours_and_else_left_alone() {
    let bench = Bench::new();
    let outside = bench.folder.path().join("outside");
    fs_err::write(&outside, "outside").unwrap();
    fs_err::create_dir(bench.app(".profile.d")).unwrap();
    fs_err::os::unix::fs::symlink(&outside, bench.app(".profile.d/backplane.sh")).unwrap();
    fs_err::create_dir_all(bench.app(".backplane/libexec")).unwrap();
    fs_err::write(bench.app(".backplane/libexec/old"), "old").unwrap();
    fs_err::write(bench.app(".backplane/theirs"), "theirs").unwrap();
    fs_err::create_dir(bench.app("bin")).unwrap();
    fs_err::write(bench.app("bin/backplane"), "the original").unwrap();

    bench.put(Some(&bench.record));
    assert_eq!(fs_err::read(&outside).unwrap(), b"outside");
    assert!(
        bench
            .read(".profile.d/backplane.sh")
            .ends_with(b"/launch\" || :\n")
    );
    assert!(!bench.app(".backplane/libexec/old").exists());
    assert_eq!(bench.read(".backplane/theirs"), b"theirs");
    assert_eq!(bench.read("bin/backplane"), b"the original");
}

#[test]
fn without_an_agent_there_is_nothing_but_our_own() {
    let bench = Bench::new();
    bench.put(None);
    assert!(bench.app(".backplane/exec.d/launch").exists());
    assert!(!bench.app(".backplane/libexec/backplane").exists());
    assert_eq!(bench.read(".backplane/agent.sha256"), b"");
    assert!(!bench.app("bin").exists());
}

#[test]
fn bin_of_another_kind_is_left_alone() {
    let bench = Bench::new();
    fs_err::write(bench.app("bin"), "a file").unwrap();
    bench.put(Some(&bench.record));
    assert_eq!(bench.read("bin"), b"a file");
}

#[test]
fn whatever_the_app_has_under_our_names_is_replaced_and_never_written_through() {
    for place in [
        ".backplane",
        ".backplane/agent.sha256",
        ".backplane/agent.sha256.new",
        ".backplane/exec.d",
        ".backplane/libexec",
        ".profile.d",
        ".profile.d/backplane.sh",
        ".profile.d/backplane.sh.new",
        "bin",
        "bin/backplane",
    ] {
        for kind in STRANGE {
            let bench = Bench::new();
            let outside = bench.folder.path().join("outside");
            let at = bench.app(place);
            fs_err::create_dir_all(at.parent().unwrap()).unwrap();
            put_strange(kind, &at, &outside);
            let is_directory = files::is_directory(&at);

            let said = bench.put(Some(&bench.record));
            let what = format!("{place} as {kind}");
            let is_replaced = place == ".profile.d" && !is_directory;
            assert_eq!(said.len(), usize::from(is_replaced), "{what}: {said:?}");
            assert_untouched(&outside, &what);
            for (path, mode) in [
                (".backplane", 0o755),
                (".backplane/exec.d", 0o755),
                (".backplane/exec.d/launch", 0o755),
                (".backplane/libexec", 0o755),
                (".backplane/libexec/backplane", 0o755),
                (".backplane/agent.sha256", 0o644),
                (".profile.d", 0o755),
                (".profile.d/backplane.sh", 0o644),
            ] {
                let metadata = fs_err::symlink_metadata(bench.app(path)).unwrap();
                assert!(metadata.is_dir() || metadata.is_file(), "{what}: {path}");
                assert_eq!(metadata.mode() & 0o7777, mode, "{what}: {path}");
            }
            if !place.starts_with("bin") {
                assert_eq!(bench.read("bin/backplane"), AGENT_FILE, "{what}");
            }
        }
    }
}

#[test]
fn start_scripts_behind_a_link_within_the_app_stay() {
    let bench = Bench::new();
    fs_err::create_dir_all(bench.app("config/scripts")).unwrap();
    fs_err::write(bench.app("config/scripts/own.sh"), "own").unwrap();
    symlink("config/scripts", bench.app(".profile.d")).unwrap();
    assert!(bench.put(Some(&bench.record)).is_empty());
    assert!(bench.app(".profile.d").is_symlink());
    assert!(bench.app("config/scripts/backplane.sh").exists());
    assert_eq!(bench.read(".profile.d/own.sh"), b"own");

    // The same place by a path that is another on a dyno.
    fs_err::remove_file(bench.app(".profile.d")).unwrap();
    symlink(bench.app("config/scripts"), bench.app(".profile.d")).unwrap();
    assert_eq!(bench.put(Some(&bench.record)).len(), 1);
    assert!(!bench.app(".profile.d").is_symlink());
    assert!(bench.app(".profile.d/backplane.sh").exists());
}
