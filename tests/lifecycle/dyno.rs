//! A classic slug on Heroku's dynos: start script, signals of Cedar, later shells.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::lifecycle::{FrontEnd, Image, test_env};
use harness::{TOKEN, documented, listen};
use rustix::process::Signal;

use crate::fixtures::{
    APPS_STATUS, ENDPOINT, LEFT_AFTER_APP, PATIENT_AGENT, SCRIPT_AGENT, app, build_with_agent,
    image_by, launch_behind, sample_image_by,
};

fn slug_with(agent: &str) -> Image {
    image_by(FrontEnd::Classic, agent)
}

/// Compares the state of a shell before and after it reads the script: its variables and functions,
/// what it exports, its options, traps, directory, umask, jobs, word splitting and a descriptor.
const STATE: &str = r#"
    state() {
        set | grep -Ev '^(_|BASH_[A-Z]*|FUNCNAME|LINENO|PIPESTATUS|PPID|RANDOM|SECONDS|EPOCH[A-Z]*|SRANDOM|OPTIND|status)='
        env | grep -v '^_='
        printf '%s|' "$-" "$IFS" "$#" "$@"
        trap; pwd; umask; jobs
    }
    exec 3>&1
    IFS=,
    trap 'echo ended' EXIT
    state one 'two three' >before
    . "$SCRIPT"
    status=$?
    state one 'two three' >after
    [ "$status" = 0 ] || echo "status $status"
    diff before after
    echo open >&3
    echo the shell goes on
"#;

/// The shells that may read the script, with options for an early exit.
const SHELLS: [&[&str]; 6] = [
    &["bash"],
    &["bash", "-eu"],
    &["bash", "--posix", "-eu"],
    &["bash", "-eEu", "-o", "pipefail"],
    &["dash"],
    &["dash", "-eu"],
];

/// Runs [`STATE`] in a shell, and returns its output.
fn state_in(shell: &[&str], home: Option<&Path>, script: &Path) -> String {
    let work = tempfile::tempdir_in(script.parent().unwrap().parent().unwrap()).unwrap();
    let mut command = Command::new(shell[0]);
    command
        .args(&shell[1..])
        .args(["-c", STATE])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SCRIPT", script)
        .current_dir(work.path());
    if let Some(home) = home {
        command.env("HOME", home);
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{shell:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

const UNCHANGED: &str = "open\nthe shell goes on\nended\n";

#[test]
fn shell_that_reads_the_script_is_left_as_it_was() {
    let image = slug_with(PATIENT_AGENT);
    let slug = image.agent_layer().join("..");
    let script = slug.join(".profile.d/backplane.sh");
    let program = image.agent_layer().join("exec.d/launch");
    let replace = |content: &str, mode| {
        fs::remove_file(&program).unwrap();
        fs::write(&program, content).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
    };
    let troubles: [(&str, &dyn Fn()); 5] = [
        ("none", &|| {}),
        ("it fails", &|| replace("#!/bin/sh\nexit 3\n", 0o755)),
        ("it is killed", &|| {
            replace("#!/bin/sh\nkill -KILL $$\n", 0o755);
        }),
        ("it cannot be run", &|| replace("", 0o644)),
        ("it is not there", &|| fs::remove_file(&program).unwrap()),
    ];
    for (trouble, bring_about) in troubles {
        bring_about();
        for shell in SHELLS {
            let output = state_in(shell, Some(&slug), &script);
            assert_eq!(output, UNCHANGED, "{shell:?}, {trouble}");
        }
    }
    for shell in SHELLS {
        assert_eq!(state_in(shell, None, &script), UNCHANGED, "{shell:?}");
    }
}

/// The shell may stay: then it is the app, whose end is the end of all.
#[test]
fn shell_that_stays_is_the_app() {
    // Two commands, so that no shell makes itself the last one.
    let app = app().process("web", "cat; bash -c 'exit 7'; exit $?");
    let image = build_with_agent(FrontEnd::Classic, app, SCRIPT_AGENT).run();
    let (_listener, port) = listen();
    let mut running = image.launch("web").connect(port).start();
    running.wait_for_agent();
    running.close_stdin();
    assert_eq!(running.wait().code(), Some(APPS_STATUS));
    let time = running.wait_for_nothing_left();
    assert!(time < LEFT_AFTER_APP, "{time:?}");
}

/// Cedar sends the SIGTERM of a restart to every process of a dyno. An agent that drains, as the
/// stand-in's does, finishes what is in flight.
#[test]
fn sigterm_to_every_process_lets_a_request_in_flight_finish() {
    let image = sample_image_by(FrontEnd::Classic);
    let edge = test_env().edge(TOKEN);
    edge.route(TOKEN, ENDPOINT, "some=label");
    let mut running = launch_behind(&edge, &image);
    edge.wait_for_status(ENDPOINT, 200);

    let mut answer = edge.open_slow(ENDPOINT, Duration::from_secs(1));
    for process in running.processes() {
        process.signal(Signal::TERM);
    }
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("10/10\n"), "{rest}");
    assert!(running.wait().success());
    running.wait_for_nothing_left();
}

#[test]
fn documented_command_shows_the_agent_of_a_dyno() {
    let image = slug_with(PATIENT_AGENT);
    let (_listener, port) = listen();
    let running = image.launch("web").connect(port).start();
    running.wait_for_agent();
    let commands = documented("docs/heroku.md", "heroku ps:exec ");
    let (_, command) = commands.split_once('\n').unwrap();
    let output = Command::new("bash")
        .args(["-c", &command.replace('…', &port.to_string())])
        .current_dir(image.agent_layer().join(".."))
        .output()
        .unwrap();
    assert!(
        output.stdout.starts_with(b"The agent is running"),
        "{output:?}"
    );
}

#[test]
fn one_off_dynos_are_not_disturbed() {
    let image = slug_with(PATIENT_AGENT);
    let (_listener, port) = listen();
    for dyno in ["run.1234", "release.5521", "scheduler.8742"] {
        let launch = image.launch_on_dyno(dyno, "echo done; exit 3");
        let mut running = launch.connect(port).start();
        assert_eq!(running.wait().code(), Some(3), "{dyno}");
        running.wait_for_nothing_left();
        assert_eq!(running.stdout(), b"done\n", "{dyno}");
        assert_eq!(running.stderr(), "", "{dyno}");
    }
}
