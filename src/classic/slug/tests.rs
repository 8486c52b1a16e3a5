use std::os::unix::fs::{MetadataExt, symlink};

use tempfile::TempDir;

use super::*;
use crate::archive::Files;
use crate::checksum::Checksum;
use crate::files::set_mode;
use crate::metadata::tests::agent_metadata;

const AGENT_FILE: &[u8] = b"#!/bin/sh\n# agent\n";

/// An app, and an installed agent beside it.
struct Fixture {
    directory: TempDir,
    metadata: AgentMetadata,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs_err::create_dir_all(path("cache/libexec")).unwrap();
        fs_err::create_dir(path("app")).unwrap();
        fs_err::write(path("cache/libexec/backplane"), AGENT_FILE).unwrap();
        set_mode(&path("cache/libexec/backplane"), 0o755).unwrap();
        fs_err::write(path("launch"), "launch program").unwrap();
        set_mode(&path("launch"), 0o555).unwrap();
        let files = Files::from([("backplane".to_owned(), Checksum::of_bytes(AGENT_FILE))]);
        Self {
            directory,
            metadata: AgentMetadata {
                files,
                ..agent_metadata()
            },
        }
    }

    fn app(&self, path: &str) -> PathBuf {
        self.directory.path().join("app").join(path)
    }

    fn put(&self, metadata: Option<&AgentMetadata>) -> StartScripts {
        let slug = Slug { app: &self.app("") };
        let start_scripts = slug
            .put_launch_program(&self.directory.path().join("launch"))
            .unwrap();
        slug.put_agent(&self.directory.path().join("cache"), metadata)
            .unwrap();
        start_scripts
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs_err::read(self.app(path)).unwrap()
    }
}

#[test]
fn all_files_are_there_with_their_modes() {
    let fixture = Fixture::new();
    // Twice, as where the buildpack is in the list twice.
    for _ in 0..2 {
        fixture.put(Some(&fixture.metadata));
        for (path, mode) in [
            (".backplane", 0o755),
            (".backplane/exec.d", 0o755),
            (".backplane/exec.d/launch", 0o755),
            (".backplane/libexec", 0o755),
            (".backplane/libexec/backplane", 0o755),
            (".backplane/agent.sha256", 0o644),
            (".profile.d/backplane.sh", 0o644),
        ] {
            let metadata = fs_err::metadata(fixture.app(path)).unwrap();
            assert_eq!(metadata.mode() & 0o7777, mode, "{path}");
        }
        assert_eq!(fixture.read(".backplane/exec.d/launch"), b"launch program");
        assert_eq!(fixture.read("bin/backplane"), AGENT_FILE);
        assert_eq!(fixture.read("bin/backplane-run"), b"launch program");
        let status = fixture.app(".backplane/libexec/backplane-status");
        assert_eq!(
            fs_err::read_link(status).unwrap(),
            Path::new("../exec.d/launch")
        );
    }
}

#[test]
fn what_the_app_brings_is_replaced_where_it_is_ours_and_else_left_alone() {
    let fixture = Fixture::new();
    let outside = fixture.directory.path().join("outside");
    fs_err::write(&outside, "outside").unwrap();
    fs_err::create_dir(fixture.app(".profile.d")).unwrap();
    fs_err::os::unix::fs::symlink(&outside, fixture.app(".profile.d/backplane.sh")).unwrap();
    fs_err::create_dir_all(fixture.app(".backplane/libexec")).unwrap();
    fs_err::write(fixture.app(".backplane/libexec/old"), "old").unwrap();
    fs_err::write(fixture.app(".backplane/theirs"), "theirs").unwrap();
    fs_err::create_dir(fixture.app("bin")).unwrap();
    fs_err::write(fixture.app("bin/backplane"), "the original").unwrap();

    fixture.put(Some(&fixture.metadata));
    assert_eq!(fs_err::read(&outside).unwrap(), b"outside");
    assert!(
        fixture
            .read(".profile.d/backplane.sh")
            .ends_with(b"/launch\" || :\n")
    );
    assert!(!fixture.app(".backplane/libexec/old").exists());
    assert_eq!(fixture.read(".backplane/theirs"), b"theirs");
    assert_eq!(fixture.read("bin/backplane"), b"the original");
}

#[test]
fn without_an_agent_there_is_nothing_but_our_own() {
    let fixture = Fixture::new();
    fixture.put(None);
    assert!(fixture.app(".backplane/exec.d/launch").exists());
    assert!(!fixture.app(".backplane/libexec/backplane").exists());
    assert_eq!(fixture.read(".backplane/agent.sha256"), b"");
    assert!(!fixture.app("bin/backplane").exists());
    assert_eq!(fixture.read("bin/backplane-run"), b"launch program");
}

#[test]
fn bin_of_another_kind_is_left_alone() {
    let fixture = Fixture::new();
    fs_err::write(fixture.app("bin"), "a file").unwrap();
    fixture.put(Some(&fixture.metadata));
    assert_eq!(fixture.read("bin"), b"a file");
}

#[test]
fn start_scripts_behind_a_link_within_the_app_stay() {
    let fixture = Fixture::new();
    fs_err::create_dir_all(fixture.app("config/scripts")).unwrap();
    fs_err::write(fixture.app("config/scripts/own.sh"), "own").unwrap();
    symlink("config/scripts", fixture.app(".profile.d")).unwrap();
    assert_eq!(fixture.put(Some(&fixture.metadata)), StartScripts::Kept);
    assert!(fixture.app(".profile.d").is_symlink());
    assert!(fixture.app("config/scripts/backplane.sh").exists());
    assert_eq!(fixture.read(".profile.d/own.sh"), b"own");

    // The same place by a path that is another on a dyno.
    fs_err::remove_file(fixture.app(".profile.d")).unwrap();
    symlink(fixture.app("config/scripts"), fixture.app(".profile.d")).unwrap();
    assert_eq!(fixture.put(Some(&fixture.metadata)), StartScripts::Replaced);
    assert!(!fixture.app(".profile.d").is_symlink());
    assert!(fixture.app(".profile.d/backplane.sh").exists());
}
