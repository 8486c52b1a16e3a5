use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::files::set_mode;
use crate::files::tests::mode;
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
        for (name, content, mode) in [
            ("cache/libexec/backplane", AGENT_FILE, 0o755),
            ("launch", b"launch program", 0o555),
        ] {
            fs_err::write(path(name), content).unwrap();
            set_mode(&path(name), mode).unwrap();
        }
        let metadata = agent_metadata();
        Self {
            directory,
            metadata,
        }
    }

    /// Puts a file with its own path as content into the app.
    fn bring(&self, path: &str) {
        fs_err::create_dir_all(self.app(path).parent().unwrap()).unwrap();
        fs_err::write(self.app(path), path).unwrap();
    }

    fn app(&self, path: &str) -> PathBuf {
        self.directory.path().join("app").join(path)
    }

    /// Returns whether the directory of start scripts replaced something else.
    fn put(&self, metadata: Option<&AgentMetadata>) -> bool {
        let path = |name| self.directory.path().join(name);
        let slug = Slug { app: &self.app("") };
        let is_replaced = slug.put_launch_program(&path("launch")).unwrap();
        slug.put_agent(&path("cache"), metadata, None).unwrap();
        is_replaced
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs_err::read(self.app(path)).unwrap()
    }
}

#[test]
fn all_files_are_there_with_their_modes() {
    let fixture = Fixture::new();
    // Twice, as if the buildpack were in the list twice.
    for _ in 0..2 {
        fixture.put(Some(&fixture.metadata));
        for (path, expected) in [
            (".backplane", 0o755),
            (".backplane/exec.d", 0o755),
            (".backplane/exec.d/launch", 0o755),
            (".backplane/libexec", 0o755),
            (".backplane/libexec/backplane", 0o755),
            (".backplane/agent.sha256", 0o644),
            (".profile.d/backplane.sh", 0o644),
        ] {
            assert_eq!(mode(&fixture.app(path)), expected, "{path}");
        }
        assert_eq!(fixture.read(".backplane/exec.d/launch"), b"launch program");
        assert_eq!(fixture.read("bin/backplane"), AGENT_FILE);
        assert_eq!(fixture.read("bin/backplane-run"), b"launch program");
        let status = fixture.app(".backplane/libexec/backplane-status");
        let target = fs_err::read_link(status).unwrap();
        assert_eq!(target, Path::new("../exec.d/launch"));
    }
}

#[test]
fn own_files_replace_those_of_the_app_and_others_are_left_alone() {
    let fixture = Fixture::new();
    let outside = fixture.directory.path().join("outside");
    fs_err::write(&outside, "outside").unwrap();
    fs_err::create_dir(fixture.app(".profile.d")).unwrap();
    symlink(&outside, fixture.app(".profile.d/backplane.sh")).unwrap();
    fixture.bring(".backplane/libexec/old");
    fixture.bring(".backplane/theirs");
    fixture.bring("bin/backplane");

    fixture.put(Some(&fixture.metadata));
    assert_eq!(fs_err::read(&outside).unwrap(), b"outside");
    let script = fixture.read(".profile.d/backplane.sh");
    assert!(script.ends_with(b"/launch\" || :\n"));
    assert!(!fixture.app(".backplane/libexec/old").exists());
    for theirs in [".backplane/theirs", "bin/backplane"] {
        assert_eq!(fixture.read(theirs), theirs.as_bytes());
    }

    let fixture = Fixture::new();
    fixture.bring("bin");
    fixture.put(Some(&fixture.metadata));
    assert_eq!(fixture.read("bin"), b"bin");
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
fn start_scripts_behind_a_link_within_the_app_stay() {
    let fixture = Fixture::new();
    fixture.bring("config/scripts/own.sh");
    symlink("config/scripts", fixture.app(".profile.d")).unwrap();
    assert!(!fixture.put(Some(&fixture.metadata)));
    assert!(fixture.app(".profile.d").is_symlink());
    assert!(fixture.app("config/scripts/backplane.sh").exists());
    assert!(fixture.app(".profile.d/own.sh").exists());

    // The same directory by an absolute path, which differs on a dyno.
    fs_err::remove_file(fixture.app(".profile.d")).unwrap();
    symlink(fixture.app("config/scripts"), fixture.app(".profile.d")).unwrap();
    assert!(fixture.put(Some(&fixture.metadata)));
    assert!(!fixture.app(".profile.d").is_symlink());
    assert!(fixture.app(".profile.d/backplane.sh").exists());
}
