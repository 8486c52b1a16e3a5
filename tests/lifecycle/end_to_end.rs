//! The whole path: from the stand-in's edge to an app that listens on 127.0.0.1 only.

use std::io::Read as _;
use std::time::Duration;

use harness::lifecycle::{FrontEnd, test_env};
use harness::{TOKEN, for_each_front_end};
use rustix::process::Signal;

use crate::fixtures::{ENDPOINT, launch_behind, sample_image_by};

for_each_front_end! {
    request_reaches_the_app_and_comes_back_after_a_crash,
    request_in_flight_is_finished_when_the_app_is_stopped,
    wrong_token_is_refused_and_the_app_goes_on,
}

fn request_reaches_the_app_and_comes_back_after_a_crash(front_end: FrontEnd) {
    let image = sample_image_by(front_end);
    let edge = test_env().edge(TOKEN);
    edge.route(TOKEN, ENDPOINT, "some=label");
    edge.wait_for_status(ENDPOINT, 503);

    let mut running = launch_behind(&edge, &image);
    edge.wait_for_status(ENDPOINT, 200);

    let first = running.wait_for_agent();
    first.signal(Signal::KILL);
    running.wait_for_agent_after(&first);
    edge.wait_for_status(ENDPOINT, 200);

    running.signal(Signal::TERM);
    assert!(running.wait().success());
    running.wait_for_nothing_left();
    edge.wait_for_status(ENDPOINT, 503);
}

/// In a container only the app gets the SIGTERM of a stop, and the agent serves what the app still
/// answers.
fn request_in_flight_is_finished_when_the_app_is_stopped(front_end: FrontEnd) {
    let image = sample_image_by(front_end);
    let edge = test_env().edge(TOKEN);
    edge.route(TOKEN, ENDPOINT, "some=label");
    let mut running = launch_behind(&edge, &image);
    edge.wait_for_status(ENDPOINT, 200);

    let mut answer = edge.open_slow(ENDPOINT, Duration::from_secs(1));
    running.signal(Signal::TERM);
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();

    assert!(rest.contains("10/10\n"), "{rest}");
    assert!(running.wait().success());
    running.wait_for_nothing_left();
}

fn wrong_token_is_refused_and_the_app_goes_on(front_end: FrontEnd) {
    let image = sample_image_by(front_end);
    let edge = test_env().edge("another-token");
    edge.route("another-token", ENDPOINT, "some=label");
    let running = launch_behind(&edge, &image);

    running.wait_for_stderr(
        "The agent has exited 5 times in a row soon after its start. Usually BACKPLANE_TOKEN",
    );
    assert_eq!(edge.get(ENDPOINT, "/"), 503);
    assert!(running.app().is_alive());
}
