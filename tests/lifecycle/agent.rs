//! What the agent is started with, and what it is not given.

use crate::subjects::{APPS_OUTPUT, PATIENT_AGENT, SCRIPT_AGENT, image_with_agent};
use crate::support::{
    DEADLINE, Image, Launch, MARK, Process, ReservedPort, Running, TOKEN, eventually,
};
use procfs::process::FDTarget;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

/// Signals 32 and 33 are glibc's own, not for programs; its `posix_spawn(3)` has every child ignore them.
const GLIBCS_SIGNALS: u64 = 0b11 << 31;

/// A launch whose app listens already, as far as the kernel tells.
fn listening(image: &Image) -> (Launch, TcpListener) {
    let port = ReservedPort::new();
    let launch = image.launch("web").connect(port.number);
    (launch, port.listen())
}

/// Waits until the supervisor's own program has made room for the agent: until then the agent's process is not the agent yet.
fn agent_of(running: &Running) -> Process {
    running.wait_for_stdout(APPS_OUTPUT);
    running.wait_for_agent()
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn gets_labels_and_url_as_arguments() {
    let image = image_with_agent(SCRIPT_AGENT);
    let (launch, listener) = listening(&image);
    let running = launch
        .env("BACKPLANE_LABELS_WEB", "type=web")
        .env("DYNO", "web.1")
        .start();

    let program = image.agent_layer().join("libexec/backplane");
    assert_eq!(
        agent_of(&running).arguments(),
        [
            "/bin/sh",
            program.to_str().unwrap(),
            "connect",
            "some=label,type=web,heroku=true",
            &format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port()),
        ]
    );
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn gets_an_environment_of_its_own() {
    let image = image_with_agent(SCRIPT_AGENT);
    let (launch, _listener) = listening(&image);
    let handed_on = [
        ("HOME", "/home/app"),
        ("LANG", "xx_YY.invalid"),
        ("LC_ALL", "C"),
        ("TZ", "Europe/Berlin"),
        ("TMPDIR", "/tmp"),
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("no_proxy", "localhost"),
        ("SSL_CERT_FILE", "/etc/ca.pem"),
        ("BACKPLANE_ANYTHING", "for the agent"),
        ("BACKPLANE_AGENT_ENV", "ONE,TWO THREE"),
        ("ONE", "1"),
        ("TWO", "2"),
    ];
    let launch = handed_on
        .iter()
        .fold(launch, |launch, (name, value)| launch.env(*name, *value));
    let running = launch.env("FOUR", "4").start();

    let mut found: Vec<(String, String)> = agent_of(&running)
        .environment()
        .into_iter()
        .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
        .filter(|(name, _)| *name != MARK)
        .collect();
    found.sort();
    let path = format!(
        "{}/libexec:/usr/local/bin:/usr/bin:/bin",
        image.agent_layer().display()
    );
    let mut expected: Vec<(String, String)> = handed_on
        .into_iter()
        .chain([
            ("BACKPLANE_TOKEN", TOKEN),
            ("BACKPLANE_LABELS", "some=label"),
            ("PATH", &path),
        ])
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn starts_clean() {
    let image = image_with_agent(PATIENT_AGENT);
    let (launch, _listener) = listening(&image);
    // With a descriptor that somebody left open in the app.
    let running = launch.redirected("7</dev/zero").start();
    let agent = agent_of(&running);
    // The shell of the agent's script has a descriptor of the script until it becomes `sleep`.
    eventually(DEADLINE, "the agent's last program", || {
        agent
            .arguments()
            .starts_with(&["sleep".to_owned()])
            .then_some(())
    });

    let descriptors = agent.descriptors();
    let numbers: Vec<i32> = descriptors.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2]);
    let of_app = running.app().descriptors();
    assert!(of_app.iter().any(|(number, _)| *number == 7), "{of_app:?}");
    assert!(
        matches!(&descriptors[0].1, FDTarget::Path(path) if path == Path::new("/dev/null")),
        "{descriptors:?}"
    );
    assert_eq!(agent.working_directory(), Path::new("/"));

    let (stat, status) = (agent.stat(), agent.status());
    assert_eq!(stat.pgrp, stat.pid, "a process group of its own");
    assert_ne!(
        stat.session,
        running.app().stat().session,
        "not in the app's session"
    );
    assert_eq!(status.sigblk, 0, "no blocked signal");
    // What was ignored before the launcher was started, by nohup for example, is ignored by all.
    let from_before = running.app().status().sigign;
    let ignored = status.sigign & !GLIBCS_SIGNALS & !from_before;
    assert_eq!(ignored, 0, "no ignored signal");
    assert_eq!(status.nonewprivs, Some(1));
    assert_eq!(agent.oom_score_adjustment(), 1000);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn output_is_dropped_when_quiet() {
    let image = image_with_agent(
        "#!/bin/sh\necho agent on stdout\necho agent on stderr >&2\nexec sleep 1000\n",
    );
    let (launch, _listener) = listening(&image);
    let running = launch.env("BACKPLANE_LOG", "quiet").start();
    let agent = agent_of(&running);
    eventually(DEADLINE, "the agent to have spoken", || {
        agent
            .arguments()
            .starts_with(&["sleep".to_owned()])
            .then_some(())
    });
    assert_eq!(running.stderr(), "");
}

/// The launcher reads the pipe to its end before it starts the app, so one that is held keeps the app from booting.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn nobody_holds_the_launchers_pipe() {
    let image = image_with_agent(PATIENT_AGENT);
    let (launch, _listener) = listening(&image);
    let running = launch.start();
    agent_of(&running);

    let stderr_of_app = running
        .app()
        .descriptors()
        .into_iter()
        .find(|(number, _)| *number == 2)
        .unwrap()
        .1;
    for process in running.supervisors().into_iter().chain(running.agents()) {
        for (number, target) in process.descriptors() {
            if let FDTarget::Pipe(_) = target {
                assert_eq!(
                    target,
                    stderr_of_app,
                    "descriptor {number} of {:?}",
                    process.arguments()
                );
            }
        }
    }
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn the_token_is_in_no_argument_line_or_file() {
    let image = image_with_agent(PATIENT_AGENT);
    let (launch, _listener) = listening(&image);
    let running = launch.env("BACKPLANE_LOG", "debug").start();
    let agent = agent_of(&running);

    assert!(agent.environment_has(TOKEN), "the agent has it");
    for process in running.processes() {
        assert!(
            !process.shows_in_listings(TOKEN),
            "{:?}",
            process.arguments()
        );
    }
    assert!(running.stderr().contains("[backplane]"));
    assert!(!running.stderr().contains(TOKEN), "{}", running.stderr());
    assert_eq!(files_with(&image.layers(), TOKEN), Vec::<String>::new());
    assert_eq!(files_with(&image.app_folder(), TOKEN), Vec::<String>::new());
}

/// The build does not need the app's credentials, so they do not get into the image.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn the_token_of_a_build_is_in_no_layer() {
    let image = image_with_agent(PATIENT_AGENT);
    assert!(!image.log.contains("token-at-build"), "{}", image.log);
    assert_eq!(
        files_with(&image.layers(), "token-at-build"),
        Vec::<String>::new()
    );
    // The search does find what is there.
    assert_ne!(
        files_with(&image.layers(), "exec sleep 1000"),
        Vec::<String>::new()
    );
}

/// The files below `folder` that contain `text`.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path)
            .unwrap()
            .windows(text.len())
            .any(|window| window == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}
