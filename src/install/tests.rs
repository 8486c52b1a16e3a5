//! Installations from files of this machine; those from servers are in the integration tests.

use tempfile::TempDir;

use super::*;
use crate::content::tests::elf_header;
use crate::files::strange::{STRANGE, assert_untouched, put_strange};
use crate::output::Recorded;
use crate::release::Source;
use crate::release::tests::target;

const OLD: &[u8] = b"#!/bin/sh\n# old\n";
const NEW: &[u8] = b"#!/bin/sh\n# new\n";

/// A source file, a folder to install into, and what is said meanwhile.
struct Bench {
    folder: TempDir,
    release: Release,
    optional: bool,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::File(folder.path().join("source"));
        fs_err::create_dir(folder.path().join("layer")).unwrap();
        let bench = Self {
            folder,
            release: Release {
                source,
                target: target("amd64"),
                pin: None,
            },
            optional: false,
        };
        bench.publish(OLD);
        bench
    }

    fn publish(&self, content: &[u8]) {
        fs_err::write(self.folder.path().join("source"), content).unwrap();
    }

    fn unpublish(&self) {
        fs_err::remove_file(self.folder.path().join("source")).unwrap();
    }

    fn pin(&mut self, content: &[u8]) {
        self.release.pin = Some(Checksum::of_bytes(content));
    }

    fn installed_path(&self) -> PathBuf {
        self.folder.path().join("layer/libexec/backplane")
    }

    fn installed(&self) -> Option<Vec<u8>> {
        fs_err::read(self.installed_path()).ok()
    }

    fn run(&self, previous: Previous) -> (Result<Option<Record>, InstallError>, String) {
        let output = Recorded::default();
        let staging = self.folder.path().join("staging");
        let outcome = Installation {
            folder: &self.folder.path().join("layer"),
            staging: &staging,
            release: &self.release,
            optional: self.optional,
            network: &Network::default(),
            limits: &Limits::default(),
            output: &output,
        }
        .run(previous);
        assert!(!staging.exists());
        (outcome, output.lines().join("\n"))
    }

    fn install(&self) -> Record {
        self.run(Previous::Nothing).0.unwrap().unwrap()
    }
}

#[test]
fn first_install_is_complete_and_says_how_to_pin() {
    let bench = Bench::new();
    let (outcome, said) = bench.run(Previous::Nothing);
    let record = outcome.unwrap().unwrap();
    assert_eq!(bench.installed().unwrap(), OLD);
    let mode = |path: &Path| fs_err::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&bench.installed_path()), 0o755);
    assert_eq!(mode(bench.installed_path().parent().unwrap()), 0o755);
    assert_eq!(record.sha256, Checksum::of_bytes(OLD));
    assert!(said.contains("no agent is cached"), "{said}");
    assert!(said.contains(&format!("BACKPLANE_AGENT_SHA256={}", record.sha256)));
}

#[test]
fn pinned_install_needs_no_advice() {
    let mut bench = Bench::new();
    bench.pin(OLD);
    let (outcome, said) = bench.run(Previous::Nothing);
    assert!(outcome.is_ok());
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn pinned_and_cached_does_not_touch_the_source() {
    let mut bench = Bench::new();
    let record = bench.install();
    bench.pin(OLD);
    bench.unpublish();
    let (outcome, said) = bench.run(Previous::Record(record.clone()));
    assert_eq!(outcome.unwrap(), Some(record));
    assert!(said.contains("Using the cached agent"), "{said}");
}

#[test]
fn pinned_to_another_never_falls_back() {
    let mut bench = Bench::new();
    let record = bench.install();
    bench.pin(NEW);
    let (outcome, _) = bench.run(Previous::Record(record.clone()));
    assert!(matches!(outcome, Err(InstallError::Checksum { .. })));
    // What was usable is still there: the next build may ask for it again.
    assert_eq!(bench.installed().unwrap(), OLD);
    bench.unpublish();
    let (outcome, _) = bench.run(Previous::Record(record.clone()));
    assert!(matches!(outcome, Err(InstallError::Download { .. })));
    bench.publish(NEW);
    let (outcome, _) = bench.run(Previous::Record(record));
    assert!(outcome.is_ok());
    assert_eq!(bench.installed().unwrap(), NEW);
}

#[test]
fn other_source_never_falls_back() {
    let mut bench = Bench::new();
    let record = bench.install();
    bench.release.source = Source::File(bench.folder.path().join("elsewhere"));
    let (outcome, said) = bench.run(Previous::Record(record));
    assert!(matches!(outcome, Err(InstallError::Download { .. })));
    assert!(said.contains("the source has changed"), "{said}");
}

#[test]
fn same_source_is_kept_replaced_or_survived() {
    let bench = Bench::new();
    let record = bench.install();
    let (outcome, said) = bench.run(Previous::Record(record.clone()));
    assert_eq!(outcome.unwrap().as_ref(), Some(&record));
    assert!(said.contains("the same checksum"), "{said}");

    for unusable in [&b"<html>Please log in"[..], b""] {
        bench.publish(unusable);
        let (outcome, said) = bench.run(Previous::Record(record.clone()));
        assert_eq!(outcome.unwrap().as_ref(), Some(&record));
        assert_eq!(bench.installed().unwrap(), OLD);
        assert!(said.contains("warning: Using the cached agent"), "{said}");
    }
    bench.unpublish();
    let (outcome, said) = bench.run(Previous::Record(record.clone()));
    assert_eq!(outcome.unwrap().as_ref(), Some(&record));
    assert!(said.contains("warning: Using the cached agent"), "{said}");

    bench.publish(NEW);
    let (outcome, said) = bench.run(Previous::Record(record.clone()));
    let changed = outcome.unwrap().unwrap();
    assert_eq!(bench.installed().unwrap(), NEW);
    let expected = format!("changed {} → {}", record.sha256, changed.sha256);
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn altered_missing_and_strange_files_are_replaced() {
    let bench = Bench::new();
    let record = bench.install();
    let libexec = bench.folder.path().join("layer/libexec");
    let damages: [(&str, &dyn Fn()); 4] = [
        ("backplane is altered", &|| {
            fs_err::write(bench.installed_path(), "changed").unwrap();
        }),
        ("backplane is missing", &|| {
            fs_err::remove_file(bench.installed_path()).unwrap();
        }),
        ("backplane is missing", &|| {
            fs_err::remove_dir_all(&libexec).unwrap();
        }),
        ("stranger is not ours", &|| {
            fs_err::create_dir(libexec.join("stranger")).unwrap();
        }),
    ];
    for (reason, damage) in damages {
        damage();
        let (outcome, said) = bench.run(Previous::Record(record.clone()));
        assert_eq!(outcome.unwrap().as_ref(), Some(&record));
        assert!(said.contains(reason), "{said}");
        assert_eq!(bench.installed().unwrap(), OLD);
        assert_eq!(fs_err::read_dir(&libexec).unwrap().count(), 1);
    }
}

#[test]
fn unreadable_record_is_a_reason_to_install() {
    let bench = Bench::new();
    bench.install();
    let reason = "unknown field".to_owned();
    let (outcome, said) = bench.run(Previous::Unreadable { reason });
    assert!(outcome.is_ok());
    assert!(said.contains("unreadable (unknown field)"), "{said}");
}

#[test]
fn optional_goes_on_without_what_cannot_be_fetched() {
    let mut bench = Bench::new();
    bench.optional = true;
    bench.unpublish();
    let (outcome, said) = bench.run(Previous::Nothing);
    assert_eq!(outcome.unwrap(), None);
    assert!(
        said.contains("warning: There is no Backplane agent in this build"),
        "{said}"
    );
}

#[test]
fn optional_does_not_ship_what_was_not_asked_for() {
    let mut bench = Bench::new();
    let record = bench.install();
    bench.optional = true;
    bench.pin(NEW);
    bench.unpublish();
    let (outcome, _) = bench.run(Previous::Record(record));
    assert_eq!(outcome.unwrap(), None);
    assert_eq!(bench.installed(), None);
}

#[test]
fn optional_stops_for_what_is_wrong() {
    let mut bench = Bench::new();
    bench.optional = true;
    bench.publish(&crate::content::tests::elf_header(elf::abi::EM_AARCH64));
    let (outcome, _) = bench.run(Previous::Nothing);
    assert!(matches!(outcome, Err(InstallError::Archive { .. })));
    bench.pin(NEW);
    let (outcome, _) = bench.run(Previous::Nothing);
    assert!(matches!(outcome, Err(InstallError::Checksum { .. })));
}

#[test]
fn own_files_are_left_alone_by_an_installation() {
    let bench = Bench::new();
    let record = bench.install();
    let layer = bench.folder.path().join("layer");
    for _ in 0..2 {
        put_own_files(&layer, Some(&record)).unwrap();
        let link = fs_err::read_link(layer.join("libexec/backplane-status")).unwrap();
        assert_eq!(link, Path::new("../exec.d/launch"));
        let checksum = fs_err::read_to_string(layer.join("agent.sha256")).unwrap();
        assert_eq!(checksum, format!("{}\n", record.sha256));
    }
    put_own_files(&layer, None).unwrap();
    let checksum = fs_err::read_to_string(layer.join("agent.sha256")).unwrap();
    assert_eq!(checksum, "", "an agent that is gone has none");
    let (outcome, said) = bench.run(Previous::Record(record.clone()));
    assert_eq!(outcome.unwrap(), Some(record));
    assert!(said.contains("the same checksum"), "{said}");
}

#[test]
fn leftovers_of_a_killed_build_are_removed() {
    let bench = Bench::new();
    let leftover = bench.folder.path().join("staging/libexec");
    fs_err::create_dir_all(&leftover).unwrap();
    fs_err::write(leftover.join("half"), "half").unwrap();
    bench.install();
    assert_eq!(bench.installed().unwrap(), OLD);
}

#[test]
fn whatever_is_in_the_place_of_the_agent_is_replaced_and_never_waited_for() {
    let bench = Bench::new();
    let record = bench.install();
    let layer = bench.folder.path().join("layer");
    let outside = bench.folder.path().join("outside");
    for place in ["libexec", "libexec/backplane", "libexec/backplane-status"] {
        for kind in STRANGE {
            put_strange(kind, &layer.join(place), &outside);
            prepare(&layer, &[], &Recorded::default()).unwrap();
            let (outcome, said) = bench.run(Previous::Record(record.clone()));
            let what = format!("{place} as {kind}: {said}");
            assert_eq!(outcome.unwrap().as_ref(), Some(&record), "{what}");
            let is_damaged = place != "libexec/backplane-status";
            let is_told = said.contains("the cached file backplane is ");
            assert_eq!(is_told, is_damaged, "{what}");
            put_own_files(&layer, Some(&record)).unwrap();
            for directory in [&layer, &layer.join("libexec")] {
                let metadata = fs_err::symlink_metadata(directory).unwrap();
                assert!(metadata.is_dir(), "{what}");
                assert_eq!(metadata.mode() & 0o7777, 0o755, "{what}");
            }
            let agent = fs_err::symlink_metadata(bench.installed_path()).unwrap();
            assert!(agent.is_file(), "{what}");
            assert_eq!(bench.installed().unwrap(), OLD, "{what}");
            assert_untouched(&outside, &what);
        }
    }
}

#[test]
fn cached_file_of_any_size_costs_no_time() {
    let bench = Bench::new();
    let record = bench.install();
    fs_err::OpenOptions::new()
        .write(true)
        .open(bench.installed_path())
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let (outcome, said) = bench.run(Previous::Record(record.clone()));
    assert_eq!(outcome.unwrap(), Some(record));
    assert!(
        said.contains("the cached file backplane is altered"),
        "{said}"
    );
    assert_eq!(bench.installed().unwrap(), OLD);
}

#[test]
fn modes_of_a_cached_agent_are_set_at_every_build() {
    let mut bench = Bench::new();
    let mut record = bench.install();
    let path = |name: &str| bench.folder.path().join("layer/libexec").join(name);
    for (name, content) in [("frpc", &elf_header(3)[..]), ("frpc.toml", b"port = 1")] {
        fs_err::write(path(name), content).unwrap();
        let checksum = Checksum::of_bytes(content);
        record.files.insert(name.to_owned(), checksum);
    }
    let pin = record.sha256.clone();
    for pin in [None, Some(pin)] {
        bench.release.pin = pin;
        for mode in [0o644, 0o755, 0o400, 0o600, 0o4755, 0o6755, 0o777] {
            for name in ["backplane", "frpc"] {
                files::set_mode(&path(name), mode).unwrap();
            }
            files::set_mode(&path("frpc.toml"), mode & 0o6666).unwrap();
            files::set_mode(&path(""), 0o700).unwrap();
            prepare(
                &bench.folder.path().join("layer"),
                &[],
                &Recorded::default(),
            )
            .unwrap();
            let (outcome, said) = bench.run(Previous::Record(record.clone()));
            assert_eq!(outcome.unwrap().as_ref(), Some(&record));
            assert!(said.contains("Using the cached agent"), "{mode:o}: {said}");
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
fn of_many_strange_files_five_are_named() {
    let bench = Bench::new();
    let record = bench.install();
    let libexec = bench.folder.path().join("layer/libexec");
    for number in 0..5000 {
        fs_err::write(libexec.join(format!("strange-file-{number:05}")), "").unwrap();
    }
    let (outcome, said) = bench.run(Previous::Record(record.clone()));
    assert_eq!(outcome.unwrap(), Some(record));
    assert!(
        said.contains("the cached file strange-file-00004 is not ours; and 4995 more are not ours"),
        "{said}"
    );
    assert!(said.len() < 2000, "{said}");
    assert_eq!(fs_err::read_dir(&libexec).unwrap().count(), 1);
}

#[test]
fn only_the_agents_files_are_left_of_an_earlier_build() {
    let bench = Bench::new();
    bench.install();
    let layer = bench.folder.path().join("layer");
    // The launcher would make an environment of these.
    for name in ["bin", "env", "env.launch", "exec.d", "lib", "profile.d"] {
        fs_err::create_dir(layer.join(name)).unwrap();
        fs_err::write(layer.join(name).join("PATH"), "/evil").unwrap();
    }
    fs_err::write(layer.join("kept"), "").unwrap();
    prepare(&layer, &["kept"], &Recorded::default()).unwrap();
    let mut names: Vec<_> = fs_err::read_dir(&layer)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["kept", "libexec"]);
    assert_eq!(bench.installed().unwrap(), OLD);
}
