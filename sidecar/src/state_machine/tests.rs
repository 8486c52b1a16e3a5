//! The state machine over scripts of events with a fake clock: what it answers, and when it wants
//! to be woken.

mod ending;
mod standing_by;
mod transitions;

use std::time::Duration;

use super::*;
use crate::exit::ExecError;

/// Events by short names.
const LISTENS: Event = Event::Probed(Some(Loopback::V4));
const SILENT: Event = Event::Probed(None);
const TAKEN: Event = Event::LockTried { is_taken: true };
const HELD: Event = Event::LockTried { is_taken: false };

const APP_WAITS: Activity = Activity::Waits {
    is_only_thread: true,
    sleeps: 7,
};

fn exited(status: i32) -> Event {
    Event::AgentExited {
        exit: Exit::Status(status),
        others_live: false,
        jitter: Jitter::NONE,
    }
}

fn not_run() -> Event {
    Event::AgentExited {
        exit: Exit::NotRun(ExecError::NotExecutable),
        others_live: false,
        jitter: Jitter::NONE,
    }
}

/// The agent has ended, others that it has started live.
fn exited_with_others_left() -> Event {
    Event::AgentExited {
        exit: Exit::Status(0),
        others_live: true,
        jitter: Jitter::NONE,
    }
}

/// A supervisor and its clock, in milliseconds.
struct Script {
    machine: StateMachine,
    now: u64,
}

impl Script {
    fn new(wait_for_app: bool, drain: Drain) -> Self {
        Self::of_type(wait_for_app, drain, true)
    }

    fn of_type(wait_for_app: bool, drain: Drain, is_expected: bool) -> Self {
        let limits = Limits {
            stop_timeout: Duration::from_secs(2),
            ..Limits::default()
        };
        Self {
            machine: StateMachine::new(limits, wait_for_app, drain, is_expected),
            now: 0,
        }
    }

    /// One that waits for the app and leaves the agent alone while the app drains.
    fn keep() -> Self {
        Self::new(true, Drain::Keep)
    }

    /// One that does not have the lock.
    fn standing_by(wait_for_app: bool) -> Self {
        let mut script = Self::new(wait_for_app, Drain::Keep);
        script.machine = script.machine.standing_by();
        script
    }

    /// One that waits and has the agent running since this moment.
    fn running(drain: Drain) -> Self {
        let mut script = Self::new(true, drain);
        script.tell(LISTENS);
        script
    }

    fn after(&mut self, milliseconds: u64) -> &mut Self {
        self.now += milliseconds;
        self
    }

    /// What the supervisor answers, each action in a few words; a message by its level and its
    /// name, as its text is not the matter here.
    fn tell(&mut self, event: Event) -> Vec<String> {
        let actions = self.machine.handle(event, Duration::from_millis(self.now));
        actions
            .into_iter()
            .map(|action| match action {
                Action::Log(level, notice) => format!("{level:?} {notice:?}").replace('"', ""),
                Action::TryLock => "try lock".to_owned(),
                Action::ReleaseLock => "release lock".to_owned(),
                Action::Start(loopback) => format!("start {loopback:?}"),
                Action::Terminate => "terminate".to_owned(),
                Action::Kill => "kill".to_owned(),
                Action::Reap => "reap".to_owned(),
                Action::Finish => "finish".to_owned(),
            })
            .collect()
    }

    /// Milliseconds until the next look and until the timer.
    fn wake(&self) -> (Option<u64>, Option<u64>) {
        let wake = self.machine.wake();
        let from_now = |at: Option<Moment>| {
            Some(
                u64::try_from(at?.as_millis())
                    .unwrap()
                    .saturating_sub(self.now),
            )
        };
        (from_now(wake.probe), from_now(wake.timer))
    }

    /// An agent that ends `ran_for` milliseconds after its start, and is started again after its
    /// pause. Gives what was said of its end.
    fn crash(&mut self, ran_for: u64, event: Event) -> Vec<String> {
        let mut answer = self.after(ran_for).tell(event);
        assert_eq!(answer[..2], ["kill", "reap"]);
        let (look, timer) = self.wake();
        self.after(look.or(timer).unwrap());
        let answer_to_look = self.tell(LISTENS);
        assert_eq!(answer_to_look, ["start V4"]);
        answer.split_off(2)
    }
}

#[test]
fn agent_is_started_when_the_app_listens_and_not_before() {
    let mut script = Script::keep();
    assert_eq!(script.wake(), (Some(0), None));
    for _ in 0..100 {
        assert_eq!(script.tell(SILENT), [""; 0]);
        script.after(20);
    }
    assert_eq!(script.tell(LISTENS), ["start V4"]);
    assert_eq!(script.wake(), (Some(1000), None));
    let mut script = Script::keep();
    assert_eq!(script.tell(Event::Probed(Some(Loopback::V6))), ["start V6"]);
}

#[test]
fn looks_come_every_20_ms_during_the_boot_and_every_200_ms_later() {
    let mut script = Script::keep();
    for (now, next_probe) in [(0, 20), (9_999, 20), (10_000, 200), (3_600_000, 200)] {
        script.now = now;
        script.tell(SILENT);
        assert_eq!(script.wake(), (Some(next_probe), None), "{now}");
    }
}

#[test]
fn app_that_never_listens_is_told_within_a_minute_and_a_slow_boot_is_not() {
    let late = "AppIsLate";
    // Nobody waits for the agent of a worker that has a port by chance.
    for is_expected in [true, false] {
        let mut script = Script::of_type(true, Drain::Stop, is_expected);
        let told = [format!("Warning {late}")];
        let told = if is_expected { &told[..] } else { &[] };
        for _ in 0..2 {
            assert_eq!(script.after(9_999).tell(SILENT), [""; 0]);
            assert_eq!(script.after(1).tell(SILENT), [format!("Debug {late}")]);
            assert_eq!(script.after(35_000).tell(SILENT), [""; 0]);
            assert_eq!(script.after(10_000).tell(SILENT), told);
            assert_eq!(script.after(60_000).tell(SILENT), [""; 0], "once");
            assert_eq!(script.tell(LISTENS), ["start V4"]);
            // It is told again of an app that does not come back.
            script.tell(SILENT);
            script.tell(SILENT);
            script.tell(exited(0));
        }
    }
}

#[test]
fn agent_that_is_well_again_after_many_quick_exits_is_told_once() {
    for wait_for_app in [true, false] {
        let mut script = Script::new(wait_for_app, Drain::Keep);
        let start = if wait_for_app {
            LISTENS
        } else {
            Event::TimerExpired
        };
        script.tell(start.clone());
        // Fewer are followed by lines of their own.
        for exits in 1..=5 {
            assert_eq!(script.wake().1, None, "after {} exits", exits - 1);
            script.after(10).tell(exited(1));
            let (look, timer) = script.wake();
            script.after(look.or(timer).unwrap()).tell(start.clone());
        }
        assert_eq!(script.wake().1, Some(30_000));
        // One that ends before is not well.
        script.after(29_999).tell(exited(1));
        let (look, timer) = script.wake();
        script.after(look.or(timer).unwrap()).tell(start);
        assert_eq!(script.after(29_999).tell(Event::TimerExpired), [""; 0]);
        assert_eq!(
            script.after(1).tell(Event::TimerExpired),
            ["Info AgentRecovered { ran_for: 30s, exits: 6 }"]
        );
        assert_eq!(script.wake().1, None);
        assert_eq!(script.after(1).tell(Event::TimerExpired), [""; 0]);
        // And so is its next exit.
        let told = script.tell(exited(1));
        assert!(told[2].starts_with("Warning AgentExited"), "{told:?}");
    }
}

#[test]
fn agent_is_started_at_once_and_nobody_looks_without_waiting_for_the_app() {
    let mut script = Script::new(false, Drain::Stop);
    assert_eq!(script.wake(), (None, Some(0)));
    assert_eq!(script.tell(Event::TimerExpired), ["start V4"]);
    assert_eq!(script.wake(), (None, None));
    script.after(10).tell(exited(1));
    assert_eq!(script.wake(), (None, Some(250)));
    assert_eq!(script.after(249).tell(Event::TimerExpired), [""; 0]);
    assert_eq!(script.after(1).tell(Event::TimerExpired), ["start V4"]);
}

#[test]
fn exit_is_told_with_its_status_and_pause_which_doubles() {
    let mut script = Script::running(Drain::Keep);
    for (status, pause) in [(1, "250ms"), (0, "500ms"), (127, "1s"), (3, "2s")] {
        assert_eq!(
            script.crash(10, exited(status)),
            [format!(
                "Warning AgentExited {{ exit: Status({status}), delay: Some({pause}) }}"
            )]
        );
    }
}

#[test]
fn restart_waits_for_its_pause_and_for_the_app() {
    let mut script = Script::running(Drain::Keep);
    script.after(10).tell(exited(1));
    assert_eq!(script.wake(), (Some(250), None));
    assert_eq!(script.after(249).tell(LISTENS), [""; 0], "too early");
    assert_eq!(script.after(1).tell(SILENT), ["Debug WaitingForApp"]);
    assert_eq!(script.wake(), (Some(20), None));
    assert_eq!(script.after(20).tell(LISTENS), ["start V4"]);
}

#[test]
fn fifth_quick_exit_is_explained_and_later_ones_are_told_once_a_minute() {
    let mut script = Script::running(Drain::Keep);
    for _ in 1..5 {
        assert_eq!(script.crash(10, exited(1)).len(), 1);
    }
    let mut last_told = script.now + 10;
    let fifth = script.crash(10, exited(1));
    assert_eq!(fifth.len(), 2);
    assert!(fifth[1].starts_with("Warning CrashLoop"), "{fifth:?}");
    assert!(fifth[1].contains("Refusal"), "{fifth:?}");

    let mut told = 0;
    for _ in 0..50 {
        let before = script.now + 10;
        let lines = script.crash(10, exited(1));
        assert!(script.tell(Event::AgentStarted(Loopback::V4))[0].starts_with("Debug "));
        assert!(lines.len() <= 1);
        if !lines.is_empty() {
            assert!(before - last_told >= 60_000, "{lines:?}");
            last_told = before;
            told += 1;
        }
    }
    assert!(told > 10, "but they are told");
}

#[test]
fn agent_that_is_killed_again_and_again_is_explained_once_however_long_it_runs() {
    let killed = || Event::AgentExited {
        exit: Exit::Signal(9),
        others_live: false,
        jitter: Jitter::NONE,
    };
    for ran_for in [10, 3_600_000] {
        let mut script = Script::running(Drain::Keep);
        for _ in 1..5 {
            assert_eq!(script.crash(ran_for, killed()).len(), 1);
        }
        let fifth = script.crash(ran_for, killed());
        assert!(fifth[1].contains("Memory"), "{fifth:?}");
        for _ in 0..10 {
            let lines = script.crash(ran_for, killed());
            assert!(lines.len() <= 1, "{lines:?}");
        }
        script.crash(3_600_000, exited(1));
        let again: Vec<_> = (0..5)
            .flat_map(|_| script.crash(ran_for, killed()))
            .collect();
        assert!(
            again.iter().any(|line| line.contains("Memory")),
            "{again:?}"
        );
    }

    // Most of five quick exits decide; the rest of the row is explained by then.
    let mut script = Script::running(Drain::Keep);
    let ends = [
        killed(),
        exited(1),
        killed(),
        killed(),
        killed(),
        killed(),
        killed(),
    ];
    let lines: Vec<_> = ends
        .into_iter()
        .flat_map(|end| script.crash(10, end))
        .collect();
    let explained = lines.iter().filter(|line| line.contains("CrashLoop"));
    assert_eq!(explained.count(), 1, "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("Memory")),
        "{lines:?}"
    );

    // A wrapper script's word for it.
    let mut script = Script::running(Drain::Keep);
    let lines: Vec<_> = (0..5).flat_map(|_| script.crash(10, exited(137))).collect();
    assert!(lines[5].contains("Memory"), "{lines:?}");
    // But not every status above 128.
    let mut script = Script::running(Drain::Keep);
    let lines: Vec<_> = (0..5).flat_map(|_| script.crash(10, exited(255))).collect();
    assert!(lines[5].contains("Refusal"), "{lines:?}");
}

#[test]
fn minute_of_health_forgives_earlier_exits() {
    let mut script = Script::running(Drain::Keep);
    for _ in 0..8 {
        script.crash(10, exited(1));
    }
    script.crash(59_999, exited(1));
    let lines = script.crash(60_000, exited(1));
    assert_eq!(
        lines,
        ["Warning AgentExited { exit: Status(1), delay: Some(250ms) }"]
    );
    for _ in 2..5 {
        assert_eq!(script.crash(10, exited(1)).len(), 1);
    }
    assert_eq!(
        script.crash(10, exited(1)).len(),
        2,
        "five more are explained again"
    );
}

#[test]
fn agent_that_cannot_be_run_is_told_once_a_minute_and_not_blamed_on_the_token() {
    let mut script = Script::running(Drain::Keep);
    let first = script.crash(1, not_run());
    assert_eq!(
        first,
        ["Warning AgentExited { exit: NotRun(NotExecutable), delay: Some(250ms) }"]
    );
    let lines: Vec<String> = (0..8).flat_map(|_| script.crash(1, not_run())).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("NotRun"));
}

#[test]
fn agent_that_could_not_be_started_is_not_blamed_on_the_token() {
    let mut script = Script::running(Drain::Keep);
    let not_started = || Event::AgentExited {
        exit: Exit::NotStarted("no memory".to_owned()),
        others_live: false,
        jitter: Jitter::NONE,
    };
    let lines: Vec<String> = (0..8)
        .flat_map(|_| script.crash(1, not_started()))
        .collect();
    assert!(lines.len() >= 5, "{lines:?}");
    for line in lines {
        assert!(
            line.starts_with("Warning AgentExited { exit: NotStarted(no memory), "),
            "{line}"
        );
    }
}

#[test]
fn app_that_no_longer_listens_is_told_after_two_looks() {
    for drain in [Drain::Keep, Drain::Stop] {
        let mut script = Script::running(drain);
        assert_eq!(
            script.after(1000).tell(SILENT),
            [""; 0],
            "one may be missed"
        );
        assert_eq!(script.after(1000).tell(LISTENS), [""; 0]);
        assert_eq!(script.after(1000).tell(SILENT), [""; 0]);
        assert_eq!(script.wake(), (Some(1000), None));
        let told = script.after(1000).tell(SILENT);
        match drain {
            Drain::Keep => assert_eq!(told, ["Info AppStoppedListening { stops_agent: false }"]),
            Drain::Stop => {
                assert_eq!(
                    told,
                    [
                        "Info AppStoppedListening { stops_agent: true }",
                        "terminate"
                    ]
                );
            }
        }
        let next_probe = match drain {
            Drain::Keep => Some(1000),
            Drain::Stop => None,
        };
        assert_eq!(script.wake(), (next_probe, None));
        assert_eq!(script.after(1000).tell(SILENT), [""; 0], "it is told once");
    }
}

#[test]
fn keep_starts_an_agent_that_ended_meanwhile_only_when_the_app_listens_again() {
    let mut script = Script::running(Drain::Keep);
    for _ in 0..2 {
        script.after(1000).tell(SILENT);
    }
    assert_eq!(
        script.after(10).tell(exited(1)),
        ["kill", "reap", "Warning AgentDrained { exit: Status(1) }"]
    );
    assert_eq!(script.after(250).tell(SILENT).len(), 1);
    assert_eq!(script.after(20).tell(LISTENS), ["start V4"]);
}

#[test]
fn stop_starts_the_agent_again_when_the_app_listens_again() {
    let drained = "Info AgentDrained { exit: Status(0) }";
    let waiting = "Debug WaitingForApp";
    let draining = || {
        let mut script = Script::running(Drain::Stop);
        script.after(1000).tell(SILENT);
        script.after(1000).tell(SILENT);
        script
    };

    let mut script = draining();
    assert_eq!(
        script.after(30_000).tell(exited(0)),
        ["kill", "reap", drained, waiting]
    );
    // The app may be back by then.
    assert_eq!(script.wake(), (Some(0), None));
    assert_eq!(script.tell(SILENT), [""; 0]);
    assert_eq!(script.wake(), (Some(20), None));
    assert_eq!(script.after(20).tell(LISTENS), ["start V4"]);
}

#[test]
fn children_of_a_drained_agent_have_two_seconds_more() {
    let draining = || {
        let mut script = Script::running(Drain::Stop);
        script.after(1000).tell(SILENT);
        script.after(1000).tell(SILENT);
        script.after(30_000).tell(exited_with_others_left());
        assert_eq!(script.wake(), (None, Some(2000)));
        script
    };
    let mut script = draining();
    assert_eq!(script.after(1999).tell(exited_with_others_left()), [""; 0]);
    assert_eq!(script.tell(exited(0))[..2], ["kill", "reap"]);

    let mut script = draining();
    assert_eq!(script.after(2000).tell(Event::TimerExpired), [""; 0]);
    assert_eq!(
        script.tell(exited_with_others_left())[..2],
        ["kill", "reap"]
    );
}

#[test]
fn draining_is_no_quick_exit() {
    let mut script = Script::running(Drain::Stop);
    for _ in 0..6 {
        script.after(1000).tell(SILENT);
        script.after(1000).tell(SILENT);
        script.after(1).tell(exited(0));
        script.after(20).tell(LISTENS);
    }
    let first = script.crash(10, exited(1));
    assert_eq!(
        first,
        ["Warning AgentExited { exit: Status(1), delay: Some(250ms) }"]
    );
}

#[test]
fn state_is_known_with_its_age() {
    let report = |script: &Script| {
        let now = Duration::from_millis(script.now);
        let seconds = |at: Moment| at.as_secs();
        (
            script.machine.state(),
            seconds(now.saturating_sub(script.machine.since())),
            script.machine.restarts(),
            script
                .machine
                .restarts_at()
                .map(|at| seconds(at.saturating_sub(now))),
        )
    };
    let mut script = Script::new(true, Drain::Stop);
    script.after(3_000).tell(SILENT);
    assert_eq!(report(&script), (AgentState::Waiting, 3, 0, None));
    script.tell(LISTENS);
    script.after(5_000).tell(LISTENS);
    assert_eq!(report(&script), (AgentState::Running, 5, 0, None));
    for _ in 0..4 {
        script.crash(10, exited(1));
    }
    script.tell(exited(1));
    script.after(1_000);
    assert_eq!(report(&script), (AgentState::Restarting, 1, 4, Some(3)));
    assert_eq!(script.machine.last_exit(), Some(&Exit::Status(1)));
    script.after(3_000).tell(LISTENS);
    assert_eq!(report(&script), (AgentState::Running, 0, 5, None));
    script.tell(SILENT);
    script.tell(SILENT);
    assert_eq!(report(&script), (AgentState::Draining, 0, 5, None));
    script.tell(Event::ShutdownRequested);
    script.tell(exited(0));
    assert_eq!(report(&script), (AgentState::Ended, 0, 5, None));

    let mut script = Script::running(Drain::Keep);
    script.tell(Event::AppExited);
    assert_eq!(report(&script).0, AgentState::Stopping);
}
