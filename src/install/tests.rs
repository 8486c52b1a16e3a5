//! Installations from files of this machine; those from servers are in the integration tests.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt as _;

use tempfile::TempDir;

use super::*;
use crate::archive::file_kind::tests::elf_header;
use crate::checksum::Checksum;
use crate::release::Source;
use crate::release::tests::target;

const OLD: &[u8] = b"#!/bin/sh\n# old\n";
const NEW: &[u8] = b"#!/bin/sh\n# new\n";

/// A source file, a directory to install into, and what is asked for.
struct Fixture {
    directory: TempDir,
    release: Release,
    optional: bool,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = Source::File(directory.path().join("source"));
        fs_err::create_dir(directory.path().join("layer")).unwrap();
        let fixture = Self {
            directory,
            release: Release {
                source,
                target: target("amd64"),
                pin: None,
            },
            optional: false,
        };
        fixture.publish(OLD);
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn publish(&self, content: &[u8]) {
        fs_err::write(self.path("source"), content).unwrap();
    }

    fn unpublish(&self) {
        fs_err::remove_file(self.path("source")).unwrap();
    }

    fn pin(&mut self, content: &[u8]) {
        self.release.pin = Some(Checksum::of_bytes(content));
    }

    fn installed_path(&self) -> PathBuf {
        self.path("layer/libexec/backplane")
    }

    fn installed(&self) -> Option<Vec<u8>> {
        fs_err::read(self.installed_path()).ok()
    }

    /// Runs the installation; returns its outcome and its notices.
    fn run(&self, previous: Previous) -> (Result<Option<AgentMetadata>, InstallError>, String) {
        let notices = RefCell::<Vec<String>>::default();
        let staging = self.path("staging");
        let outcome = Installation {
            directory: &self.path("layer"),
            staging: &staging,
            release: &self.release,
            optional: self.optional,
            network: &Network::default(),
            limits: &Limits::default(),
            on_notice: &|notice| notices.borrow_mut().push(format!("{notice:?}")),
        }
        .run(previous);
        assert!(!staging.exists());
        (outcome, notices.into_inner().join("\n"))
    }

    fn install(&self) -> AgentMetadata {
        self.run(Previous::Nothing).0.unwrap().unwrap()
    }
}

#[test]
fn first_install_is_complete_and_reported_as_unpinned() {
    let fixture = Fixture::new();
    let (outcome, notices) = fixture.run(Previous::Nothing);
    let metadata = outcome.unwrap().unwrap();
    assert_eq!(fixture.installed().unwrap(), OLD);
    let mode = |path: &Path| fs_err::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&fixture.installed_path()), 0o755);
    assert_eq!(mode(fixture.installed_path().parent().unwrap()), 0o755);
    assert_eq!(metadata.sha256, Checksum::of_bytes(OLD));
    assert!(notices.contains("NothingCached"), "{notices}");
    assert!(notices.contains("Unpinned {"), "{notices}");
}

#[test]
fn pinned_install_is_not_reported_as_unpinned() {
    let mut fixture = Fixture::new();
    fixture.pin(OLD);
    let (outcome, notices) = fixture.run(Previous::Nothing);
    assert!(outcome.is_ok());
    assert!(!notices.contains("Unpinned {"), "{notices}");
}

#[test]
fn pinned_and_cached_does_not_touch_the_source() {
    let mut fixture = Fixture::new();
    let metadata = fixture.install();
    fixture.pin(OLD);
    fixture.unpublish();
    let (outcome, notices) = fixture.run(Previous::Agent(metadata.clone()));
    assert_eq!(outcome.unwrap(), Some(metadata));
    assert!(notices.contains("UsingPinned {"), "{notices}");
}

#[test]
fn pinned_to_another_never_falls_back() {
    let mut fixture = Fixture::new();
    let metadata = fixture.install();
    fixture.pin(NEW);
    let (outcome, _) = fixture.run(Previous::Agent(metadata.clone()));
    assert!(matches!(outcome, Err(InstallError::Checksum { .. })));
    // What was usable is still there: the next build may ask for it again.
    assert_eq!(fixture.installed().unwrap(), OLD);
    fixture.unpublish();
    let (outcome, _) = fixture.run(Previous::Agent(metadata.clone()));
    assert!(matches!(outcome, Err(InstallError::Fetch { .. })));
    fixture.publish(NEW);
    let (outcome, _) = fixture.run(Previous::Agent(metadata));
    assert!(outcome.is_ok());
    assert_eq!(fixture.installed().unwrap(), NEW);
}

#[test]
fn other_source_never_falls_back() {
    let mut fixture = Fixture::new();
    let metadata = fixture.install();
    fixture.release.source = Source::File(fixture.path("elsewhere"));
    let (outcome, notices) = fixture.run(Previous::Agent(metadata));
    assert!(matches!(outcome, Err(InstallError::Fetch { .. })));
    assert!(notices.contains("property: Source"), "{notices}");
}

#[test]
fn same_source_is_kept_replaced_or_survived() {
    let fixture = Fixture::new();
    let metadata = fixture.install();
    let (outcome, notices) = fixture.run(Previous::Agent(metadata.clone()));
    assert_eq!(outcome.unwrap().as_ref(), Some(&metadata));
    assert!(notices.contains("UsingSameDownload"), "{notices}");

    for unusable in [&b"<html>Please log in"[..], b""] {
        fixture.publish(unusable);
        let (outcome, notices) = fixture.run(Previous::Agent(metadata.clone()));
        assert_eq!(outcome.unwrap().as_ref(), Some(&metadata));
        assert_eq!(fixture.installed().unwrap(), OLD);
        assert!(notices.contains("Kept {"), "{notices}");
    }
    fixture.unpublish();
    let (outcome, notices) = fixture.run(Previous::Agent(metadata.clone()));
    assert_eq!(outcome.unwrap().as_ref(), Some(&metadata));
    assert!(notices.contains("Kept {"), "{notices}");

    fixture.publish(NEW);
    let (outcome, notices) = fixture.run(Previous::Agent(metadata.clone()));
    let changed = outcome.unwrap().unwrap();
    assert_eq!(fixture.installed().unwrap(), NEW);
    assert_ne!(metadata.sha256, changed.sha256);
    assert!(notices.contains("Changed {"), "{notices}");
}

#[test]
fn altered_missing_and_strange_files_are_replaced() {
    let fixture = Fixture::new();
    let metadata = fixture.install();
    let libexec = fixture.path("layer/libexec");
    let damages: [(&str, &dyn Fn()); 4] = [
        ("Altered, names: Names { first: {\"backplane\"}", &|| {
            fs_err::write(fixture.installed_path(), "changed").unwrap();
        }),
        ("Missing, names: Names { first: {\"backplane\"}", &|| {
            fs_err::remove_file(fixture.installed_path()).unwrap();
        }),
        ("Missing, names: Names { first: {\"backplane\"}", &|| {
            fs_err::remove_dir_all(&libexec).unwrap();
        }),
        ("Unknown, names: Names { first: {\"stranger\"}", &|| {
            fs_err::create_dir(libexec.join("stranger")).unwrap();
        }),
    ];
    for (reason, damage) in damages {
        damage();
        let (outcome, notices) = fixture.run(Previous::Agent(metadata.clone()));
        assert_eq!(outcome.unwrap().as_ref(), Some(&metadata));
        assert!(notices.contains(reason), "{notices}");
        assert_eq!(fixture.installed().unwrap(), OLD);
        assert_eq!(fs_err::read_dir(&libexec).unwrap().count(), 1);
    }
}

#[test]
fn unreadable_record_is_a_reason_to_install() {
    let fixture = Fixture::new();
    fixture.install();
    let reason = "unknown field".to_owned();
    let (outcome, notices) = fixture.run(Previous::Unreadable { reason });
    assert!(outcome.is_ok());
    assert!(
        notices.contains("UnreadableMetadata { reason: \"unknown field\" }"),
        "{notices}"
    );
}

#[test]
fn optional_goes_on_without_what_cannot_be_fetched() {
    let mut fixture = Fixture::new();
    fixture.optional = true;
    fixture.unpublish();
    let (outcome, notices) = fixture.run(Previous::Nothing);
    assert_eq!(outcome.unwrap(), None);
    assert!(notices.contains("AgentSkipped {"), "{notices}");
}

#[test]
fn optional_does_not_ship_what_was_not_asked_for() {
    let mut fixture = Fixture::new();
    let metadata = fixture.install();
    fixture.optional = true;
    fixture.pin(NEW);
    fixture.unpublish();
    let (outcome, _) = fixture.run(Previous::Agent(metadata));
    assert_eq!(outcome.unwrap(), None);
    assert_eq!(fixture.installed(), None);
}

#[test]
fn optional_stops_for_what_is_wrong() {
    let mut fixture = Fixture::new();
    fixture.optional = true;
    fixture.publish(&crate::archive::file_kind::tests::elf_header(
        elf::abi::EM_AARCH64,
    ));
    let (outcome, _) = fixture.run(Previous::Nothing);
    assert!(matches!(outcome, Err(InstallError::Archive { .. })));
    fixture.pin(NEW);
    let (outcome, _) = fixture.run(Previous::Nothing);
    assert!(matches!(outcome, Err(InstallError::Checksum { .. })));
}

#[test]
fn own_files_are_left_alone_by_an_installation() {
    let fixture = Fixture::new();
    let metadata = fixture.install();
    let layer = fixture.path("layer");
    for _ in 0..2 {
        write_buildpack_files(&layer, Some(&metadata)).unwrap();
        for name in ["backplane-drain", "backplane-run", "backplane-status"] {
            let link = fs_err::read_link(layer.join("libexec").join(name)).unwrap();
            assert_eq!(link, Path::new("../exec.d/launch"));
        }
        let checksum = fs_err::read_to_string(layer.join("agent.sha256")).unwrap();
        assert_eq!(checksum, format!("{}\n", metadata.sha256));
    }
    write_buildpack_files(&layer, None).unwrap();
    let checksum = fs_err::read_to_string(layer.join("agent.sha256")).unwrap();
    assert_eq!(checksum, "", "an agent that is gone has none");
    let (outcome, notices) = fixture.run(Previous::Agent(metadata.clone()));
    assert_eq!(outcome.unwrap(), Some(metadata));
    assert!(notices.contains("UsingSameDownload"), "{notices}");
}

#[test]
fn leftovers_of_a_killed_build_are_removed() {
    let fixture = Fixture::new();
    let leftover = fixture.path("staging/libexec");
    fs_err::create_dir_all(&leftover).unwrap();
    fs_err::write(leftover.join("half"), "half").unwrap();
    fixture.install();
    assert_eq!(fixture.installed().unwrap(), OLD);
}

#[test]
fn cached_file_of_any_size_costs_no_time() {
    let fixture = Fixture::new();
    let metadata = fixture.install();
    fs_err::OpenOptions::new()
        .write(true)
        .open(fixture.installed_path())
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let (outcome, notices) = fixture.run(Previous::Agent(metadata.clone()));
    assert_eq!(outcome.unwrap(), Some(metadata));
    assert!(
        notices.contains("Altered, names: Names { first: {\"backplane\"}"),
        "{notices}"
    );
    assert_eq!(fixture.installed().unwrap(), OLD);
}

#[test]
fn modes_of_a_cached_agent_are_set_at_every_build() {
    let mut fixture = Fixture::new();
    let mut metadata = fixture.install();
    let libexec = fixture.path("layer/libexec");
    let path = |name: &str| libexec.join(name);
    for (name, content) in [("frpc", &elf_header(3)[..]), ("frpc.toml", b"port = 1")] {
        fs_err::write(path(name), content).unwrap();
        let checksum = Checksum::of_bytes(content);
        metadata.files.insert(name.to_owned(), checksum);
    }
    let pin = metadata.sha256.clone();
    for pin in [None, Some(pin)] {
        fixture.release.pin = pin;
        for mode in [0o644, 0o755, 0o400, 0o600, 0o4755, 0o6755, 0o777] {
            for name in ["backplane", "frpc"] {
                files::set_mode(&path(name), mode).unwrap();
            }
            files::set_mode(&path("frpc.toml"), mode & 0o6666).unwrap();
            files::set_mode(&path(""), 0o700).unwrap();
            prepare(&fixture.path("layer"), &[], &|_| {}).unwrap();
            let (outcome, notices) = fixture.run(Previous::Agent(metadata.clone()));
            assert_eq!(outcome.unwrap().as_ref(), Some(&metadata));
            assert!(notices.contains("Using"), "{mode:o}: {notices}");
            for (name, expected) in [
                ("", 0o755),
                ("backplane", 0o755),
                ("frpc", 0o755),
                ("frpc.toml", 0o644),
            ] {
                let real = fs_err::metadata(path(name)).unwrap().mode() & 0o7777;
                assert_eq!(real, expected, "{name}, {mode:o} before");
            }
        }
    }
}

#[test]
fn only_the_agents_files_are_left_of_an_earlier_build() {
    let fixture = Fixture::new();
    fixture.install();
    let layer = fixture.path("layer");
    // The launcher would make an environment of these.
    for name in ["bin", "env", "env.launch", "exec.d", "lib", "profile.d"] {
        fs_err::create_dir(layer.join(name)).unwrap();
        fs_err::write(layer.join(name).join("PATH"), "/evil").unwrap();
    }
    fs_err::write(layer.join("kept"), "").unwrap();
    prepare(&layer, &["kept"], &|_| {}).unwrap();
    let mut names: Vec<_> = fs_err::read_dir(&layer)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["kept", "libexec"]);
    assert_eq!(fixture.installed().unwrap(), OLD);
}
