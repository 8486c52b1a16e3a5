use std::os::unix::fs::MetadataExt;

use tempfile::TempDir;

use super::*;
use crate::archive::Files;
use crate::checksum::Checksum;
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

    fn put(&self, record: Option<&Record>) {
        let app = self.app("");
        let slug = Slug::of(&app);
        slug.put_launch_program(&self.folder.path().join("launch"))
            .unwrap();
        slug.put_agent(&self.folder.path().join("cache"), record)
            .unwrap();
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
