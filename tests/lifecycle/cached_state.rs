//! What a build finds under the names that are its own: in a cache that is damaged, in an app, in the variables of a user. The build
//! program runs alone here, with little memory, so that nothing is made good by a platform.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use harness::lifecycle::{Build, BuildProgram, FrontEnd, test_env};
use harness::{
    ReservedPort, STRANGE, assert_says, assert_untouched, for_each_front_end, put_strange,
};

use crate::fixtures::{APPS_OUTPUT, PATIENT_AGENT, app};

for_each_front_end! {
    whatever_stands_in_the_place_of_what_is_cached_is_replaced,
    huge_record_is_not_read,
    of_many_foreign_files_few_are_named,
    modes_are_set_whatever_the_umask_and_the_cache,
    cache_that_cannot_be_changed_stops_the_build_with_advice,
    record_that_no_build_writes_is_not_used,
    package_of_another_architecture_stops_the_build,
}

/// All the memory that a build may map.
const LIMITED: [&str; 4] = ["/bin/sh", "-c", "ulimit -v 65536; exec \"$@\"", "limit"];

/// A build of an app with a vendored agent.
fn program(front_end: FrontEnd) -> BuildProgram {
    let program = BuildProgram::new(front_end);
    fs::write(program.app().join("agent"), PATIENT_AGENT).unwrap();
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

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn record(front_end: FrontEnd) -> &'static str {
    match front_end {
        FrontEnd::Cnb => "agent.toml",
        FrontEnd::Classic => "backplane/agent.toml",
    }
}

fn whatever_stands_in_the_place_of_what_is_cached_is_replaced(front_end: FrontEnd) {
    // With what the log says of it: nothing, where nothing that is cached is lost.
    let places: &[(&str, &str)] = match front_end {
        FrontEnd::Cnb => &[
            ("agent", ""),
            ("agent.sbom.cdx.json", ""),
            ("agent.sbom.spdx.json", ""),
            ("agent.staging", ""),
            ("agent.toml", "metadata is unreadable ("),
            ("agent/agent.sha256", ""),
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
            (
                "backplane/libexec/backplane",
                "altered cached files: backplane",
            ),
            ("backplane/staging", ""),
        ],
    };
    for (place, reason) in places {
        for kind in STRANGE {
            let program = program(front_end);
            let outside = test_env().new_directory();
            build(&program);
            program.restore();
            put_strange(kind, &program.cache().join(place), outside.path());
            let log = build(&program);
            let what = format!("{place} as {kind}:\n{log}");
            assert!(log.contains(reason), "{what}");
            let is_directory =
                ["agent", "agent/libexec", "backplane", "backplane/libexec"].contains(place);
            let is_one = ["directory", "locked directories"].contains(&kind);
            let is_told = log.contains("it isn't a directory");
            assert_eq!(is_told, is_directory && !is_one, "{what}");
            let is_all_kept = reason.is_empty() && !["agent", "backplane"].contains(place);
            assert_eq!(
                log.contains("Using the cached agent"),
                is_all_kept,
                "{what}"
            );
            assert_untouched(outside.path(), &what);
            for agent in [program.installed(), program.kept()] {
                assert!(fs::symlink_metadata(&agent).unwrap().is_file(), "{what}");
                assert_eq!(fs::read_to_string(agent).unwrap(), PATIENT_AGENT, "{what}");
            }
            program.assert_nothing_is_left();
            program.restore();
            assert_says(&build(&program), "Using the cached agent");
        }
    }
}

fn huge_record_is_not_read(front_end: FrontEnd) {
    let program = program(front_end);
    build(&program);
    program.restore();
    fs::OpenOptions::new()
        .write(true)
        .open(program.cache().join(record(front_end)))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let log = build(&program);
    assert_says(&log, "metadata is unreadable (");
    assert_says(&log, "is longer than");
}

fn of_many_foreign_files_few_are_named(front_end: FrontEnd) {
    let program = program(front_end);
    build(&program);
    program.restore();
    for number in 0..20_000 {
        let file = program
            .kept()
            .with_file_name(format!("foreign-{number:05}"));
        fs::write(file, "").unwrap();
    }
    let log = build(&program);
    assert_says(&log, "foreign-00004 and 19995 more");
    assert!(log.len() < 4000, "{}", log.len());
    let kept = fs::read_dir(program.kept().parent().unwrap()).unwrap();
    assert!(kept.count() <= 2);
}

fn modes_are_set_whatever_the_umask_and_the_cache(front_end: FrontEnd) {
    let strict = ["/bin/sh", "-c", "umask 077; exec \"$@\"", "strict"];
    let program = program(front_end);
    for cached in [0o755, 0o644, 0o4755, 0o2711, 0o500] {
        let (status, log) = BuildProgram::run(program.command_under(&strict));
        assert!(status.success(), "{log}");
        let (directory, paths): (_, &[&str]) = match front_end {
            FrontEnd::Cnb => (
                program.cache(),
                &[
                    "agent",
                    "agent/exec.d",
                    "agent/exec.d/launch",
                    "agent/libexec",
                    "agent/libexec/backplane",
                    "agent/agent.sha256",
                    "agent.toml",
                    "agent.sbom.cdx.json",
                    "launch.toml",
                ],
            ),
            FrontEnd::Classic => (
                program.app(),
                &[
                    ".backplane",
                    ".backplane/exec.d",
                    ".backplane/exec.d/launch",
                    ".backplane/libexec",
                    ".backplane/libexec/backplane",
                    ".backplane/agent.sha256",
                    ".profile.d",
                    ".profile.d/backplane.sh",
                    "bin",
                ],
            ),
        };
        for path in paths {
            let path = directory.join(path);
            let is_program =
                path.is_dir() || path.ends_with("launch") || path.ends_with("backplane");
            let expected = if is_program { 0o755 } else { 0o644 };
            assert_eq!(mode(&path), expected, "{}", path.display());
        }
        program.restore();
        fs::set_permissions(program.kept(), Permissions::from_mode(cached)).unwrap();
        fs::set_permissions(
            program.kept().parent().unwrap(),
            Permissions::from_mode(0o700),
        )
        .unwrap();
    }
    assert_says(&build(&program), "Using the cached agent");
}

fn cache_that_cannot_be_changed_stops_the_build_with_advice(front_end: FrontEnd) {
    let program = program(front_end);
    build(&program);
    program.restore();
    let (locked, advice, id) = match front_end {
        FrontEnd::Cnb => (program.cache(), "--clear-cache", "restored-layer"),
        FrontEnd::Classic => (
            program.cache(),
            "heroku builds:cache:purge",
            "classic/cache",
        ),
    };
    if front_end == FrontEnd::Classic {
        fs::remove_dir_all(program.cache().join("backplane")).unwrap();
    }
    fs::set_permissions(&locked, Permissions::from_mode(0o555)).unwrap();
    let log = fail(program.command());
    fs::set_permissions(&locked, Permissions::from_mode(0o755)).unwrap();
    assert_says(&log, advice);
    assert_says(&log, &format!("Error: backplane/{id}"));
    build(&program);
}

fn record_that_no_build_writes_is_not_used(front_end: FrontEnd) {
    let program = program(front_end);
    build(&program);
    let path = program.cache().join(record(front_end));
    let damages: [(&str, &str); 5] = [
        (
            "source = \"agent\"",
            "source = \"https://user:s3cret@mirror.example/\"",
        ),
        ("source = \"agent\"", "source = \"../../etc/passwd\""),
        ("backplane = ", "\"../backplane\" = "),
        ("backplane = ", "\"backplane-status\" = "),
        ("os = \"linux\"", "os = \"linux\\nError: none\""),
    ];
    for (from, to) in damages {
        program.restore();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let log = build(&program);
        assert_says(&log, "metadata is unreadable (");
        assert!(!log.contains("s3cret") && !log.contains("passwd"), "{log}");
        assert_eq!(
            fs::read_to_string(program.installed()).unwrap(),
            PATIENT_AGENT
        );
    }
}

fn package_of_another_architecture_stops_the_build(front_end: FrontEnd) {
    let program = program(front_end);
    let (own, other, machine_of_other) = match std::env::consts::ARCH {
        "aarch64" => ("arm64", "amd64", elf::abi::EM_X86_64),
        _ => ("amd64", "arm64", elf::abi::EM_AARCH64),
    };
    let mut command = program.command();
    let copy = test_env().new_directory();
    let (package, image) = match front_end {
        FrontEnd::Cnb => {
            command.env("CNB_TARGET_ARCH", other);
            (own, other)
        }
        // It builds for the machine that it runs on. So there it is the package that is another.
        FrontEnd::Classic => {
            let compile = copy.path().join("bin/compile");
            let launch = copy.path().join("lib/launch");
            for path in [&compile, &launch] {
                let name = path.strip_prefix(copy.path()).unwrap();
                fs::create_dir(path.parent().unwrap()).unwrap();
                fs::copy(test_env().classic_buildpack().join(name), path).unwrap();
            }
            let mut content = fs::read(&launch).unwrap();
            content[18..20].copy_from_slice(&machine_of_other.to_le_bytes());
            fs::write(launch, content).unwrap();
            let mut copied = Command::new(compile);
            copied.args(command.get_args()).env_clear();
            command = copied;
            (other, own)
        }
    };
    let log = fail(command);
    assert_says(&log, &format!(" {package}"));
    assert_says(&log, &format!("linux/{image}"));
    assert_says(&log, "Error: backplane/package-architecture");
    for directory in [program.cache(), program.app()] {
        let names = fs::read_dir(&directory).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "agent"), "{names:?}");
    }
}

#[test]
fn platform_that_does_not_name_its_target_is_told_apart_from_a_bug() {
    let program = program(FrontEnd::Cnb);
    for (missing, expected) in [
        ("CNB_TARGET_OS", "platform/target"),
        ("CNB_TARGET_ARCH", "platform/target"),
        ("CNB_TARGET_DISTRO_NAME", "platform/distribution"),
    ] {
        let mut command = program.command();
        command.env_remove(missing);
        let log = fail(command);
        assert_says(&log, "API 0.12");
        assert_says(&log, &format!("Error: backplane/{expected}"));
    }
}

#[test]
fn whatever_an_app_has_under_our_names_is_never_written_through() {
    for place in [
        ".backplane",
        ".backplane/agent.sha256",
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
            let at = program.app().join(place);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            put_strange(kind, &at, outside.path());
            let log = build(&program);
            let what = format!("{place} as {kind}:\n{log}");
            assert_untouched(outside.path(), &what);
            for path in [
                ".backplane/agent.sha256",
                ".backplane/exec.d/launch",
                ".backplane/libexec/backplane",
                ".profile.d/backplane.sh",
            ] {
                let metadata = fs::symlink_metadata(program.app().join(path)).unwrap();
                assert!(metadata.is_file(), "{path}: {what}");
            }
        }
    }
}

#[test]
fn agent_starts_on_a_dyno_whatever_profile_d_leads_to() {
    let outside = test_env().new_directory();
    for (target, is_replaced) in [
        (outside.path(), true),
        (Path::new("/nowhere"), true),
        (Path::new("scripts"), false),
    ] {
        let app = app()
            .process(
                "web",
                "echo \"${OWN:-none}\"; echo the app is up; read -r _",
            )
            .executable("agent", PATIENT_AGENT)
            .file("scripts/own.sh", "export OWN=own\n")
            .link(".profile.d", target);
        let image = Build::by(FrontEnd::Classic, app)
            .env("BACKPLANE_AGENT_URL", "agent")
            .run();
        let is_told = image
            .log
            .contains("'.profile.d' is replaced by a directory");
        assert_eq!(is_told, is_replaced, "{}", image.log);
        let port = ReservedPort::reserve();
        let launch = image.launch("web").connect(port.number);
        let _listener = port.listen();
        let running = launch.start();
        running.wait_for_stdout(APPS_OUTPUT);
        running.wait_for_stdout(if is_replaced { "none" } else { "own" });
        running.wait_for_agent();
    }
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
}

#[test]
fn config_var_that_a_build_does_not_need_is_not_read() {
    let program = program(FrontEnd::Classic);
    let outside = test_env().new_directory();
    for kind in STRANGE {
        for name in ["BACKPLANE_TOKEN", "BACKPLANE_AGENT_SHA", "DATABASE_URL"] {
            put_strange(kind, &program.variables().join(name), outside.path());
        }
        let log = build(&program);
        assert_says(&log, "'BACKPLANE_AGENT_SHA'");
    }
    for kind in ["fifo", "unreadable file", "link to a device", "directory"] {
        let name = "BACKPLANE_AGENT_CHANNEL";
        put_strange(kind, &program.variables().join(name), outside.path());
        let log = fail(program.command());
        assert_says(&log, name);
        assert_says(&log, "Error: backplane/classic/config-vars");
    }
}
