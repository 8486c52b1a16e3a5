//! The app boots whatever happens to us, and into the same world as without us.

use crate::subjects::{
    APPS_OUTPUT, PATIENT_AGENT, SCRIPT_AGENT, app, boots, build_with_agent, image_with_agent,
};
use crate::support::{DEADLINE, Image, MARK, ReservedPort, Running, eventually};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Every variable that the launch program reads.
fn variables() -> impl Iterator<Item = &'static str> {
    let others = [
        "BACKPLANE_LABELS_WEB",
        "DYNO",
        "HEROKU_TEST_RUN_ID",
        "PORT",
        "SERVICE_BINDING_ROOT",
    ];
    backplane_launch::VARIABLES.into_iter().chain(others)
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn stdout_is_the_apps_alone() {
    let image = image_with_agent(
        "#!/bin/sh\necho agent on stdout\necho agent on stderr >&2\nexec sleep 1000\n",
    );
    let port = ReservedPort::new();
    let launch = image
        .launch("web")
        .connect(port.number)
        .env("BACKPLANE_LOG", "debug");
    let _listener = port.listen();
    let mut running = launch.start();

    running.wait_for_stderr("agent on stdout\n");
    running.wait_for_stderr("agent on stderr\n");
    running.close_stdin();
    running.wait();
    running.wait_for_nothing_left();

    assert_eq!(String::from_utf8(running.stdout()).unwrap(), APPS_OUTPUT);
    // It did speak, for the test to mean something.
    assert!(!running.our_lines().is_empty());
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn the_apps_environment_is_unchanged() {
    let build = build_with_agent(
        app().process("web", "env -0; echo; echo end; read -r _"),
        PATIENT_AGENT,
    );
    // Both in the same folders, since their names are in the environment.
    let port = ReservedPort::new();
    let without = build.without_backplane().run();
    let expected = environment_of_app(&launched(&without, &port));
    let with = without.restored().with_backplane().run();
    let running = launched(&with, &port);
    running.wait_for_supervisor();

    assert_eq!(environment_of_app(&running), expected);
    // It is an environment.
    assert_eq!(expected["PATH"], "/usr/local/bin:/usr/bin:/bin");
}

fn launched(image: &Image, port: &ReservedPort) -> Running {
    let running = image.launch("web").connect(port.number).start();
    running.wait_for_stdout("end\n");
    running
}

/// The whole environment that the app wrote to its stdout, but for what tells one launch from another.
fn environment_of_app(running: &Running) -> BTreeMap<String, String> {
    let output = String::from_utf8(running.stdout()).unwrap();
    let variables = output
        .strip_suffix("\nend\n")
        .unwrap()
        .split_terminator('\0');
    variables
        .map(|variable| variable.split_once('=').unwrap())
        .filter(|(name, _)| *name != MARK)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn the_apps_descriptors_and_signals_are_unchanged() {
    let port = ReservedPort::new();
    let world_of_app = |image: &Image| {
        let running = image.launch("web").connect(port.number).start();
        running.wait_for_stdout(APPS_OUTPUT);
        let app = running.app();
        let numbers: Vec<i32> = app
            .descriptors()
            .iter()
            .map(|(number, _)| *number)
            .collect();
        let status = app.status();
        let supervisors = running.supervisors().len();
        let world = (
            numbers,
            status.sigblk,
            status.sigign,
            status.nonewprivs,
            app.oom_score_adjustment(),
        );
        (world, supervisors)
    };
    let without = build_with_agent(app(), PATIENT_AGENT)
        .without_backplane()
        .run();
    let (expected, none) = world_of_app(&without);
    let (found, one) = world_of_app(&without.restored().with_backplane().run());

    assert_eq!(found, expected);
    assert_eq!((none, one), (0, 1));
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn boots_without_settings() {
    let image = image_with_agent(PATIENT_AGENT);
    boots(image.launch("web"));
    let port = ReservedPort::new();
    for missing in ["BACKPLANE_TOKEN", "BACKPLANE_LABELS", "PORT"] {
        let lines = boots(
            image
                .launch("web")
                .connect(port.number)
                .without_env(missing),
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(missing), "{lines:?}");
    }
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn boots_with_garbage_in_every_variable() {
    let image = image_with_agent(PATIENT_AGENT);
    let garbage: [&[u8]; 7] = [
        b"",
        b" \t ",
        b"\xff\xfe\x80=\xc3",
        b"one\ntwo\r\x1b[31mred\x07",
        b"-, ,=,--help",
        "\u{202e}\u{1f4a5}".as_bytes(),
        // As long as one variable can be: the kernel's MAX_ARG_STRLEN, less its name.
        &b"x".repeat(131_000),
    ];
    let port = ReservedPort::new();
    for value in garbage {
        for variable in variables() {
            let launch = image.launch("web").connect(port.number);
            plain(&boots(
                launch.env(variable, OsString::from_vec(value.to_vec())),
            ));
        }
        let all = variables().fold(image.launch("web"), |launch, variable| {
            // All together they have to stay within the kernel's limit for one program's start.
            launch.env(
                variable,
                OsString::from_vec(value[..value.len().min(50_000)].to_vec()),
            )
        });
        plain(&boots(all));
    }
}

/// Nothing in a line can change what a terminal or a log shows of other lines.
#[track_caller]
fn plain(lines: &[String]) {
    for line in lines {
        assert!(
            !line
                .chars()
                .any(|character| character.is_control() || character == '\u{202e}'),
            "{line:?}"
        );
        assert!(line.len() < 5000, "{line}");
    }
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn boots_with_foreign_variables_of_any_bytes() {
    let image = image_with_agent(SCRIPT_AGENT);
    let port = ReservedPort::new();
    let launch = image
        .launch("web")
        .connect(port.number)
        .env(
            OsString::from_vec(b"BACKPLANE_\xff".to_vec()),
            OsString::from_vec(b"\xfe".to_vec()),
        )
        .env(
            OsString::from_vec(b"\x80\x81".to_vec()),
            OsString::from_vec(b"\xff".to_vec()),
        );
    let _listener = port.listen();
    let running = launch.start();

    let agent = running.wait_for_agent();
    // What is handed on is handed on as it is.
    let value = eventually(DEADLINE, "the agent's environment", || {
        agent
            .environment()
            .get(&OsString::from_vec(b"BACKPLANE_\xff".to_vec()))
            .cloned()
    });
    assert_eq!(value.as_bytes(), b"\xfe");
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn boots_with_labels_too_long_for_the_kernel() {
    let image = image_with_agent(PATIENT_AGENT);
    let port = ReservedPort::new();
    let launch = image
        .launch("web")
        .connect(port.number)
        .env("BACKPLANE_LABELS", format!("a={}", "x".repeat(100_000)))
        .env("BACKPLANE_LABELS_WEB", format!("b={}", "y".repeat(100_000)));
    let lines = boots(launch);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("could not be started")),
        "{lines:?}"
    );
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn boots_with_a_closed_stderr() {
    let image = image_with_agent(PATIENT_AGENT);
    // Once with something to say, and once with an agent.
    boots(
        image
            .launch("web")
            .env("BACKPLANE_LOG", "debug")
            .redirected("2>&-"),
    );
    let port = ReservedPort::new();
    let launch = image
        .launch("web")
        .connect(port.number)
        .env("BACKPLANE_LOG", "debug");
    let _listener = port.listen();
    let running = launch.redirected("2>&-").start();
    running.wait_for_agent();
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn boots_with_a_stderr_that_nobody_reads() {
    let image = image_with_agent(PATIENT_AGENT);
    boots(
        image
            .launch("web")
            .env("BACKPLANE_LOG", "debug")
            .with_stderr_reader_gone(),
    );
    let port = ReservedPort::new();
    let launch = image
        .launch("web")
        .connect(port.number)
        .env("BACKPLANE_LOG", "debug");
    let _listener = port.listen();
    let running = launch.with_stderr_reader_gone().start();
    running.wait_for_agent();
}

/// The launcher's own runtime opens a closed stderr anew; other front ends do not.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn the_launch_program_succeeds_without_any_descriptor() {
    let image = image_with_agent(PATIENT_AGENT);
    let program = image.agent_layer().join("exec.d/launch");
    for closed in [
        "2>&-",
        "0<&- 1>&- 2>&-",
        "3>&- 2>&-",
        "3>/dev/full 2>/dev/full",
    ] {
        let script = format!(
            "BACKPLANE_TOKEN=token BACKPLANE_PROCESS_TYPE=web BACKPLANE_LABELS=- '{}' {closed}",
            program.display()
        );
        let status = std::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0), "{closed}");
    }
}
