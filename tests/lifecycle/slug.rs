//! What a classic compile makes of an app: beside other buildpacks, and after the original one.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use elf::ElfBytes;
use elf::endian::AnyEndian;
use flate2::read::GzDecoder;
use harness::lifecycle::{Build, BuildProgram, FrontEnd, Image, Running, test_env};
use harness::{App, ReservedPort, assert_says};

use crate::fixtures::{APPS_OUTPUT, PATIENT_AGENT, SCRIPT_AGENT, app};

/// A build of this app, and of the script as its vendored agent.
fn build(app: App, script: &str) -> Build {
    Build::by(FrontEnd::Classic, app.executable("vendor/agent", script))
        .env("BACKPLANE_AGENT_URL", "vendor/agent")
}

/// A web dyno of this image, whose app listens, with its agent.
fn web(image: &Image, check: impl FnOnce(&Running)) {
    let port = ReservedPort::reserve();
    let launch = image.launch("web").connect(port.number);
    let _listener = port.listen();
    let running = launch.start();
    running.wait_for_stdout(APPS_OUTPUT);
    running.wait_for_agent();
    check(&running);
}

/// What the original buildpack left in a slug: an agent in `bin`, and a script that starts it.
fn original(app: App) -> App {
    app.executable(
        "bin/backplane",
        "#!/bin/sh\necho the original runs >&2\nexec sleep 1000\n",
    )
    .file(
        ".profile.d/backplane.sh",
        "$HOME/bin/backplane connect \"$BACKPLANE_LABELS\" \"http://127.0.0.1:$PORT\" &\n",
    )
}

#[test]
fn original_buildpack_is_followed_without_any_change_to_the_app() {
    let build = build(original(app()), SCRIPT_AGENT)
        // All that the original and its later versions read.
        .env("BACKPLANE_TOKEN", "token")
        .env("BACKPLANE_LABELS", "some=label")
        .env("BACKPLANE_PROCESS_ALLOW", "web,www")
        .env("BACKPLANE_IGNORE_PROCESS_TYPE", "");
    // And a cache with a file that has the name of our directory.
    fs::create_dir_all(build.kept_agent().parent().unwrap()).unwrap();
    fs::write(build.kept_agent(), "the original's").unwrap();

    let image = build.run();
    assert!(!image.log.contains("rename it"), "{}", image.log);
    let slug = image.agent_layer().join("..");
    let agent = fs::read_to_string(slug.join("bin/backplane")).unwrap();
    assert!(agent.contains("the original runs"), "{agent}");
    web(&image, |running| {
        assert_eq!(running.agents().len(), 1);
        assert_eq!(running.our_lines().len(), 1, "{}", running.stderr());
        assert!(!running.stderr().contains("the original runs"));
    });
}

#[test]
fn agent_is_where_the_original_had_it() {
    let image = build(app(), "#!/bin/sh\necho \"asked for $*\"\n").run();
    let slug = image.agent_layer().join("..");
    let output = Command::new(slug.join("bin/backplane"))
        .args(["route", "myendpoint.com"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "asked for route myendpoint.com\n"
    );
}

#[test]
fn other_buildpacks_scripts_are_read_too() {
    // Before ours and after it, in the order of their names; one leaves the strictest shell behind.
    let app = app()
        .process(
            "web",
            "echo \"$FIRST $LAST\"; echo the app is up; read -r _",
        )
        .file(
            ".profile.d/000_first.sh",
            "export FIRST=first\nset -euo pipefail\n",
        )
        .file(".profile.d/zz_last.sh", "export LAST=last\n");
    let image = build(app, PATIENT_AGENT).run();
    web(&image, |running| {
        running.wait_for_stdout("first last\n");
        assert_eq!(running.agents().len(), 1);
    });
    // In the list twice, it compiles its own slug once more.
    let slug = image.agent_layer().join("..");
    let cache = test_env().new_directory();
    let config_vars = test_env().new_directory();
    fs::write(
        config_vars.path().join("BACKPLANE_AGENT_URL"),
        "vendor/agent\n",
    )
    .unwrap();
    let mut compile = Command::new(test_env().classic_buildpack().join("bin/compile"));
    compile
        .env_clear()
        .arg(&slug)
        .args([cache.path(), config_vars.path()]);
    let (status, log) = BuildProgram::run(compile);
    assert!(status.success(), "{log}");
    web(&image, |running| assert_eq!(running.agents().len(), 1));
}

#[test]
fn default_process_of_a_languages_buildpack_stays() {
    let app = App::new().file("default-web.sh", "echo the app is up; read -r _\n");
    let image = build(app, PATIENT_AGENT).run();
    web(&image, |running| assert_eq!(running.agents().len(), 1));
}

#[test]
fn launch_program_of_an_app_is_replaced_by_ours() {
    let image = build(app(), PATIENT_AGENT).run();
    let program = image.agent_layer().join("exec.d/launch");
    let current = fs::read(&program).unwrap();
    let image = image
        .restored()
        .app(
            app()
                .executable("vendor/agent", PATIENT_AGENT)
                .file(".backplane/exec.d/launch", "of an old buildpack")
                .file(".backplane/libexec/backplane", "of an old buildpack"),
        )
        .run();
    assert!(fs::read(&program).unwrap() == current, "launch is old");
    let agent = image.agent_layer().join("libexec/backplane");
    assert_eq!(fs::read_to_string(agent).unwrap(), PATIENT_AGENT);
}

/// Whoever makes the archive of the same programs gets the same bytes, wherever and whenever.
#[test]
fn archive_tells_nothing_of_who_made_it() {
    let archive = fs::read(test_env().classic_archive()).unwrap();
    // No name (the flag 8), and no time (RFC 1952).
    assert_eq!(archive[3..8], [0; 5]);
    let mut names = Vec::new();
    let mut tar = tar::Archive::new(GzDecoder::new(archive.as_slice()));
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let name = header.path().unwrap().display().to_string();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        assert_eq!((header.mtime().unwrap(), owner), (0, (0, 0)), "{name}");
        let mode = if name == "LICENSE" { 0o644 } else { 0o755 };
        assert_eq!(header.mode().unwrap() & 0o7777, mode, "{name}");
        if ["bin/compile", "lib/launch"].contains(&&*name) {
            let mut program = Vec::new();
            entry.read_to_end(&mut program).unwrap();
            assert!(is_static(&program), "{name}");
        }
        names.push(name);
    }
    assert_eq!(
        names,
        [
            "bin/",
            "bin/compile",
            "bin/detect",
            "lib/",
            "lib/launch",
            "LICENSE"
        ]
    );
}

/// Whether a program needs no loader: stacks differ in their C library.
fn is_static(program: &[u8]) -> bool {
    let file = ElfBytes::<AnyEndian>::minimal_parse(program).unwrap();
    file.segments()
        .unwrap()
        .iter()
        .all(|segment| segment.p_type != elf::abi::PT_INTERP)
}

/// The umask of a build dyno is none of ours; and what an app brings may be read-only.
#[test]
fn any_user_can_run_what_a_strict_build_makes() {
    let program = BuildProgram::new(FrontEnd::Classic);
    let app = program.installed().ancestors().nth(3).unwrap().to_owned();
    let script = app.join(".profile.d/backplane.sh");
    fs::create_dir_all(script.parent().unwrap()).unwrap();
    fs::write(app.join("agent"), PATIENT_AGENT).unwrap();
    fs::write(&script, "read-only").unwrap();
    for path in [&script, &app.join("agent")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    program.set("BACKPLANE_AGENT_URL", "agent");
    let strict = ["/bin/sh", "-c", "umask 077; exec \"$@\"", "strict"];
    for _ in 0..2 {
        let (status, log) = BuildProgram::run(program.command_under(&strict));
        assert!(status.success(), "{log}");
        for (path, mode) in [
            (".backplane", 0o755),
            (".backplane/agent.sha256", 0o644),
            (".backplane/exec.d", 0o755),
            (".backplane/exec.d/launch", 0o755),
            (".backplane/libexec", 0o755),
            (".backplane/libexec/backplane", 0o755),
            (".profile.d/backplane.sh", 0o644),
        ] {
            let metadata = fs::metadata(app.join(path)).unwrap();
            assert_eq!(metadata.mode() & 0o7777, mode, "{path}");
        }
    }
}

#[test]
fn directories_that_cannot_be_used_stop_the_build_with_advice() {
    let directory = test_env().new_directory();
    let compile = |arguments: &[&str]| {
        let mut command = Command::new(test_env().classic_buildpack().join("bin/compile"));
        command
            .env_clear()
            .current_dir(directory.path())
            .args(arguments);
        let (status, log) = BuildProgram::run(command);
        assert_eq!(status.code(), Some(1), "{log}");
        log
    };
    assert_says(&compile(&[]), "Error: backplane/classic/arguments");

    let path = |name: &str| directory.path().join(name);
    for name in ["app", "env"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path("app/agent"), PATIENT_AGENT).unwrap();
    fs::write(path("env/BACKPLANE_AGENT_URL"), "agent").unwrap();
    fs::write(path("a file"), "").unwrap();
    assert_says(
        &compile(&["app", "a file", "env"]),
        "Error: backplane/classic/cache",
    );

    fs::set_permissions(path("app"), fs::Permissions::from_mode(0o555)).unwrap();
    let log = compile(&["app", "cache", "env"]);
    fs::set_permissions(path("app"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_says(&log, "Error: backplane/classic/slug");
    assert_says(&log, ".profile.d");
}
