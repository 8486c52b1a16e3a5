//! Launches by the real launcher: the app runs as without the buildpack, and nothing is left.

use std::collections::BTreeMap;

use harness::lifecycle::{FrontEnd, Image, Running};
use harness::{MARK, ReservedPort, listen, soak_or, zombies_of};
use rustix::process::Signal;

use crate::fixtures::{
    APPS_OUTPUT, LEFT_AFTER_APP, PATIENT_AGENT, app, build_with_agent, paths_below,
};

#[test]
fn the_apps_environment_is_unchanged() {
    let app = app().process("web", "env -0; echo; echo end; read -r _");
    let build = build_with_agent(FrontEnd::Cnb, app, PATIENT_AGENT);
    // Both in the same directories, since their names are in the environment.
    let port = ReservedPort::reserve();
    let without = build.without_backplane().run();
    let expected = environment_of_app(&launch(&without, &port));
    let with = without.restored().with_backplane().run();
    let running = launch(&with, &port);
    running.wait_for_supervisor();

    assert_eq!(environment_of_app(&running), expected);
    // It is an environment.
    assert_eq!(expected["PATH"], "/usr/local/bin:/usr/bin:/bin");
}

fn launch(image: &Image, port: &ReservedPort) -> Running {
    let running = image.launch("web").connect(port.number).start();
    running.wait_for_stdout("end\n");
    running
}

/// The environment that the app wrote to its stdout, without the mark of its launch.
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

/// As process 1 of a container, the app would have to reap what we leave. Most apps do not, and
/// zombies count against the limit of processes.
#[test]
fn launches_leave_nothing() {
    let app = app().process("web", "echo the app is up; exec cat >/dev/null");
    let image = build_with_agent(FrontEnd::Cnb, app, PATIENT_AGENT).run();
    let (_listener, port) = listen();
    let paths_before = paths_below(&image.layers());
    let mut signals = [None, Some(Signal::TERM), Some(Signal::KILL)]
        .into_iter()
        .cycle();
    for round in 0..soak_or(200, 20) {
        let mut running = image.launch("web").connect(port).like_process_1().start();
        running.wait_for_stdout(APPS_OUTPUT);
        let first = running.wait_for_agent();
        if round % 5 == 0 {
            // A restart leaves nothing either.
            first.signal(Signal::KILL);
            running.wait_for_agent_after(&first);
        }
        for parent in [running.id(), running.wait_for_supervisor().id()] {
            assert_eq!(zombies_of(parent), [0; 0], "round {round}");
        }
        match signals.next().unwrap() {
            None => running.close_stdin(),
            Some(signal) => running.signal(signal),
        }
        running.wait();
        let time = running.wait_for_nothing_left();
        assert!(time < LEFT_AFTER_APP, "round {round}: {time:?}");
    }
    assert_eq!(paths_below(&image.layers()), paths_before);
}
