//! The end of the app, of the agent and of the supervisor.

use super::*;

#[test]
fn nothing_is_started_after_sigterm() {
    let told = ["Debug ShutdownRequested"];
    let app_ended = ["Debug AppExited { agent_runs: false }", "finish"];

    // While nothing runs: the app may still listen, but no agent comes.
    let mut waiting = Script::keep();
    let mut pausing = Script::running(Drain::Keep);
    pausing.after(10).tell(exited(1));
    let mut without_wait = Script::new(false, Drain::Keep);
    for script in [&mut waiting, &mut pausing, &mut without_wait] {
        assert_eq!(script.tell(Event::ShutdownRequested), told);
        assert_eq!(script.wake(), (None, None));
        assert_eq!(script.after(60_000).tell(LISTENS), [""; 0]);
        assert_eq!(script.tell(Event::TimerExpired), [""; 0]);
        assert_eq!(script.tell(Event::AppExited), app_ended);
    }

    // While the agent runs: it goes on, is not signalled, and its end is the last.
    let mut script = Script::running(Drain::Keep);
    assert_eq!(script.tell(Event::ShutdownRequested), told);
    assert_eq!(script.tell(Event::ShutdownRequested), [""; 0]);
    assert_eq!(script.wake(), (Some(1000), None));
    assert_eq!(
        script.after(10).tell(exited(0)),
        [
            "kill",
            "reap",
            "Info AgentExited { exit: Status(0), delay: None }"
        ]
    );
    assert_eq!(script.wake(), (None, None));
    assert_eq!(script.after(10).tell(LISTENS), [""; 0]);
    assert_eq!(script.tell(Event::AppExited), app_ended);

    // While it drains.
    let mut script = Script::running(Drain::Stop);
    script.tell(SILENT);
    script.tell(SILENT);
    script.tell(Event::ShutdownRequested);
    script.tell(LISTENS);
    assert_eq!(
        script.tell(exited(0)),
        [
            "kill",
            "reap",
            "Info AgentExited { exit: Status(0), delay: None }"
        ]
    );
    assert_eq!(script.wake(), (None, None));
}

#[test]
fn agent_ends_with_the_app() {
    let mut draining = Script::running(Drain::Stop);
    draining.tell(SILENT);
    draining.tell(SILENT);
    for mut script in [Script::running(Drain::Keep), draining] {
        script.after(5000);
        assert_eq!(
            script.tell(Event::AppExited),
            ["Info AppExited { agent_runs: true }", "terminate"]
        );
        assert_eq!(script.wake(), (None, Some(2000)));
        assert_eq!(script.tell(LISTENS), [""; 0], "another app may have come");
        assert_eq!(script.after(1999).tell(Event::TimerExpired), [""; 0]);
        assert_eq!(
            script.tell(exited(0)),
            [
                "kill",
                "reap",
                "Debug AgentExited { exit: Status(0), delay: None }",
                "finish"
            ]
        );
        assert_eq!(script.wake(), (None, None));
    }
}

#[test]
fn agent_that_ignores_sigterm_is_killed_after_two_seconds() {
    let mut script = Script::running(Drain::Keep);
    script.tell(Event::AppExited);
    assert_eq!(
        script.after(2000).tell(Event::TimerExpired),
        ["Warning KillingAgent", "kill"]
    );
    assert_eq!(script.wake(), (None, Some(500)));
    assert_eq!(script.after(1).tell(exited(0)).last().unwrap(), "finish");

    // Not even SIGKILL helps against a process that the kernel does not let go of.
    let mut script = Script::running(Drain::Keep);
    script.tell(Event::AppExited);
    script.after(2000).tell(Event::TimerExpired);
    assert_eq!(script.after(499).tell(Event::TimerExpired), [""; 0]);
    assert_eq!(
        script.after(1).tell(Event::TimerExpired),
        ["reap", "finish"]
    );
}

#[test]
fn agents_children_have_the_same_grace_and_the_leader_is_reaped_last() {
    let mut script = Script::running(Drain::Keep);
    script.tell(Event::AppExited);
    assert_eq!(script.after(10).tell(exited_with_others_left()), [""; 0]);
    assert_eq!(script.after(10).tell(exited_with_others_left()), [""; 0]);
    assert_eq!(script.wake(), (None, Some(1980)));
    assert_eq!(script.after(10).tell(exited(0)).last().unwrap(), "finish");

    let mut script = Script::running(Drain::Keep);
    script.tell(Event::AppExited);
    script.after(10).tell(exited_with_others_left());
    assert_eq!(
        script.after(1990).tell(Event::TimerExpired).last().unwrap(),
        "kill"
    );
    // Others have become children of the supervisor meanwhile.
    assert_eq!(script.after(1).tell(exited_with_others_left()), ["kill"]);
    assert_eq!(script.after(1).tell(exited(0)).last().unwrap(), "finish");
}

#[test]
fn children_of_the_last_agent_are_left_alone_until_the_app_ends() {
    let mut script = Script::running(Drain::Keep);
    script.tell(Event::ShutdownRequested);
    assert_eq!(script.after(10).tell(exited_with_others_left()), [""; 0]);
    assert_eq!(script.after(1000).tell(exited_with_others_left()), [""; 0]);
    assert_eq!(script.tell(Event::AppExited).last().unwrap(), "terminate");
    assert_eq!(script.after(10).tell(exited(0)).last().unwrap(), "finish");
}

#[test]
fn supervisor_gets_out_of_the_way_of_an_app_that_waits_for_it() {
    const WAITS: Event = Event::AppChecked(APP_WAITS);
    let line = "Info AppWaitsForSupervisor";
    let check_at = |script: &Script| script.machine.wake().check;
    let milliseconds = |number| Some(Duration::from_millis(number));

    let mut script = Script::running(Drain::Keep);
    assert_eq!(check_at(&script), milliseconds(1_000));
    // With a look that comes soon.
    let mut later = Script::running(Drain::Keep);
    later.after(50).tell(LISTENS);
    assert_eq!(check_at(&later), milliseconds(1_050));
    script.after(1_000).tell(Event::AppChecked(Activity::Other));
    assert_eq!(check_at(&script), milliseconds(2_000));
    // More often while it seems so.
    assert_eq!(script.after(1_000).tell(WAITS), [""; 0]);
    assert_eq!(check_at(&script), milliseconds(2_100));
    assert_eq!(script.after(400).tell(WAITS), [""; 0]);
    assert_eq!(script.after(100).tell(WAITS), [line, "terminate"]);
    assert_eq!(check_at(&script), None);
    assert_eq!(script.wake(), (None, Some(250)));
    let mut stubborn = script.machine;
    let killed = stubborn.handle(Event::TimerExpired, Duration::from_millis(2_750));
    assert!(killed.contains(&Action::Kill));

    let mut script = Script::keep();
    script.after(1_000).tell(WAITS);
    assert_eq!(script.after(500).tell(WAITS), [line, "finish"]);
}
