//! The slug of a classic build: beside other buildpacks, and after the original one.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;
use harness::lifecycle::{Build, BuildProgram, FrontEnd, Image, Running, test_env};
use harness::{App, assert_logs, listen};

use crate::fixtures::{APPS_OUTPUT, PATIENT_AGENT, SCRIPT_AGENT, app, build_with_agent};

fn build(app: App, script: &str) -> Build {
    build_with_agent(FrontEnd::Classic, app, script)
}

/// A web dyno of this image, whose app listens, with its agent.
fn web(image: &Image, check: impl FnOnce(&Running)) {
    let (_listener, port) = listen();
    let running = image.launch("web").connect(port).start();
    running.wait_for_stdout(APPS_OUTPUT);
    running.wait_for_agent();
    check(&running);
}

/// What the original buildpack left in a slug: an agent in `bin`, and a script that starts it.
fn original(app: App) -> App {
    let agent = "#!/bin/sh\necho the original runs >&2\nexec sleep 1000\n";
    let script = r#"$HOME/bin/backplane connect "$BACKPLANE_LABELS" "http://127.0.0.1:$PORT" &"#;
    app.executable("bin/backplane", agent)
        .file(".profile.d/backplane.sh", script)
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
    assert_eq!(output.stdout, b"asked for route myendpoint.com\n");
}

#[test]
fn other_buildpacks_scripts_are_read_too() {
    // Before ours and after it, in the order of their names; one leaves the strictest shell behind.
    let command = r#"echo "$FIRST $LAST"; echo the app is up; read -r _"#;
    let first = "export FIRST=first\nset -euo pipefail\n";
    let app = app()
        .process("web", command)
        .file(".profile.d/000_first.sh", first)
        .file(".profile.d/zz_last.sh", "export LAST=last\n");
    let image = build(app, PATIENT_AGENT).run();
    web(&image, |running| {
        running.wait_for_stdout("first last\n");
        assert_eq!(running.agents().len(), 1);
    });
}

/// The same programs make the same bytes, wherever and whenever. There is no `bin/release`, which
/// would replace the default processes of a language's buildpack.
#[test]
fn archive_has_no_trace_of_its_maker() {
    let archive = fs::read(test_env().classic_archive()).unwrap();
    // No name (the flag 8), and no time (RFC 1952).
    assert_eq!(archive[3..8], [0; 5]);
    let mut names = Vec::new();
    let mut tar = tar::Archive::new(GzDecoder::new(archive.as_slice()));
    for entry in tar.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let name = header.path().unwrap().display().to_string();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        assert_eq!((header.mtime().unwrap(), owner), (0, (0, 0)), "{name}");
        let data = [".toml", "LICENSE", "variables"];
        let is_data = data.iter().any(|end| name.ends_with(end));
        let mode = if is_data { 0o644 } else { 0o755 };
        assert_eq!(header.mode().unwrap() & 0o7777, mode, "{name}");
        names.push(name);
    }
    assert_eq!(
        names,
        [
            "agents/",
            "agents/chisel/",
            "agents/chisel/backplane",
            "agents/chisel/variables",
            "agents/frp/",
            "agents/frp/backplane",
            "agents/frp/frpc.toml",
            "agents/frp/variables",
            "bin/",
            "bin/compile",
            "bin/detect",
            "buildpack.toml",
            "lib/",
            "lib/launch",
            "LICENSE"
        ]
    );
}

/// So what all other tests prove with the branch holds for the archive, too.
#[test]
fn branch_has_the_files_of_the_archive() {
    let branch = test_env().classic_buildpack();
    let archive = File::open(test_env().classic_archive()).unwrap();
    let mut count = 0;
    for entry in tar::Archive::new(GzDecoder::new(archive))
        .entries()
        .unwrap()
    {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = branch.join(entry.path().unwrap());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, entry.header().mode().unwrap(), "{path:?}");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert!(fs::read(&path).unwrap() == content, "{path:?}");
        count += 1;
    }
    let files = git(&branch, &["ls-files"]);
    assert_eq!(files.lines().count(), count, "{files}");
    assert_eq!(git(&branch, &["log", "--format=%an"]), "Backplane\n");
}

#[track_caller]
fn git(repository: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    // Root has cloned it, and the tests run as an ordinary user.
    git.args(["-c", "safe.directory=*", "-C"])
        .arg(repository)
        .args(arguments);
    let output = git.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
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
    assert_logs(&compile(&[]), "Error: backplane/classic/arguments");

    let path = |name: &str| directory.path().join(name);
    for name in ["app", "env"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path("app/agent"), PATIENT_AGENT).unwrap();
    fs::write(path("env/BACKPLANE_AGENT_URL"), "agent").unwrap();
    fs::write(path("a file"), "").unwrap();
    let log = compile(&["app", "a file", "env"]);
    assert_logs(&log, "Error: backplane/classic/cache");

    fs::set_permissions(path("app"), fs::Permissions::from_mode(0o555)).unwrap();
    let log = compile(&["app", "cache", "env"]);
    fs::set_permissions(path("app"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_logs(&log, "Error: backplane/classic/slug");
    assert_logs(&log, ".profile.d");
}
