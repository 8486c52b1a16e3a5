//! A supervisor for an app whose lock another one holds.

use super::*;

/// Milliseconds until it tries to take the lock.
fn until_try(script: &Script) -> u64 {
    let (probe, timer) = script.wake();
    assert_eq!(probe, None);
    timer.unwrap()
}

#[test]
fn lock_is_tried_soon_at_first_and_once_a_second_later() {
    let mut script = Script::keep().standing_by();
    let mut tries = Vec::new();
    while script.now < 10_000 {
        let delay = until_try(&script);
        assert_eq!(script.after(delay - 1).handle(Event::TimerExpired), NOTHING);
        assert_eq!(script.after(1).handle(Event::TimerExpired), ["try lock"]);
        assert_eq!(script.handle(HELD), NOTHING);
        tries.push(script.now);
    }
    assert_eq!(tries[..6], [50, 100, 200, 400, 800, 1_600]);
    let mut later = tries[6..].iter().zip(&tries[5..]);
    assert!(later.all(|(next, last)| next - last == 1_000));
}

#[test]
fn user_who_expects_no_agent_reads_nothing_of_the_lock() {
    let mut script = Script::of_type(true, Drain::Keep, false);
    let actions = script.handle(Event::AnotherListens);
    assert_eq!(actions, ["Debug AnotherListens", "release lock"]);
    let actions = script.handle(TAKEN);
    assert_eq!(actions, ["Debug TookOver", "Debug WaitingForApp"]);
}

#[test]
fn lock_is_left_to_others_once_for_a_listener_of_another_process() {
    for (meanwhile, may_yield) in [
        // No other supervisor wanted it: this one runs the agent, whichever process listens.
        (&[TAKEN][..], false),
        // Another one had it.
        (&[HELD, Event::TimerExpired, TAKEN], true),
        // The listener is another one.
        (&[TAKEN, NOT_LISTENING], true),
    ] {
        let mut script = Script::keep();
        assert!(script.machine.may_yield());
        script.handle(Event::AnotherListens);
        assert!(!script.machine.may_yield());
        script.after(2_000).handle(Event::TimerExpired);
        for event in meanwhile {
            script.handle(event.clone());
        }
        assert_eq!(script.machine.may_yield(), may_yield, "{meanwhile:?}");
        assert_eq!(script.handle(LISTENS), ["start V4"]);
        assert!(!script.machine.may_yield(), "it runs");
    }
}
