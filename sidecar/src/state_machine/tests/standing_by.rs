//! A supervisor whose target another one looks after.

use super::*;

/// Milliseconds until it tries to take the lock.
fn until_try(script: &Script) -> u64 {
    let (look, timer) = script.wake();
    assert_eq!(look, None);
    timer.unwrap()
}

#[test]
fn lock_is_tried_soon_at_first_and_once_a_second_later() {
    let mut script = Script::standing_by(true);
    let mut tries = Vec::new();
    while script.now < 10_000 {
        let pause = until_try(&script);
        assert_eq!(script.after(pause - 1).tell(Event::TimerExpired), [""; 0]);
        assert_eq!(script.after(1).tell(Event::TimerExpired), ["try lock"]);
        assert_eq!(script.tell(HELD), [""; 0]);
        tries.push(script.now);
    }
    assert_eq!(tries[..6], [50, 100, 200, 400, 800, 1_600]);
    assert!(
        tries[6..]
            .iter()
            .zip(&tries[5..])
            .all(|(next, last)| next - last == 1_000)
    );
}

#[test]
fn agent_is_started_after_the_lock_is_taken_as_without_a_wait_for_it() {
    for is_expected in [true, false] {
        let mut script = Script::of_type(true, Drain::Keep, is_expected);
        script.machine = script.machine.standing_by();
        script.after(50).tell(Event::TimerExpired);
        let level = if is_expected { "Info" } else { "Debug" };
        assert_eq!(
            script.tell(TAKEN),
            [
                format!("{level} TookOver"),
                "Debug WaitingForApp".to_owned()
            ]
        );
        assert_eq!(script.wake(), (Some(0), None));
        assert_eq!(script.tell(SILENT), [""; 0]);
        assert_eq!(script.wake(), (Some(20), None), "an app may boot");
        assert_eq!(script.after(20).tell(LISTENS), ["start V4"]);
    }
    let mut script = Script::standing_by(false);
    script.after(50).tell(Event::TimerExpired);
    assert_eq!(script.tell(TAKEN).len(), 1);
    assert_eq!(script.wake(), (None, Some(0)));
    assert_eq!(script.tell(Event::TimerExpired), ["start V4"]);
}

#[test]
fn lock_is_left_to_others_while_another_process_listens_but_not_for_long() {
    let mut script = Script::keep();
    assert!(script.machine.may_yield());
    let told = script.tell(Event::AnotherListens);
    assert!(told[0].starts_with("Info AnotherListens"), "{told:?}");
    assert_eq!(told[1..], ["release lock"]);
    assert_eq!(until_try(&script), 2_000);

    // Nobody wanted it: the first come has the agent, whoever listens.
    script.after(2_000).tell(Event::TimerExpired);
    script.tell(TAKEN);
    assert!(!script.machine.may_yield());
    assert_eq!(script.tell(Event::AnotherListens), [""; 0]);
    assert_eq!(script.tell(LISTENS), ["start V4"]);
    assert!(!script.machine.may_yield(), "it runs");
}

#[test]
fn lock_is_left_to_others_again_for_another_listener() {
    // Another supervisor had it meanwhile.
    let mut script = Script::keep();
    script.tell(Event::AnotherListens);
    script.after(2_000).tell(Event::TimerExpired);
    script.tell(HELD);
    assert_eq!(until_try(&script), 1_000);
    script.after(1_000).tell(Event::TimerExpired);
    script.tell(TAKEN);
    assert!(script.machine.may_yield());

    // The listener has gone meanwhile.
    let mut script = Script::keep();
    script.tell(Event::AnotherListens);
    script.after(2_000).tell(Event::TimerExpired);
    script.tell(TAKEN);
    script.tell(SILENT);
    assert!(script.machine.may_yield());
}
