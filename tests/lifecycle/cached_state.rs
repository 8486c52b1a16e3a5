//! Anything in the place of the build's own files: in a damaged cache, and in an app.
//!
//! The build program runs alone here and with little memory, so no platform repairs anything.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use harness::lifecycle::{BuildProgram, FrontEnd, test_env};
use harness::{STRANGE, assert_logs, assert_untouched, for_each_front_end, put_strange};

use crate::fixtures::{PATIENT_AGENT, paths_below};

for_each_front_end! {
    anything_in_the_place_of_a_cached_file_is_replaced,
    modes_depend_neither_on_the_umask_nor_on_the_cache,
    read_only_cache_stops_the_build_with_advice,
    package_of_another_architecture_stops_the_build,
}

/// All the memory that a build may map.
const LIMITED: [&str; 4] = ["/bin/sh", "-c", "ulimit -v 65536; exec \"$@\"", "limit"];

/// A build of an app with a vendored agent.
fn program(front_end: FrontEnd) -> BuildProgram {
    let program = BuildProgram::new(front_end);
    fs::write(program.app.join("agent"), PATIENT_AGENT).unwrap();
    program.set("BACKPLANE_AGENT_URL", "agent");
    program
}

#[track_caller]
fn build(program: &BuildProgram) -> String {
    let (status, log) = BuildProgram::run(program.command_under(&LIMITED));
    assert!(status.success(), "{log}");
    log
}

#[track_caller]
fn fail(command: Command) -> String {
    let (status, log) = BuildProgram::run(command);
    assert_eq!(status.code(), Some(1), "{log}");
    log
}

fn anything_in_the_place_of_a_cached_file_is_replaced(front_end: FrontEnd) {
    // With the reason for another installation, if there is one.
    let places: &[(&str, &str)] = match front_end {
        FrontEnd::Cnb => &[
            ("agent", ""),
            ("agent.sbom.cdx.json", ""),
            ("agent.sbom.spdx.json", ""),
            ("agent.staging", ""),
            ("agent.toml", "metadata is unreadable ("),
            ("agent/agent.sha256", ""),
            ("agent/agent.variables", ""),
            ("agent/env", ""),
            ("agent/exec.d", ""),
            ("agent/exec.d/launch", ""),
            ("agent/libexec", "missing cached files: backplane"),
            ("agent/libexec/backplane", "altered cached files: backplane"),
            ("agent/libexec/backplane-status", ""),
            ("launch.toml", ""),
            ("store.toml", ""),
        ],
        FrontEnd::Classic => &[
            ("backplane", ""),
            ("backplane/agent.toml", "metadata is unreadable ("),
            ("backplane/agent.toml.new", ""),
            ("backplane/libexec", "missing cached files: backplane"),
            ("backplane/libexec/backplane", "altered cached files: "),
            ("backplane/staging", ""),
        ],
    };
    for (place, reason) in places {
        for kind in STRANGE {
            let program = program(front_end);
            let outside = test_env().new_directory();
            build(&program);
            program.restore();
            put_strange(kind, &program.cache.join(place), outside.path());
            let log = build(&program);
            let what = format!("{place} as {kind}:\n{log}");
            assert!(log.contains(reason), "{what}");
            let should_be_directory =
                ["agent", "agent/libexec", "backplane", "backplane/libexec"].contains(place);
            let is_directory = ["directory", "locked directories"].contains(&kind);
            let is_logged = log.contains("it isn't a directory");
            assert_eq!(is_logged, should_be_directory && !is_directory, "{what}");
            let is_kept = reason.is_empty() && !["agent", "backplane"].contains(place);
            assert_eq!(log.contains("Using the cached agent"), is_kept, "{what}");
            assert_untouched(outside.path(), &what);
            for agent in [&program.installed, &program.kept] {
                assert!(fs::symlink_metadata(agent).unwrap().is_file(), "{what}");
                assert_eq!(fs::read_to_string(agent).unwrap(), PATIENT_AGENT, "{what}");
            }
            program.assert_nothing_is_left();
            program.restore();
            assert_logs(&build(&program), "Using the cached agent");
        }
    }
}

fn modes_depend_neither_on_the_umask_nor_on_the_cache(front_end: FrontEnd) {
    let strict = ["/bin/sh", "-c", "umask 077; exec \"$@\"", "strict"];
    let program = program(front_end);
    // An app may bring read-only files.
    let script = program.app.join(".profile.d/backplane.sh");
    fs::create_dir(script.parent().unwrap()).unwrap();
    fs::write(&script, "read-only").unwrap();
    for path in [&script, &program.app.join("agent")] {
        fs::set_permissions(path, Permissions::from_mode(0o444)).unwrap();
    }
    let directory = match front_end {
        FrontEnd::Cnb => &program.cache,
        FrontEnd::Classic => &program.app,
    };
    // With and without a cached agent, whose modes the tests of the installer change.
    for _ in 0..2 {
        let (status, log) = BuildProgram::run(program.command_under(&strict));
        assert!(status.success(), "{log}");
        let mut paths = paths_below(directory);
        assert!(paths.contains(&program.installed), "{paths:?}");
        paths.retain(|path| !path.is_symlink() && *path != program.app.join("agent"));
        for path in paths {
            let is_program =
                path.is_dir() || path.ends_with("launch") || path.ends_with("backplane");
            let expected = if is_program { 0o755 } else { 0o644 };
            let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
            assert_eq!(mode, expected, "{}", path.display());
        }
        program.restore();
    }
    assert_logs(&build(&program), "Using the cached agent");
}

fn read_only_cache_stops_the_build_with_advice(front_end: FrontEnd) {
    let program = program(front_end);
    build(&program);
    program.restore();
    let (advice, id) = match front_end {
        FrontEnd::Cnb => ("--clear-cache", "restored-layer"),
        FrontEnd::Classic => {
            fs::remove_dir_all(program.cache.join("backplane")).unwrap();
            ("heroku builds:cache:purge", "classic/cache")
        }
    };
    fs::set_permissions(&program.cache, Permissions::from_mode(0o555)).unwrap();
    let log = fail(program.command());
    fs::set_permissions(&program.cache, Permissions::from_mode(0o755)).unwrap();
    assert_logs(&log, advice);
    assert_logs(&log, &format!("Error: backplane/{id}"));
    build(&program);
}

fn package_of_another_architecture_stops_the_build(front_end: FrontEnd) {
    let mut program = program(front_end);
    let (own, other, machine_of_other) = match std::env::consts::ARCH {
        "aarch64" => ("arm64", "amd64", elf::abi::EM_X86_64),
        _ => ("amd64", "arm64", elf::abi::EM_AARCH64),
    };
    let mut command = program.command();
    let (package, image) = match front_end {
        FrontEnd::Cnb => {
            command.env("CNB_TARGET_ARCH", other);
            (own, other)
        }
        // It builds for the machine that it runs on, so its package is for the other one.
        FrontEnd::Classic => {
            let path = program.own_package().join("lib/launch");
            let mut launch = fs::read(&path).unwrap();
            launch[18..20].copy_from_slice(&machine_of_other.to_le_bytes());
            fs::write(path, launch).unwrap();
            command = program.command();
            (other, own)
        }
    };
    let log = fail(command);
    assert_logs(&log, &format!(" {package}"));
    assert_logs(&log, &format!("linux/{image}"));
    assert_logs(&log, "Error: backplane/package-architecture");
    for directory in [&program.cache, &program.app] {
        let names = fs::read_dir(directory).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "agent"), "{names:?}");
    }
}

#[test]
fn files_of_an_app_under_our_names_are_replaced_and_never_written_through() {
    let launch = fs::read(test_env().classic_buildpack().join("lib/launch")).unwrap();
    for place in [
        ".backplane",
        ".backplane/agent.sha256",
        ".backplane/agent.variables",
        ".backplane/exec.d",
        ".backplane/exec.d/launch",
        ".backplane/libexec",
        ".backplane/libexec/backplane",
        ".profile.d",
        ".profile.d/backplane.sh",
        "bin",
        "bin/backplane",
    ] {
        for kind in STRANGE {
            let program = program(FrontEnd::Classic);
            let outside = test_env().new_directory();
            let app = |path: &str| program.app.join(path);
            fs::create_dir_all(app(place).parent().unwrap()).unwrap();
            put_strange(kind, &app(place), outside.path());
            let log = build(&program);
            let what = format!("{place} as {kind}:\n{log}");
            assert_untouched(outside.path(), &what);
            for (path, begin) in [
                (".backplane/agent.sha256", &b""[..]),
                (".backplane/agent.variables", b""),
                (".backplane/exec.d/launch", &launch),
                (".backplane/libexec/backplane", PATIENT_AGENT.as_bytes()),
                (".profile.d/backplane.sh", b"#"),
            ] {
                let metadata = fs::symlink_metadata(app(path)).unwrap();
                assert!(metadata.is_file(), "{path}: {what}");
                let content = fs::read(app(path)).unwrap();
                assert!(content.starts_with(begin), "{path}: {what}");
            }
            let is_directory = ["directory", "locked directories"].contains(&kind);
            let is_logged = log.contains("'.profile.d' is replaced by a directory");
            assert_eq!(is_logged, place == ".profile.d" && !is_directory, "{what}");
        }
    }
}
