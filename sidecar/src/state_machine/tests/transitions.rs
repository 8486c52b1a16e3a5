//! Every event in every state, against the table in `transitions.txt`.

use std::fmt::Write as _;

use super::*;

/// How each state is come to. Where a state behaves differently later, or for another setting, it
/// is there more than once.
fn states() -> Vec<(&'static str, Script)> {
    let running = |drain| Script::running(drain);
    let silent_twice = |drain| {
        let mut script = running(drain);
        script.tell(SILENT);
        script.tell(SILENT);
        script
    };
    let draining = || silent_twice(Drain::Stop);
    let restarting = |wait_for_app| {
        let mut script = Script::new(wait_for_app, Drain::Keep);
        script.tell(if wait_for_app {
            LISTENS
        } else {
            Event::TimerExpired
        });
        script.tell(exited(1));
        script
    };
    let stopping = || {
        let mut script = running(Drain::Keep);
        script.tell(Event::AppExited);
        script
    };
    let killed = || {
        let mut script = stopping();
        script.after(2_000).tell(Event::TimerExpired);
        script
    };
    let after_trouble = || {
        let mut script = running(Drain::Keep);
        for _ in 0..5 {
            script.crash(10, exited(1));
        }
        script
    };
    let then = |mut script: Script, event: Event| {
        script.tell(event);
        script
    };
    let later = |mut script: Script, milliseconds: u64| {
        script.after(milliseconds);
        script
    };
    let yielding = || then(Script::keep(), Event::AnotherListens);
    vec![
        ("standing by", Script::standing_by(true)),
        ("standing by, now", later(Script::standing_by(true), 50)),
        (
            "standing by, not waiting",
            later(Script::standing_by(false), 50),
        ),
        ("yielding", yielding()),
        ("yielding, now", later(yielding(), 2_000)),
        ("waiting", Script::keep()),
        (
            "waiting, has yielded",
            then(later(yielding(), 2_000), TAKEN),
        ),
        ("waiting, late", later(Script::keep(), 10_000)),
        ("waiting, very late", later(Script::keep(), 50_000)),
        ("not waiting for the app", Script::new(false, Drain::Keep)),
        ("running", running(Drain::Keep)),
        (
            "running, app silent once",
            then(running(Drain::Stop), SILENT),
        ),
        ("running, app silent", silent_twice(Drain::Keep)),
        (
            "running, told to end",
            then(running(Drain::Keep), Event::ShutdownRequested),
        ),
        ("running, recovered", later(after_trouble(), 30_000)),
        ("draining", draining()),
        (
            "draining, agent gone",
            then(draining(), exited_with_others_left()),
        ),
        (
            "draining, in vain",
            later(then(draining(), exited_with_others_left()), 2_000),
        ),
        (
            "draining, told to end",
            then(draining(), Event::ShutdownRequested),
        ),
        (
            "draining, asked to drain",
            then(running(Drain::Keep), Event::DrainRequested),
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

fn events() -> [(&'static str, Event); 13] {
    [
        ("app listens", LISTENS),
        ("app is silent", SILENT),
        ("another listens", Event::AnotherListens),
        ("lock taken", TAKEN),
        ("lock held", HELD),
        ("agent started", Event::AgentStarted(Loopback::V4)),
        ("agent exited", exited(1)),
        ("agent exited, not all", exited_with_others_left()),
        ("told to end", Event::ShutdownRequested),
        ("asked to drain", Event::DrainRequested),
        ("app ended", Event::AppExited),
        ("time is up", Event::TimerExpired),
        ("app waits for us", Event::AppChecked(APP_WAITS)),
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
                assert_eq!(script.tell(event.clone()), [""; 0]);
                assert_eq!(format!("{:?}", script.machine.state), before);
                script.after(500);
            }
            let answer: Vec<String> = script
                .tell(event)
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
