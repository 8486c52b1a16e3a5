//! Launches that get an agent, and launches that do not.
//!
//! The rules have tests of their own. Here the real launcher and a dyno pass on what they need.

use harness::lifecycle::FrontEnd;
use harness::{ReservedPort, for_each_front_end, listen, zombies_of};

use crate::fixtures::{APPS_OUTPUT, SCRIPT_AGENT, image_by, image_with_agent};

for_each_front_end! {
    process_type_is_found,
}

/// In the place of a process type: a one-off command.
const ONE_OFF: &str = "";

/// A process type, variables, and the labels of the agent.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);

/// Each launch of a process type with variables has an agent with these labels, and on a dyno with
/// one more; or, if there are none, no agent and no line in the log.
#[track_caller]
fn assert_labels<const N: usize>(front_end: FrontEnd, cases: [Case<'_>; N]) {
    let image = image_by(front_end, SCRIPT_AGENT);
    let (_listener, port) = listen();
    for (process_type, variables, labels) in cases {
        let mut launch = match process_type {
            ONE_OFF => image.launch_once("echo the app is up; read -r _"),
            _ => image.launch(process_type),
        };
        launch = launch.connect(port);
        for (name, value) in variables {
            launch = launch.env(*name, *value);
        }
        let running = launch.start();
        running.wait_for_stdout(APPS_OUTPUT);
        if let Some(labels) = labels {
            let agent = running.wait_for_agent();
            let labels = front_end.labels(labels);
            let url = format!("http://127.0.0.1:{port}");
            let expected = ["connect", &labels, &url];
            assert_eq!(agent.arguments()[2..], expected, "{variables:?}");
        } else {
            // A supervisor would be there before the app.
            assert_eq!(running.supervisors().len(), 0, "{variables:?}");
            assert_eq!(zombies_of(running.id()), [0; 0], "{variables:?}");
            assert_eq!(running.our_lines(), [""; 0], "{variables:?}");
        }
    }
}

fn process_type_is_found(front_end: FrontEnd) {
    // Each type has a label of its own, which shows what type was found.
    const WEB: (&str, &str) = ("BACKPLANE_LABELS_WEB", "is=web");
    const WORKER: (&str, &str) = ("BACKPLANE_LABELS_WORKER", "is=worker");
    const TWO_PARTS: (&str, &str) = ("BACKPLANE_LABELS_TWO_PARTS", "is=two-parts");
    const UNKNOWN: (&str, &str) = ("DYNO", "something else");
    const DYNO: (&str, &str) = ("DYNO", "worker.12");
    const STATED: (&str, &str) = ("BACKPLANE_PROCESS_TYPE", "web");
    let of_unknown_dyno = match front_end {
        // The launcher knows the type, too.
        FrontEnd::Cnb => Some("some=label,is=web,heroku=true"),
        FrontEnd::Classic => None,
    };
    let of_worker = Some("some=label,is=worker,heroku=true");
    let cases: [Case<'_>; 7] = [
        ("web", &[WEB, WORKER], Some("some=label,is=web")),
        ("two-parts", &[TWO_PARTS], Some("some=label,is=two-parts")),
        ("run", &[], None),
        (ONE_OFF, &[WEB], None),
        ("web", &[WEB, UNKNOWN], of_unknown_dyno),
        ("web", &[WEB, WORKER, DYNO], of_worker),
        (ONE_OFF, &[WEB, STATED], Some("some=label,is=web")),
    ];
    assert_labels(front_end, cases);
}

#[test]
fn arguments_for_the_default_process_make_no_one_off_of_it() {
    let image = image_with_agent(SCRIPT_AGENT);
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
