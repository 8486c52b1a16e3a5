//! Installations from files of this machine. Those from servers are in the tests over whole builds.

use std::cell::RefCell;

use harness::release_server::{Answer, ReleaseServer};
use tempfile::TempDir;

use super::*;
use crate::archive::file_kind::tests::elf_header;
use crate::checksum::Checksum;
use crate::files::tests::mode;
use crate::release::Source;
use crate::release::tests::target;
use crate::wrapper::Wrapper;

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
                agent: "backplane".to_owned(),
                program: "backplane".to_owned(),
                note: None,
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

    /// Runs the installation over the `cached` agent. It must succeed, and report `notice`.
    #[track_caller]
    fn assert_rebuilt(&self, cached: &AgentMetadata, notice: &str) -> AgentMetadata {
        let (outcome, notices) = self.run(Previous::Agent(cached.clone()));
        assert!(notices.contains(notice), "{notices}");
        // An agent that stays was reported as unpinned by the build that installed it.
        let is_installed = notices.contains("Installing(");
        assert!(is_installed || !notices.contains("Unpinned("), "{notices}");
        outcome.unwrap().unwrap()
    }

    /// Runs the installation, which must fail and leave the cached agent in its place.
    #[track_caller]
    fn assert_failed(&self, cached: &AgentMetadata, expected: &str) {
        let (outcome, notices) = self.run(Previous::Agent(cached.clone()));
        let error = format!("{:?}", outcome.unwrap_err());
        assert!(error.contains(expected), "{error}\n{notices}");
        assert_eq!(self.installed().unwrap(), OLD);
    }
}

#[test]
fn first_install_is_complete_and_reported_as_unpinned_if_it_is() {
    let mut fixture = Fixture::new();
    let (outcome, notices) = fixture.run(Previous::Nothing);
    let metadata = outcome.unwrap().unwrap();
    assert_eq!(fixture.installed().unwrap(), OLD);
    assert_eq!(mode(&fixture.installed_path()), 0o755);
    assert_eq!(mode(fixture.installed_path().parent().unwrap()), 0o755);
    assert_eq!(metadata.sha256, Checksum::of_bytes(OLD));
    assert!(notices.contains("NothingCached"), "{notices}");
    assert!(notices.contains("Unpinned("), "{notices}");

    fixture.pin(OLD);
    let (outcome, notices) = fixture.run(Previous::Nothing);
    assert!(outcome.is_ok());
    assert!(!notices.contains("Unpinned("), "{notices}");
}

#[test]
fn pinned_and_cached_does_not_touch_the_source() {
    let mut fixture = Fixture::new();
    let metadata = fixture.install();
    fixture.pin(OLD);
    fixture.unpublish();
    assert_eq!(fixture.assert_rebuilt(&metadata, "UsingPinned("), metadata);
}

#[test]
fn other_pin_and_other_source_never_fall_back() {
    let mut fixture = Fixture::new();
    let metadata = fixture.install();
    fixture.pin(NEW);
    fixture.assert_failed(&metadata, "found: Script, bytes: 16");
    fixture.unpublish();
    fixture.assert_failed(&metadata, "Fetch {");
    fixture.publish(NEW);
    fixture.assert_rebuilt(&metadata, "property: Pin");
    assert_eq!(fixture.installed().unwrap(), NEW);

    let mut fixture = Fixture::new();
    let metadata = fixture.install();
    fixture.release.source = Source::File(fixture.path("elsewhere"));
    fixture.assert_failed(&metadata, "Fetch {");
}

#[test]
fn same_source_is_kept_replaced_or_survived() {
    let fixture = Fixture::new();
    let metadata = fixture.install();
    let unchanged = fixture.assert_rebuilt(&metadata, "UsingSameDownload");
    assert_eq!(unchanged, metadata);
    let damaged = Some(&b"\x1f\x8b\x08\x00"[..]);
    for unusable in [Some(&b"<html>Please log in"[..]), damaged, Some(b""), None] {
        match unusable {
            Some(content) => fixture.publish(content),
            None => fixture.unpublish(),
        }
        assert_eq!(fixture.assert_rebuilt(&metadata, "Kept {"), metadata);
        assert_eq!(fixture.installed().unwrap(), OLD);
    }
    fixture.publish(NEW);
    let changed = fixture.assert_rebuilt(&metadata, "Changed {");
    assert_eq!(fixture.installed().unwrap(), NEW);
    assert_eq!(changed.sha256, Checksum::of_bytes(NEW));
}

#[test]
fn altered_and_missing_files_are_replaced_and_unknown_ones_removed() {
    let fixture = Fixture::new();
    let metadata = fixture.install();
    let libexec = fixture.path("layer/libexec");
    let agent = fixture.installed_path();
    let damages: [(&str, &dyn Fn()); 5] = [
        ("Altered, names: Names { first: {\"backplane\"}", &|| {
            fs_err::write(&agent, "changed").unwrap();
        }),
        // A file of any size costs no time.
        ("Altered, names: Names { first: {\"backplane\"}", &|| {
            let file = fs_err::OpenOptions::new().write(true).open(&agent);
            file.unwrap().set_len(1 << 40).unwrap();
        }),
        ("Missing, names: Names { first: {\"backplane\"}", &|| {
            fs_err::remove_file(&agent).unwrap();
        }),
        ("Missing, names: Names { first: {\"backplane\"}", &|| {
            fs_err::remove_dir_all(&libexec).unwrap();
        }),
        ("UsingSameDownload", &|| {
            fs_err::create_dir(libexec.join("stranger")).unwrap();
        }),
    ];
    for (reason, damage) in damages {
        damage();
        assert_eq!(fixture.assert_rebuilt(&metadata, reason), metadata);
        assert_eq!(fixture.installed().unwrap(), OLD);
        assert_eq!(fs_err::read_dir(&libexec).unwrap().count(), 1);
    }
}

#[test]
fn optional_agent_is_skipped_if_it_cannot_be_fetched_but_not_if_it_is_wrong() {
    let mut fixture = Fixture::new();
    let metadata = fixture.install();
    fixture.optional = true;
    fixture.publish(&elf_header(elf::abi::EM_AARCH64));
    let (outcome, _) = fixture.run(Previous::Nothing);
    assert!(matches!(outcome, Err(InstallError::Archive { .. })));
    fixture.pin(NEW);
    fixture.assert_failed(&metadata, "Checksum {");
    // The cached agent is not what was asked for.
    fixture.unpublish();
    let (outcome, notices) = fixture.run(Previous::Agent(metadata));
    assert_eq!(outcome.unwrap(), None);
    assert!(notices.contains("AgentSkipped("), "{notices}");
    assert_eq!(fixture.installed(), None);
}

#[test]
fn unchanged_version_is_kept_by_a_conditional_request() {
    let server = ReleaseServer::http([Answer::File(OLD.to_vec())]);
    let mut fixture = Fixture::new();
    fixture.release.source = Source::Web(server.url("/").parse().unwrap());
    let metadata = fixture.install();
    let kept = fixture.assert_rebuilt(&metadata, "UsingUnchanged");
    assert_eq!(kept, metadata);
}

#[test]
fn download_of_unknown_length_is_installed_only_if_it_is_pinned() {
    let undelimited = [b"HTTP/1.1 200 OK\r\n\r\n", OLD].concat();
    let server = ReleaseServer::http([Answer::Raw(undelimited)]);
    let mut fixture = Fixture::new();
    let metadata = fixture.install();
    fixture.release.source = Source::Web(server.url("/").parse().unwrap());
    fixture.assert_failed(&metadata, "Unproven");
    fixture.optional = true;
    let (outcome, notices) = fixture.run(Previous::Nothing);
    assert_eq!(outcome.unwrap(), None);
    assert!(notices.contains("AgentSkipped("), "{notices}");
    fixture.pin(OLD);
    fixture.install();
    assert_eq!(fixture.installed().unwrap(), OLD);
}

#[test]
fn buildpack_files_are_written_anew_at_each_build() {
    let mut fixture = Fixture::new();
    fixture.release.agent = "tunnel".to_owned();
    fixture.release.program = "tunneld".to_owned();
    let package = fixture.path("package");
    let find = || Wrapper::find(&package, &fixture.release);
    assert!(find().is_err());
    let of_agent = |name: &str| package.join("agents/tunnel").join(name);
    fs_err::create_dir_all(of_agent("")).unwrap();
    for (name, content, mode) in [
        ("backplane", "#!/bin/sh\nexec tunneld\n", 0o644),
        ("tunnel.toml", "token = 1", 0o600),
        ("variables", "BACKPLANE_SERVER\n", 0o600),
    ] {
        fs_err::write(of_agent(name), content).unwrap();
        files::set_mode(&of_agent(name), mode).unwrap();
    }
    let wrapper = find().unwrap().unwrap();

    let metadata = fixture.install();
    let layer = fixture.path("layer");
    let read = |name: &str| fs_err::read_to_string(layer.join(name)).unwrap();
    for _ in 0..2 {
        write_buildpack_files(&layer, Some(&metadata), Some(&wrapper)).unwrap();
        for name in ["backplane-drain", "backplane-run", "backplane-status"] {
            let link = fs_err::read_link(layer.join("libexec").join(name)).unwrap();
            assert_eq!(link, Path::new("../exec.d/launch"));
        }
        assert_eq!(read("agent.sha256"), format!("{}\n", metadata.sha256));
        assert_eq!(read("agent.variables"), "BACKPLANE_SERVER\n");
        for (name, expected) in [
            ("backplane", 0o755),
            ("tunneld", 0o755),
            ("tunnel.toml", 0o644),
        ] {
            assert_eq!(mode(&layer.join("libexec").join(name)), expected, "{name}");
        }
        assert_eq!(fs_err::read_dir(layer.join("libexec")).unwrap().count(), 6);
    }

    // The next build keeps the program alone, and may know another wrapper.
    let rebuilt = fixture.assert_rebuilt(&metadata, "UsingSameDownload");
    assert_eq!(rebuilt, metadata);
    assert_eq!(fs_err::read_dir(layer.join("libexec")).unwrap().count(), 1);
    write_buildpack_files(&layer, None, Some(&wrapper)).unwrap();
    assert_eq!(read("agent.sha256") + &read("agent.variables"), "");
    assert_eq!(fixture.installed(), None);
}

#[test]
fn leftovers_of_a_killed_build_are_removed() {
    let fixture = Fixture::new();
    fs_err::create_dir_all(fixture.path("staging/libexec/half")).unwrap();
    fixture.install();
    assert_eq!(fixture.installed().unwrap(), OLD);
}

#[test]
fn modes_of_a_cached_agent_are_set_at_every_build() {
    let mut fixture = Fixture::new();
    let mut metadata = fixture.install();
    let libexec = fixture.path("layer/libexec");
    for (name, content) in [("frpc", &elf_header(3)[..]), ("frpc.toml", b"port = 1")] {
        fs_err::write(libexec.join(name), content).unwrap();
        let checksum = Checksum::of_bytes(content);
        metadata.files.insert(name.to_owned(), checksum);
    }
    let paths = ["", "backplane", "frpc", "frpc.toml"].map(|name| libexec.join(name));
    for pin in [None, Some(metadata.sha256.clone())] {
        fixture.release.pin = pin;
        for before in [0o644, 0o755, 0o400, 0o600, 0o4755, 0o6755, 0o777] {
            for (path, mode) in paths.iter().zip([0o700, before, before, before & 0o6666]) {
                files::set_mode(path, mode).unwrap();
            }
            prepare(&fixture.path("layer"), &[], &|_| {}).unwrap();
            assert_eq!(fixture.assert_rebuilt(&metadata, "Using"), metadata);
            let modes = paths.each_ref().map(|path| mode(path));
            assert_eq!(modes, [0o755, 0o755, 0o755, 0o644], "{before:o} before");
        }
    }
}

#[test]
fn only_the_agents_files_are_left_of_an_earlier_build() {
    let fixture = Fixture::new();
    fixture.install();
    let layer = fixture.path("layer");
    // The launcher would read the app's environment from these.
    for name in ["bin", "env", "env.launch", "exec.d", "lib", "profile.d"] {
        fs_err::create_dir(layer.join(name)).unwrap();
        fs_err::write(layer.join(name).join("PATH"), "/evil").unwrap();
    }
    fs_err::write(layer.join("kept"), "").unwrap();
    prepare(&layer, &["kept"], &|_| {}).unwrap();
    let entries = fs_err::read_dir(&layer).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["kept", "libexec"]);
    assert_eq!(fixture.installed().unwrap(), OLD);
}
