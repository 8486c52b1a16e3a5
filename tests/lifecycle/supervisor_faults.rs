//! What is done to the supervisor itself: it goes on, or takes the agent with it.

use crate::subjects::{APPS_OUTPUT, APPS_STATUS, PATIENT_AGENT, connected, image_with_agent};
use crate::support::{DEADLINE, Launch, ReservedPort, eventually, never_within};
use rustix::process::Signal;
use std::time::Duration;

/// SIGTERM is told from all others: nothing is restarted after it, so it has a test of its own.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn no_signal_that_can_be_caught_changes_anything() {
    let (mut running, _listener) = connected(PATIENT_AGENT);
    let agent = running.wait_for_agent();
    let supervisor = running.wait_for_supervisor();
    // All that have a name (signal(7)) but SIGKILL and SIGSTOP, which nothing catches, and SIGTERM.
    let signals = (1..32)
        .filter_map(Signal::from_named_raw)
        .filter(|signal| ![Signal::KILL, Signal::STOP, Signal::TERM].contains(signal));
    let mut count = 0;
    for signal in signals {
        supervisor.signal(signal);
        count += 1;
    }
    assert_eq!(count, 28);
    never_within(Duration::from_millis(300), "an end", || {
        !supervisor.is_alive() || !agent.is_alive()
    });
    assert_eq!(supervisor.stat().state, 'S');
    // It does its work still.
    agent.signal(Signal::KILL);
    running.wait_for_agent_after(&agent);
    running.close_stdin();
    assert_eq!(running.wait().code(), Some(APPS_STATUS));
    running.wait_for_nothing_left();
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn supervisor_that_is_stopped_catches_up_when_it_is_continued() {
    let (mut running, _listener) = connected(PATIENT_AGENT);
    let agent = running.wait_for_agent();
    let supervisor = running.wait_for_supervisor();
    let stop = || {
        supervisor.signal(Signal::STOP);
        eventually(DEADLINE, "a stopped supervisor", || {
            (supervisor.stat().state == 'T').then_some(())
        });
    };
    stop();
    agent.signal(Signal::KILL);
    eventually(DEADLINE, "the agent's end", || {
        (!agent.is_alive()).then_some(())
    });
    supervisor.signal(Signal::CONT);
    let second = running.wait_for_agent_after(&agent);

    stop();
    running.close_stdin();
    assert_eq!(running.wait().code(), Some(APPS_STATUS));
    assert!(second.is_alive(), "nobody is there to end it");
    supervisor.signal(Signal::CONT);
    let time = running.wait_for_nothing_left();
    assert!(time < Duration::from_secs(3), "{time:?}");
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn of_two_launches_at_the_same_instant_one_has_the_agent() {
    let image = image_with_agent(PATIENT_AGENT);
    for _ in 0..5 {
        let port = ReservedPort::new();
        let number = port.number;
        let _listener = port.listen();
        let launches = [(); 2].map(|()| {
            image
                .launch("web")
                .connect(number)
                .env("BACKPLANE_LOG", "debug")
        });
        let both = launches.map(Launch::start);
        for running in &both {
            running.wait_for_stdout(APPS_OUTPUT);
        }
        let (with, without): (Vec<_>, Vec<_>) = both
            .iter()
            .partition(|running| !running.stderr().contains("No second agent"));
        assert_eq!((with.len(), without.len()), (1, 1));
        with[0].wait_for_agent();
        assert_eq!(
            without[0].processes().len(),
            2,
            "the app, and a supervisor that stands by"
        );
    }
}

/// A process that the container's user starts by hand, while the supervisor is dead, has an agent again.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn lock_of_a_killed_supervisor_is_free() {
    let image = image_with_agent(PATIENT_AGENT);
    let port = ReservedPort::new();
    let number = port.number;
    let _listener = port.listen();
    let first = image.launch("web").connect(number).start();
    let agent = first.wait_for_agent();
    first.wait_for_supervisor().signal(Signal::KILL);
    eventually(DEADLINE, "the agent's end", || {
        (!agent.is_alive()).then_some(())
    });
    assert!(first.app().is_alive());
    image.launch("web").connect(number).start().wait_for_agent();
}
