//! Launches that get an agent, and launches that do not.
//!
//! The rules have tests of their own. Here the real launcher and a dyno pass on what they need.

use harness::lifecycle::{FrontEnd, Image, Running};
use harness::{ReservedPort, for_each_front_end, listen, zombies_of};

use crate::fixtures::{APPS_OUTPUT, SCRIPT_AGENT, assert_lines, build_by};

for_each_front_end! {
    process_type_is_found,
    settings_reach_the_program,
}

/// The expected outcome of a launch.
enum Outcome {
    /// An agent with these labels, and on a dyno with one more.
    Agent(&'static str),
    /// No agent, and a line for each of these beginnings.
    NoAgent(&'static [&'static str]),
}
use Outcome::{Agent, NoAgent};

const SILENCE: Outcome = NoAgent(&[]);

/// In the place of a process type: a one-off command.
const ONE_OFF: &str = "";

/// A process type, variables, and the outcome.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Outcome,
);

/// A launch that would get an agent, changed by `variables`.
fn launch(image: &Image, port: u16, process_type: &str, variables: &[(&str, &str)]) -> Running {
    let launch = match process_type {
        ONE_OFF => image.launch_once("echo the app is up; read -r _"),
        _ => image.launch(process_type),
    };
    let changed = variables
        .iter()
        .fold(launch.connect(port), |launch, (name, value)| {
            launch.env(*name, *value)
        });
    let running = changed.start();
    running.wait_for_stdout(APPS_OUTPUT);
    running
}

#[track_caller]
fn assert_outcomes(front_end: FrontEnd, cases: impl IntoIterator<Item = Case>) {
    let image = build_by(front_end, SCRIPT_AGENT).run();
    let (_listener, port) = listen();
    for (process_type, variables, outcome) in cases {
        let running = launch(&image, port, process_type, variables);
        match outcome {
            Agent(labels) => {
                let agent = running.wait_for_agent();
                let labels = front_end.labels(labels);
                let url = format!("http://127.0.0.1:{port}");
                let expected = ["connect", &labels, &url];
                assert_eq!(agent.arguments()[2..], expected, "{variables:?}");
            }
            // A supervisor would be there before the app.
            NoAgent(lines) => {
                assert_eq!(running.supervisors().len(), 0, "{variables:?}");
                assert_eq!(zombies_of(running.id()), [0; 0], "{variables:?}");
                assert_lines(&running.our_lines(), lines);
            }
        }
    }
}

fn process_type_is_found(front_end: FrontEnd) {
    // Each type has a label of its own, which shows what type was found.
    const WEB: (&str, &str) = ("BACKPLANE_LABELS_WEB", "is=web");
    const WORKER: (&str, &str) = ("BACKPLANE_LABELS_WORKER", "is=worker");
    const TWO_PARTS: (&str, &str) = ("BACKPLANE_LABELS_TWO_PARTS", "is=two-parts");
    const UNKNOWN: (&str, &str) = ("DYNO", "something else");
    let of_unknown_dyno = match front_end {
        // The launcher knows the type, too.
        FrontEnd::Cnb => Agent("some=label,is=web,heroku=true"),
        FrontEnd::Classic => SILENCE,
    };
    assert_outcomes(
        front_end,
        [
            ("web", &[WEB, WORKER][..], Agent("some=label,is=web")),
            ("two-parts", &[TWO_PARTS], Agent("some=label,is=two-parts")),
            ("run", &[], SILENCE),
            (ONE_OFF, &[WEB], SILENCE),
            ("web", &[WEB, UNKNOWN], of_unknown_dyno),
            (
                "web",
                &[WEB, WORKER, ("DYNO", "worker.12")],
                Agent("some=label,is=worker,heroku=true"),
            ),
            (
                ONE_OFF,
                &[WEB, ("BACKPLANE_PROCESS_TYPE", "web")],
                Agent("some=label,is=web"),
            ),
        ],
    );
}

fn settings_reach_the_program(front_end: FrontEnd) {
    const ALLOW: (&str, &str) = ("BACKPLANE_PROCESS_ALLOW", "release");
    let no_token = NoAgent(&["No agent for this process: it has no token"]);
    assert_outcomes(
        front_end,
        [
            ("web", &[("BACKPLANE_DISABLED", "1")][..], SILENCE),
            ("web", &[ALLOW], SILENCE),
            ("release", &[ALLOW], Agent("some=label")),
            ("web", &[("BACKPLANE_TOKEN", "")], no_token),
        ],
    );
    let image = build_by(front_end, SCRIPT_AGENT).run();
    let (_listener, port) = listen();
    let url = format!("http://localhost:{port}/base?query");
    let variables = [("PORT", "1"), ("BACKPLANE_PROXY_URL", &url)];
    let running = launch(&image, port, "worker", &variables);
    let arguments = running.wait_for_agent().arguments();
    assert_eq!(arguments.last(), Some(&url));
}

#[test]
fn arguments_for_the_default_process_make_no_one_off_of_it() {
    let image = build_by(FrontEnd::Cnb, SCRIPT_AGENT).run();
    let port = ReservedPort::reserve();
    let running = image
        .launch_with("web", &["some-command"])
        .connect(port.number)
        .start();
    running.wait_for_stdout(APPS_OUTPUT);
    assert_eq!(running.supervisors().len(), 1);
    assert_eq!(running.agents().len(), 0, "nothing listens");
    assert_eq!(running.our_lines(), [""; 0]);
    let _listener = port.listen();
    running.wait_for_agent();
}
