//! Apps and agents to test with, and helpers for their launches and logs.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::lifecycle::{Build, FrontEnd, Image, Launch, Running, test_env};
use harness::{App, DEADLINE, Edge, eventually, free_port};
use rustix::process::Signal;

/// How soon after the end of the app no process of ours is left.
pub(crate) const LEFT_AFTER_APP: Duration = Duration::from_secs(3);

/// The output of the processes of [`app`] once they run.
pub(crate) const APPS_OUTPUT: &str = "the app is up\n";

/// The status that the processes of [`app`] exit with when their stdin ends.
pub(crate) const APPS_STATUS: i32 = 7;

/// The endpoint of the app at the edge.
pub(crate) const ENDPOINT: &str = "myendpoint.test";

/// An agent that runs until it gets a signal.
pub(crate) const PATIENT_AGENT: &str = "#!/bin/sh\nexec sleep 1000\n";

/// An agent that stays the shell that runs it, so that /proc shows what it was started with.
pub(crate) const SCRIPT_AGENT: &str = "#!/bin/sh\nwhile :; do sleep 1; done\n";

/// An app whose processes, of many types, report that they are up, wait for the end of stdin, and
/// exit.
pub(crate) fn app() -> App {
    ["web", "worker", "release", "run", "scheduler", "two-parts"]
        .iter()
        .fold(App::new(), |app, process_type| {
            // `read` and not `cat`, as a child of a killed shell would stay and count as ours.
            app.process(process_type, "echo the app is up; read -r _; exit 7")
        })
}

/// A build of `app` with this script as its vendored agent.
pub(crate) fn build_with_agent(front_end: FrontEnd, app: App, script: &str) -> Build {
    let app = app.executable("vendor/agent", script);
    Build::by(front_end, app).env("BACKPLANE_AGENT_URL", "vendor/agent")
}

/// An image of [`app`] with this script as its vendored agent.
pub(crate) fn image_by(front_end: FrontEnd, script: &str) -> Image {
    build_with_agent(front_end, app(), script).run()
}

/// The same, as a Cloud Native Buildpack.
pub(crate) fn image_with_agent(script: &str) -> Image {
    image_by(FrontEnd::Cnb, script)
}

/// The script that is installed as the agent.
pub(crate) fn installed(image: &Image) -> String {
    fs::read_to_string(image.agent_layer().join("libexec/backplane")).unwrap()
}

/// All paths below a directory.
pub(crate) fn paths_below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.append(&mut paths_below(&path));
        }
        paths.insert(path);
    }
    paths
}

/// An image of the stand-in's sample app, with the stand-in's agent.
pub(crate) fn sample_image_by(front_end: FrontEnd) -> Image {
    let program = |name| fs::read(test_env().program(name)).unwrap();
    let app = App::new()
        // LISTEN_AFTER makes it an app that boots slowly, by this many milliseconds.
        .process("web", "exec ./sample-app --listen-after ${LISTEN_AFTER:-0}")
        .executable("sample-app", program("sample-app"))
        .executable("vendor/backplane", program("backplane"));
    Build::by(front_end, app)
        .env("BACKPLANE_AGENT_URL", "vendor/backplane")
        .run()
}

/// Launches the web process with an agent that connects to this edge.
pub(crate) fn launch_behind(edge: &Edge, image: &Image) -> Running {
    let launch = image.launch("web").connect(free_port());
    launch.env("BACKPLANE_EDGE", &edge.agents).start()
}

/// Asserts that [`app`] boots, runs, and ends with its own status; returns the lines of our
/// programs.
#[track_caller]
pub(crate) fn assert_boots(launch: Launch) -> Vec<String> {
    let mut running = launch.start();
    running.wait_for_stdout(APPS_OUTPUT);
    running.close_stdin();
    let status = running.wait();
    assert_eq!(status.code(), Some(APPS_STATUS), "{}", running.stderr());
    running.wait_for_nothing_left();
    assert_eq!(String::from_utf8(running.stdout()).unwrap(), APPS_OUTPUT);
    running.our_lines()
}

/// Asserts that the agent starts, comes back after it was killed, and ends with the app.
#[track_caller]
pub(crate) fn assert_serves(running: &mut Running) {
    running.wait_for_stdout(APPS_OUTPUT);
    let first = running.wait_for_agent();
    let arguments = first.arguments();
    first.signal(Signal::KILL);
    eventually(
        DEADLINE,
        fmt::from_fn(|f| write!(f, "another agent (stderr: {})", running.stderr())),
        || {
            // What the first one leaves behind is the supervisor's child for a moment, too.
            let mut agents = running.agents();
            agents.retain(|agent| agent.id() != first.id() && agent.arguments() == arguments);
            agents.pop()
        },
    );
    running.close_stdin();
    // The app's own process stays a zombie until it is waited for.
    let time = running.wait_for_nothing_left();
    assert!(time < LEFT_AFTER_APP, "{time:?}: {}", running.stderr());
    assert_eq!(running.wait().code(), Some(APPS_STATUS));
}

/// Asserts that these are the lines, each by its beginning.
#[track_caller]
pub(crate) fn assert_lines(found: &[String], beginnings: &[&str]) {
    let is_line = |(line, beginning): (&String, &&str)| {
        line.strip_prefix("[backplane] ")
            .is_some_and(|line| line.starts_with(beginning))
    };
    let are_lines = found.len() == beginnings.len() && found.iter().zip(beginnings).all(is_line);
    assert!(are_lines, "{found:#?}, not {beginnings:#?}");
}

/// Whether a line begins with this, and names this error. The text of an error differs between C
/// libraries, its number does not.
pub(crate) fn has_error(line: &str, beginning: &str, errno: i32) -> bool {
    let line = line.strip_prefix("[backplane] ");
    line.is_some_and(|line| {
        line.starts_with(beginning) && line.contains(&format!("(os error {errno})"))
    })
}

/// Asserts that the only line reports a resource that the kernel refused with this error.
#[track_caller]
pub(crate) fn assert_not_started(found: &[String], errno: i32) {
    let is_refused =
        |line: &String| has_error(line, "No agent for this process: unable to ", errno);
    assert!(
        found.len() == 1 && is_refused(&found[0]),
        "{found:?}, not {errno}"
    );
}
