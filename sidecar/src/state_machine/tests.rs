//! The state machine over scripts of events with a fake clock: its actions, and when it wants to be
//! woken.

mod standing_by;
mod transitions;

use std::time::Duration;

use super::*;
use crate::deadlock::Activity;
use crate::exit::ExecError;

/// Events by short names.
const LISTENS: Event = Event::Probed(Some(Loopback::V4));
const NOT_LISTENING: Event = Event::Probed(None);
const TAKEN: Event = Event::LockTried { is_taken: true };
const HELD: Event = Event::LockTried { is_taken: false };
const APP_WAITS: Event = Event::AppChecked(Activity::Waits {
    is_only_thread: true,
    sleeps: 7,
});

const READY: Event = Event::ReadyChecked {
    loopback: Loopback::V4,
    is_ready: true,
};
const NOT_READY: Event = Event::ReadyChecked {
    loopback: Loopback::V4,
    is_ready: false,
};
const HEALTHY: Event = Event::HealthChecked { is_healthy: true };
const UNHEALTHY: Event = Event::HealthChecked { is_healthy: false };

const NOTHING: [&str; 0] = [];

/// The line of an exit with the shortest delay.
const FIRST_EXIT: &str = "Warning AgentExited { exit: Status(1), delay: Some(250ms) }";

fn ended(exit: Exit) -> Event {
    Event::AgentExited {
        exit,
        others_live: false,
        jitter: Jitter::NONE,
    }
}

fn exited(status: i32) -> Event {
    ended(Exit::Status(status))
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
        Self::with(Options {
            start: if wait_for_app {
                StartWhen::AppListens
            } else {
                StartWhen::Now
            },
            checks_health: false,
            drain,
            stop_timeout: Duration::from_secs(2),
            outlives_sigterm: false,
            is_expected,
        })
    }

    fn with(options: Options) -> Self {
        Self {
            machine: StateMachine::new(options),
            now: 0,
        }
    }

    /// One whose agent most likely does not get SIGTERM.
    fn outliving() -> Self {
        let mut script = Self::keep();
        script.machine.options.outlives_sigterm = true;
        script.handle(LISTENS);
        script
    }

    /// One that starts the agent when the app is ready, and checks its health.
    fn checking() -> Self {
        Self::with(Options {
            start: StartWhen::AppIsReady,
            checks_health: true,
            drain: Drain::Keep,
            stop_timeout: Duration::from_secs(2),
            outlives_sigterm: false,
            is_expected: true,
        })
    }

    /// One that waits for the app and leaves the agent alone while the app drains.
    fn keep() -> Self {
        Self::new(true, Drain::Keep)
    }

    /// The same without the lock.
    fn standing_by(mut self) -> Self {
        self.machine = self.machine.standing_by();
        self
    }

    /// One that waits and has the agent running since this moment.
    fn running(drain: Drain) -> Self {
        let mut script = Self::new(true, drain);
        script.handle(LISTENS);
        script
    }

    fn after(&mut self, milliseconds: u64) -> &mut Self {
        self.now += milliseconds;
        self
    }

    /// The supervisor's actions, each in a few words; a message by its level and its name, because
    /// its text is tested elsewhere.
    fn handle(&mut self, event: Event) -> Vec<String> {
        let actions = self.machine.handle(event, Duration::from_millis(self.now));
        actions
            .into_iter()
            .map(|action| match action {
                Action::Log(level, notice) => format!("{level:?} {notice:?}").replace('"', ""),
                Action::TryLock => "try lock".to_owned(),
                Action::ReleaseLock => "release lock".to_owned(),
                Action::Start(loopback) => format!("start {loopback:?}"),
                Action::CheckReady(loopback) => format!("check ready {loopback:?}"),
                Action::CheckHealth => "check health".to_owned(),
                Action::Terminate => "terminate".to_owned(),
                Action::Kill => "kill".to_owned(),
                Action::Reap => "reap".to_owned(),
                Action::Finish => "finish".to_owned(),
            })
            .collect()
    }

    /// Milliseconds until the next probe and until the timer.
    fn wake(&self) -> (Option<u64>, Option<u64>) {
        let wake = self.machine.wake();
        let from_now = |at: Option<Moment>| {
            let at = u64::try_from(at?.as_millis()).unwrap();
            Some(at.saturating_sub(self.now))
        };
        (from_now(wake.probe), from_now(wake.timer))
    }

    /// Starts the agent when it is time for that.
    fn restart(&mut self) {
        let (probe, timer) = self.wake();
        self.after(probe.or(timer).unwrap());
        let event = if probe.is_some() {
            LISTENS
        } else {
            Event::TimerExpired
        };
        assert_eq!(self.handle(event), ["start V4"]);
    }

    /// An agent that ends `ran_for` milliseconds after its start and is restarted. Returns the log.
    fn crash(&mut self, ran_for: u64, event: Event) -> Vec<String> {
        let mut actions = self.after(ran_for).handle(event);
        assert_eq!(actions[..2], ["kill", "reap"]);
        self.restart();
        actions.split_off(2)
    }
}

#[test]
fn app_is_probed_every_20_ms_during_its_boot_and_every_200_ms_later() {
    let mut script = Script::keep();
    for (now, next_probe) in [(0, 20), (9_999, 20), (10_000, 200), (3_600_000, 200)] {
        script.now = now;
        let lines = script.handle(NOT_LISTENING).len();
        assert_eq!(lines, usize::from(now >= 10_000));
        assert_eq!(script.wake(), (Some(next_probe), None), "{now}");
    }
    // One that does not listen when the agent is to be restarted may boot, too; one that listens
    // again after a drain has done so for a while.
    let mut script = Script::running(Drain::Keep);
    script.handle(exited(1));
    script.after(250).handle(NOT_LISTENING);
    assert_eq!(script.wake(), (Some(20), None));
    let mut script = Script::running(Drain::Stop);
    script.handle(NOT_LISTENING);
    script.handle(NOT_LISTENING);
    script.after(30_000).handle(exited(0));
    assert_eq!(script.wake(), (Some(0), None));
}

#[test]
fn app_that_never_listens_is_logged_within_a_minute_and_a_slow_boot_is_not() {
    // The user does not expect the agent of a worker that has a port by chance.
    for is_expected in [true, false] {
        let mut script = Script::of_type(true, Drain::Stop, is_expected);
        let warning = ["Warning AppIsLate"];
        let warning = if is_expected { &warning[..] } else { &[] };
        for _ in 0..2 {
            assert_eq!(script.after(9_999).handle(NOT_LISTENING), NOTHING);
            assert_eq!(script.after(1).handle(NOT_LISTENING), ["Debug AppIsLate"]);
            assert_eq!(script.after(35_000).handle(NOT_LISTENING), NOTHING);
            assert_eq!(script.after(10_000).handle(NOT_LISTENING), warning);
            assert_eq!(script.after(60_000).handle(NOT_LISTENING), NOTHING, "once");
            assert_eq!(script.handle(LISTENS), ["start V4"]);
            // It is logged again if the app does not come back.
            script.handle(NOT_LISTENING);
            script.handle(NOT_LISTENING);
            script.handle(exited(0));
        }
    }
}

#[test]
fn recovery_after_a_crash_loop_is_logged_once() {
    for wait_for_app in [true, false] {
        let mut script = Script::new(wait_for_app, Drain::Keep);
        script.restart();
        // Fewer are followed by lines of their own.
        for exits in 0..5 {
            assert_eq!(script.wake().1, None, "after {exits} exits");
            script.crash(10, exited(1));
        }
        assert_eq!(script.wake().1, Some(30_000));
        // One that exits before has not recovered.
        script.crash(29_999, exited(1));
        assert_eq!(script.after(29_999).handle(Event::TimerExpired), NOTHING);
        let recovered = "Info AgentRecovered { ran_for: 30s, exits: 6 }";
        assert_eq!(script.after(1).handle(Event::TimerExpired), [recovered]);
        assert_eq!(script.wake().1, None);
        assert_eq!(script.after(1).handle(Event::TimerExpired), NOTHING);
        // Its next exit is logged, too.
        let log = script.handle(exited(1));
        assert!(log[2].starts_with("Warning AgentExited"), "{log:?}");
    }
}

#[test]
fn exit_is_logged_with_its_status_and_delay_which_doubles() {
    for wait_for_app in [true, false] {
        let mut script = Script::new(wait_for_app, Drain::Keep);
        script.restart();
        for (status, delay) in [(1, "250ms"), (0, "500ms"), (127, "1s"), (3, "2s")] {
            let end = format!("{{ exit: Status({status}), delay: Some({delay}) }}");
            let line = format!("Warning AgentExited {end}");
            assert_eq!(script.crash(10, exited(status)), [line]);
        }
    }
}

#[test]
fn fifth_quick_exit_is_explained_and_later_ones_are_logged_once_a_minute() {
    let mut script = Script::running(Drain::Keep);
    for _ in 1..5 {
        assert_eq!(script.crash(10, exited(1)).len(), 1);
    }
    let mut last_line = script.now + 10;
    let fifth = script.crash(10, exited(1));
    let cause = "Warning CrashLoop { exits: 5, cause: Refusal }";
    assert_eq!(fifth[1..], [cause]);

    let mut count = 0;
    for _ in 0..50 {
        let before = script.now + 10;
        let lines = script.crash(10, exited(1));
        assert!(script.handle(Event::AgentStarted(Loopback::V4))[0].starts_with("Debug "));
        assert!(lines.len() <= 1);
        if !lines.is_empty() {
            assert!(before - last_line >= 60_000, "{lines:?}");
            last_line = before;
            count += 1;
        }
    }
    assert!(count > 10);
}

#[test]
fn crash_loop_is_explained_once_by_what_most_of_its_exits_were() {
    let killed = || ended(Exit::Signal(9));
    let mostly_killed = [vec![killed(), exited(1)], vec![killed(); 5]].concat();
    for (ran_for, exits, cause) in [
        (10, vec![killed(); 15], "Memory"),
        (3_600_000, vec![killed(); 15], "Memory"),
        // Most of the first five decide, and the rest is explained by then.
        (10, mostly_killed, "Memory"),
        (10, vec![ended(Exit::Signal(11)); 7], "Crash"),
        // A wrapper script's status for a kill, but not every status above 128.
        (10, vec![exited(137); 7], "Memory"),
        (10, vec![exited(255); 7], "Refusal"),
    ] {
        let mut script = Script::running(Drain::Keep);
        let mut explanations = |exits: Vec<Event>| -> Vec<String> {
            let lines = exits
                .into_iter()
                .flat_map(|exit| script.crash(ran_for, exit));
            lines.filter(|line| line.contains("CrashLoop")).collect()
        };
        let expected = [format!("Warning CrashLoop {{ exits: 5, cause: {cause} }}")];
        assert_eq!(explanations(exits), expected);
    }
}

#[test]
fn minute_of_running_resets_earlier_exits() {
    let mut script = Script::running(Drain::Keep);
    for _ in 0..8 {
        script.crash(10, exited(1));
    }
    script.crash(59_999, exited(1));
    assert_eq!(script.crash(60_000, exited(1)), [FIRST_EXIT]);
    for lines in [1, 1, 1, 2] {
        assert_eq!(script.crash(10, exited(1)).len(), lines, "the fifth one");
    }
    // So does another end in between, for kills of agents that ran for long.
    let mut script = Script::running(Drain::Keep);
    let kill = || ended(Exit::Signal(9));
    for exit in [vec![kill(); 4], vec![exited(1)], vec![kill(); 4]].concat() {
        assert_eq!(script.crash(3_600_000, exit).len(), 1);
    }
    assert_eq!(script.crash(3_600_000, kill()).len(), 2);
}

#[test]
fn agent_that_has_not_run_is_not_blamed_on_the_token() {
    for (exit, counts) in [
        // A file that cannot run does not change: one line a minute.
        (Exit::NotRun(ExecError::NotExecutable), 2..=2),
        (Exit::NotStarted("no memory".to_owned()), 5..=9),
    ] {
        let mut script = Script::running(Drain::Keep);
        let mut log: Vec<String> = Vec::new();
        for _ in 0..9 {
            log.extend(script.crash(1, ended(exit.clone())));
        }
        assert!(counts.contains(&log.len()), "{log:?}");
        let exit = format!("Warning AgentExited {{ exit: {exit:?}").replace('"', "");
        assert!(log.iter().all(|line| line.starts_with(&exit)), "{log:?}");
    }
}

#[test]
fn app_that_stops_listening_is_logged_after_two_probes() {
    let keeps = "Info AppStoppedListening { stops_agent: false }";
    let stops = "Info AppStoppedListening { stops_agent: true }";
    for (drain, expected) in [
        (Drain::Keep, &[keeps][..]),
        (Drain::Stop, &[stops, "terminate"]),
    ] {
        let mut script = Script::running(drain);
        for event in [NOT_LISTENING, LISTENS, NOT_LISTENING] {
            assert_eq!(script.after(1_000).handle(event), NOTHING);
        }
        assert_eq!(script.after(1_000).handle(NOT_LISTENING), expected);
    }
}

#[test]
fn draining_is_no_quick_exit() {
    let mut script = Script::running(Drain::Stop);
    for _ in 0..6 {
        script.after(1000).handle(NOT_LISTENING);
        script.after(1000).handle(NOT_LISTENING);
        script.after(1).handle(exited(0));
        script.after(20).handle(LISTENS);
    }
    assert_eq!(script.crash(10, exited(1)), [FIRST_EXIT]);
}

#[test]
fn status_has_age_restarts_and_last_exit() {
    let mut script = Script::keep();
    let assert_status = |script: &Script, expected: (u64, u32, Option<&str>, Option<u64>)| {
        let status = script.machine.status(Duration::from_millis(script.now));
        let last_exit = status.last_exit.as_deref();
        let found = (
            status.for_seconds,
            status.restarts,
            last_exit,
            status.next_try_seconds,
        );
        assert_eq!(found, expected);
    };
    script.after(3_000).handle(NOT_LISTENING);
    assert_status(&script, (3, 0, None, None));
    script.handle(LISTENS);
    script.after(5_000).handle(LISTENS);
    assert_status(&script, (5, 0, None, None));
    for _ in 0..4 {
        script.crash(10, exited(1));
    }
    script.handle(exited(2));
    script.after(1_000);
    assert_status(&script, (1, 4, Some("exited with status 2"), Some(3)));
    script.after(3_000).handle(LISTENS);
    assert_status(&script, (0, 5, Some("exited with status 2"), None));
}

#[test]
fn agent_that_does_not_get_sigterm_has_a_second_for_its_last_responses() {
    let kill = ["Debug KillingAgent", "kill"];
    for (event, milliseconds) in [
        (Event::AppExited, 1_000),
        (Event::MemoryExceeded { used: 1 }, 1_000),
        // A client asks while there may be requests that take longer.
        (Event::DrainRequested, 2_000),
    ] {
        let mut script = Script::outliving();
        assert_eq!(script.handle(event.clone())[1], "terminate");
        script.after(milliseconds - 1);
        assert_eq!(script.handle(Event::TimerExpired), NOTHING, "{event:?}");
        script.after(1);
        assert_eq!(script.handle(Event::TimerExpired), kill, "{event:?}");
    }
}

#[test]
fn agent_that_is_replaced_gets_no_longer_than_the_default_timeout() {
    let mut script = Script::running(Drain::Keep);
    script.machine.options.stop_timeout = Duration::from_mins(10);
    script.handle(Event::MemoryExceeded { used: 1 });
    assert_eq!(script.wake(), (None, Some(5_000)));
}

#[test]
fn replaced_agent_is_neither_explained_nor_taken_for_recovered_before_it_is_healthy() {
    let mut script = Script::checking();
    let start = |script: &mut Script| {
        script.handle(LISTENS);
        assert_eq!(script.handle(READY), ["start V4"]);
    };
    start(&mut script);
    for exits in 1..=7 {
        script
            .after(1_000)
            .handle(Event::MemoryExceeded { used: 1 });
        let log = script.handle(exited(0));
        assert!(
            !log.iter().any(|line| line.contains("CrashLoop")),
            "{exits}"
        );
        let delay = script.wake().0.unwrap();
        script.after(delay);
        start(&mut script);
    }
    let check = |script: &mut Script, event: Event, milliseconds: u64| {
        assert_eq!(script.wake().1, Some(milliseconds));
        script.after(milliseconds);
        assert_eq!(script.handle(Event::TimerExpired), ["check health"]);
        script.handle(event)
    };
    assert_eq!(check(&mut script, UNHEALTHY, 30_000), NOTHING);
    assert_eq!(
        check(&mut script, HEALTHY, 10_000),
        ["Info AgentRecovered { ran_for: 40s, exits: 7 }"]
    );
    assert_eq!(check(&mut script, HEALTHY, 10_000), NOTHING, "once");
    // An agent that lost its tunnel is started again at once, however often that happens.
    for _ in 0..7 {
        for _ in 0..3 {
            script.handle(LISTENS);
            let at = script.wake().1.unwrap();
            check(&mut script, UNHEALTHY, at);
        }
        script.handle(exited(0));
        assert_eq!(script.wake().0, Some(250));
        script.after(250);
        start(&mut script);
    }
}

#[test]
fn slow_app_is_not_checked_more_than_half_of_its_time() {
    for (took, pause) in [(1, 250), (2_000, 2_000)] {
        let mut script = Script::checking();
        script.handle(LISTENS);
        script.after(took).handle(NOT_READY);
        assert_eq!(script.wake().0, Some(pause), "{took}");
    }
}

#[test]
fn supervisor_gets_out_of_the_way_of_an_app_that_waits_for_it() {
    let line = "Info AppWaitsForSupervisor";
    let check_at = |script: &Script| script.machine.wake().check;
    let milliseconds = |number| Some(Duration::from_millis(number));

    // An app that has just begun to listen may be stopped soon.
    let mut script = Script::running(Drain::Keep);
    assert_eq!(check_at(&script), milliseconds(0));
    script.handle(Event::AppChecked(Activity::Other));
    assert_eq!(check_at(&script), milliseconds(100));
    script.after(950).handle(Event::AppChecked(Activity::Other));
    assert_eq!(check_at(&script), milliseconds(1_050));
    // Together with a probe that comes soon.
    script.after(50).handle(LISTENS);
    assert_eq!(check_at(&script), milliseconds(2_000));
    let mut script = Script::running(Drain::Keep);
    script
        .after(1_000)
        .handle(Event::AppChecked(Activity::Other));
    assert_eq!(check_at(&script), milliseconds(2_000));
    // More often while it seems so.
    assert_eq!(script.after(1_000).handle(APP_WAITS), NOTHING);
    assert_eq!(check_at(&script), milliseconds(2_100));
    assert_eq!(script.after(400).handle(APP_WAITS), NOTHING);
    assert_eq!(script.after(100).handle(APP_WAITS), [line, "terminate"]);
    assert_eq!(check_at(&script), None);
    assert_eq!(script.wake(), (None, Some(250)));
}
