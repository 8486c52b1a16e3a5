//! Every event in every state, against the table in `transitions.txt`.

use std::fmt::Write as _;

use super::*;

/// How each state is reached. A state that behaves differently later, or for another setting, is
/// there more than once.
fn states() -> Vec<(&'static str, Script)> {
    let running = Script::running;
    let standing_by = |wait_for_app| Script::new(wait_for_app, Drain::Keep).standing_by();
    let silent_twice = |drain| {
        let mut script = running(drain);
        script.handle(NOT_LISTENING);
        script.handle(NOT_LISTENING);
        script
    };
    let draining = || silent_twice(Drain::Stop);
    let restarting = |wait_for_app| {
        let mut script = Script::new(wait_for_app, Drain::Keep);
        script.restart();
        script.handle(exited(1));
        script
    };
    let stopping = || {
        let mut script = running(Drain::Keep);
        script.handle(Event::AppExited);
        script
    };
    let killed = || {
        let mut script = stopping();
        script.after(2_000).handle(Event::TimerExpired);
        script
    };
    let after_trouble = || {
        let mut script = running(Drain::Keep);
        for _ in 0..5 {
            script.crash(10, exited(1));
        }
        script
    };
    let replacing = || then(failing(), UNHEALTHY);
    let yielding = || then(Script::keep(), Event::AnotherListens);
    vec![
        ("standing by", standing_by(true)),
        ("standing by, now", later(standing_by(true), 50)),
        ("standing by, not waiting", later(standing_by(false), 50)),
        ("yielding", yielding()),
        ("yielding, now", later(yielding(), 2_000)),
        ("waiting", Script::keep()),
        (
            "waiting, has yielded",
            then(later(yielding(), 2_000), TAKEN),
        ),
        ("waiting, is checked", checking()),
        ("waiting, late", later(Script::keep(), 10_000)),
        ("waiting, very late", later(Script::keep(), 50_000)),
        ("not waiting for the app", Script::new(false, Drain::Keep)),
        ("running", running(Drain::Keep)),
        (
            "running, app silent once",
            then(running(Drain::Stop), NOT_LISTENING),
        ),
        ("running, app silent", silent_twice(Drain::Keep)),
        (
            "running, told to end",
            then(running(Drain::Keep), Event::ShutdownRequested),
        ),
        ("running, recovered", later(after_trouble(), 30_000)),
        (
            "running, check is due",
            later(then(checking(), READY), 30_000),
        ),
        ("running, failed twice", failing()),
        ("draining", draining()),
        ("draining, agent gone", then(draining(), others_left())),
        (
            "draining, in vain",
            later(then(draining(), others_left()), 2_000),
        ),
        (
            "draining, told to end",
            then(draining(), Event::ShutdownRequested),
        ),
        (
            "draining, asked to drain",
            then(running(Drain::Keep), Event::DrainRequested),
        ),
        ("replacing", replacing()),
        ("replacing, in vain", later(replacing(), 2_000)),
        (
            "replacing, asked to drain",
            then(replacing(), Event::DrainRequested),
        ),
        ("restarting, not yet", restarting(true)),
        ("restarting, now", later(restarting(true), 250)),
        (
            "restarting, now, not waiting",
            later(restarting(false), 250),
        ),
        ("ended", then(restarting(true), Event::ShutdownRequested)),
        ("stopping", stopping()),
        ("stopping, in vain", later(stopping(), 2_000)),
        ("killed", killed()),
        ("killed, in vain", later(killed(), 500)),
        ("finished", then(Script::keep(), Event::AppExited)),
    ]
}

fn then(mut script: Script, event: Event) -> Script {
    script.handle(event);
    script
}

fn later(mut script: Script, milliseconds: u64) -> Script {
    script.after(milliseconds);
    script
}

/// The app listens, and is checked whether it is ready.
fn checking() -> Script {
    then(Script::checking(), LISTENS)
}

/// Two health checks have failed, and a third one is on its way.
fn failing() -> Script {
    let mut script = then(checking(), READY);
    for (after, result) in [
        (30_000, Some(UNHEALTHY)),
        (10_000, Some(UNHEALTHY)),
        (10_000, None),
    ] {
        script.after(after).handle(Event::TimerExpired);
        if let Some(result) = result {
            script.handle(result);
        }
    }
    script
}

/// The agent has exited, and processes that it has started live.
fn others_left() -> Event {
    Event::AgentExited {
        exit: Exit::Status(0),
        others_live: true,
        jitter: Jitter::NONE,
    }
}

fn events() -> [(&'static str, Event); 18] {
    [
        ("app listens", LISTENS),
        ("app is silent", NOT_LISTENING),
        ("another listens", Event::AnotherListens),
        ("lock taken", TAKEN),
        ("lock held", HELD),
        ("agent started", Event::AgentStarted(Loopback::V4)),
        ("agent exited", exited(1)),
        ("agent exited, not all", others_left()),
        ("app ready", READY),
        ("app not ready", NOT_READY),
        ("agent healthy", HEALTHY),
        ("agent not healthy", UNHEALTHY),
        ("too much memory", Event::MemoryExceeded { used: 1 << 30 }),
        ("told to end", Event::ShutdownRequested),
        ("asked to drain", Event::DrainRequested),
        ("app ended", Event::AppExited),
        ("time is up", Event::TimerExpired),
        ("app waits for us", APP_WAITS),
    ]
}

#[test]
fn every_event_in_every_state_is_answered_as_in_the_table() {
    let mut table = String::new();
    for (index, (state, _)) in states().iter().enumerate() {
        for (name, event) in events() {
            let (_, mut script) = states().swap_remove(index);
            if matches!(event, Event::AppChecked(_)) {
                // It has to last.
                let before = format!("{:?}", script.machine.state);
                assert_eq!(script.handle(event.clone()), NOTHING);
                assert_eq!(format!("{:?}", script.machine.state), before);
                script.after(500);
            }
            let answer: Vec<String> = script
                .handle(event)
                .into_iter()
                .map(|action| match action.split_once(" {") {
                    Some((level_and_name, _)) => level_and_name.to_owned(),
                    None => action,
                })
                .collect();
            let next = format!("{:?}", script.machine.state);
            let next = next.split(' ').next().unwrap();
            let answer = answer.join(", ");
            writeln!(table, "{state:28} | {name:23} | {next:8} | {answer}").unwrap();
        }
    }
    let expected = include_str!("transitions.txt");
    for (found, expected) in table.lines().zip(expected.lines()) {
        assert_eq!(found.trim_end(), expected);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}

#[test]
fn every_state_has_its_name_for_users_and_wakes_for_its_next_probe_or_timer() {
    use AgentState::{Draining, Ended, Restarting, Running, Stopping, Waiting};
    let expected = [
        ("standing by", Waiting, None, Some(50)),
        ("standing by, now", Waiting, None, Some(0)),
        ("standing by, not waiting", Waiting, None, Some(0)),
        ("yielding", Waiting, None, Some(2_000)),
        ("yielding, now", Waiting, None, Some(0)),
        ("waiting", Waiting, Some(0), None),
        ("waiting, has yielded", Waiting, Some(0), None),
        ("waiting, is checked", Waiting, None, None),
        ("waiting, late", Waiting, Some(0), None),
        ("waiting, very late", Waiting, Some(0), None),
        ("not waiting for the app", Restarting, None, Some(0)),
        ("running", Running, Some(1_000), None),
        ("running, app silent once", Running, Some(1_000), None),
        ("running, app silent", Running, Some(1_000), None),
        ("running, told to end", Running, Some(1_000), None),
        ("running, recovered", Running, Some(0), Some(0)),
        ("running, check is due", Running, Some(0), Some(0)),
        ("running, failed twice", Running, Some(0), None),
        ("draining", Draining, None, None),
        ("draining, agent gone", Draining, None, Some(2_000)),
        ("draining, in vain", Draining, None, Some(0)),
        ("draining, told to end", Draining, None, None),
        ("draining, asked to drain", Draining, None, None),
        ("replacing", Restarting, None, Some(2_000)),
        ("replacing, in vain", Restarting, None, Some(0)),
        ("replacing, asked to drain", Restarting, None, Some(2_000)),
        ("restarting, not yet", Restarting, Some(250), None),
        ("restarting, now", Restarting, Some(0), None),
        ("restarting, now, not waiting", Restarting, None, Some(0)),
        ("ended", Ended, None, None),
        ("stopping", Stopping, None, Some(2_000)),
        ("stopping, in vain", Stopping, None, Some(0)),
        ("killed", Stopping, None, Some(500)),
        ("killed, in vain", Stopping, None, Some(0)),
        ("finished", Stopping, None, None),
    ];
    assert_eq!(states().len(), expected.len());
    for ((name, script), expected) in states().into_iter().zip(expected) {
        let (probe, timer) = script.wake();
        let state = script.machine.status(Duration::ZERO).state;
        assert_eq!((name, state, probe, timer), expected);
    }
}
