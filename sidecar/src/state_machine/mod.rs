//! The supervisor's decisions: a state machine without any I/O. The event loop passes events to it,
//! and does the actions that it returns.

mod backoff;
mod events;
mod restart;

pub(crate) use backoff::Jitter;
pub(crate) use events::{Action, AgentState, AgentStatus, Event, Notice, Wake};

use std::mem;
use std::time::Duration;

use self::restart::Failures;
use crate::deadlock::{Activity, Deadlock};
use crate::definition::Drain;
use crate::exit::Exit;
use crate::limits::{self, Moment};
use crate::log::Level;
use crate::upstream::Loopback;

#[derive(Clone, Debug, Eq, PartialEq)]
enum State {
    /// Another supervisor holds the lock.
    StandingBy {
        try_at: Moment,
        /// It has released the lock for others.
        has_yielded: bool,
    },
    /// The app does not listen yet, or no longer; there is no agent.
    Waiting {
        /// It was logged at the level of details that this takes longer than most boots do.
        is_slow: bool,
        /// It was logged that this takes longer than any boot does.
        is_late: bool,
        /// That another process listens is no longer a reason to release the lock: others could have
        /// it, and did not keep it.
        insists: bool,
    },
    /// There is an agent.
    Running {
        /// The probes in a row that found no listener.
        failed_probes: u32,
        /// When an agent that came after a crash loop counts as recovered.
        recovered_at: Option<Moment>,
    },
    /// The agent was asked to exit because the app no longer listens.
    Draining {
        /// When the processes that it has started are killed if they outlive it.
        kill_at: Option<Moment>,
    },
    /// The agent has exited and is started again at this moment.
    Restarting {
        at: Moment,
    },
    /// Nothing is started any more; the app has yet to exit.
    Ended,
    /// The app has exited, or waits for the supervisor to exit, and the agent was asked to.
    Stopping {
        kill_at: Moment,
    },
    /// It did not, and was killed.
    Killed {
        give_up_at: Moment,
    },
    Finished,
}

impl State {
    /// The beginning of a wait.
    const WAITING: Self = Self::Waiting {
        is_slow: false,
        is_late: false,
        insists: false,
    };
}

/// The state machine of a supervisor.
#[derive(Debug)]
pub(crate) struct StateMachine {
    wait_for_app: bool,
    drain: Drain,
    /// Whether the user most likely expects an agent for this process.
    is_expected: bool,

    state: State,
    next_probe: Moment,
    deadlock: Deadlock,
    next_check: Moment,
    shutdown_requested: bool,
    failures: Failures,
    /// When the present state was entered.
    since: Moment,
    /// How often the agent was started.
    starts: u32,
    last_exit: Option<Exit>,
}

impl StateMachine {
    pub(crate) fn new(wait_for_app: bool, drain: Drain, is_expected: bool) -> Self {
        Self {
            next_check: limits::APP_CHECK_INTERVAL,
            wait_for_app,
            drain,
            is_expected,
            state: if wait_for_app {
                State::WAITING
            } else {
                State::Restarting { at: Moment::ZERO }
            },
            next_probe: Moment::ZERO,
            deadlock: Deadlock::default(),
            shutdown_requested: false,
            failures: Failures::default(),
            since: Moment::ZERO,
            starts: 0,
            last_exit: None,
        }
    }

    /// The same for a supervisor that does not have the lock.
    pub(crate) fn standing_by(mut self) -> Self {
        self.state = State::StandingBy {
            try_at: limits::MIN_LOCK_INTERVAL,
            has_yielded: false,
        };
        self
    }

    /// The notice to log before the first event.
    pub(crate) fn first_notice(&self) -> Option<Notice> {
        matches!(self.state, State::Waiting { .. }).then_some(Notice::WaitingForApp)
    }

    /// Whether it matters which process listens.
    pub(crate) fn may_yield(&self) -> bool {
        matches!(self.state, State::Waiting { insists: false, .. })
    }

    /// When to wake.
    pub(crate) fn wake(&self) -> Wake {
        let (probe, timer) = match self.state {
            State::Waiting { .. } => (Some(self.next_probe), None),
            State::Running { recovered_at, .. } => (Some(self.next_probe), recovered_at),
            State::StandingBy { try_at, .. } => (None, Some(try_at)),
            State::Draining { kill_at } => (None, kill_at),
            State::Restarting { at } if self.wait_for_app => (Some(at), None),
            State::Restarting { at } => (None, Some(at)),
            State::Stopping { kill_at } => (None, Some(kill_at)),
            State::Killed { give_up_at } => (None, Some(give_up_at)),
            State::Ended | State::Finished => (None, None),
        };
        let probe = probe.filter(|_| self.wait_for_app);
        let is_ending = matches!(
            self.state,
            State::Stopping { .. } | State::Killed { .. } | State::Finished
        );
        // Unless it is urgent, it waits for a probe or a timer that comes soon, so that both cost one
        // wakeup.
        let latest_check = self.next_check + limits::APP_CHECK_INTERVAL;
        let check_at = match probe.or(timer) {
            Some(at) if at <= latest_check && !self.deadlock.is_suspected() => {
                at.max(self.next_check)
            }
            _ => self.next_check,
        };
        Wake {
            probe,
            timer,
            check: (!is_ending).then_some(check_at),
        }
    }

    /// The status of the agent, for users.
    pub(crate) fn status(&self, now: Moment) -> AgentStatus {
        let restarts_at = match self.state {
            State::Restarting { at } => Some(at),
            _ => None,
        };
        AgentStatus {
            state: match self.state {
                // No client can ask a supervisor without the lock.
                State::StandingBy { .. } | State::Waiting { .. } => AgentState::Waiting,
                State::Running { .. } => AgentState::Running,
                State::Draining { .. } => AgentState::Draining,
                State::Restarting { .. } => AgentState::Restarting,
                State::Ended => AgentState::Ended,
                State::Stopping { .. } | State::Killed { .. } | State::Finished => {
                    AgentState::Stopping
                }
            },
            for_seconds: now.saturating_sub(self.since).as_secs(),
            restarts: self.starts.saturating_sub(1),
            last_exit: self.last_exit.as_ref().map(Exit::to_string),
            next_try_seconds: restarts_at.map(|at| at.saturating_sub(now).as_secs()),
        }
    }

    /// Handles an event, and returns the actions to do in this order.
    pub(crate) fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let before = mem::discriminant(&self.state);
        let actions = self.react(event, now);
        if mem::discriminant(&self.state) != before {
            self.since = now;
        }
        actions
    }

    fn react(&mut self, event: Event, now: Moment) -> Vec<Action> {
        match event {
            Event::Probed(Some(loopback)) => self.app_listens(loopback, now),
            Event::Probed(None) => self.app_not_listening(now),
            Event::AnotherListens => self.another_listens(now),
            Event::LockTried { is_taken: true } => self.lock_taken(now),
            Event::LockTried { is_taken: false } => self.lock_is_held(now),
            Event::AgentStarted(loopback) => self.agent_started(loopback),
            Event::AgentExited {
                exit,
                others_live,
                jitter,
            } => self.agent_exited(exit, others_live, jitter, now),
            Event::ShutdownRequested => self.shutdown_requested(),
            Event::AppExited => self.app_exited(now),
            Event::AppChecked(activity) => self.app_checked(activity, now),
            Event::TimerExpired => self.timer_expired(now),
        }
    }

    fn another_listens(&mut self, now: Moment) -> Vec<Action> {
        if !self.may_yield() {
            return Vec::new();
        }
        self.state = State::StandingBy {
            try_at: now + limits::YIELD_FOR,
            has_yielded: true,
        };
        vec![
            self.log_if_expected(Notice::AnotherListens),
            Action::ReleaseLock,
        ]
    }

    fn lock_taken(&mut self, now: Moment) -> Vec<Action> {
        let State::StandingBy { has_yielded, .. } = self.state else {
            return Vec::new();
        };
        let mut actions = vec![self.log_if_expected(Notice::TookOver)];
        if self.wait_for_app {
            actions.extend(self.wait(now));
            if let State::Waiting { insists, .. } = &mut self.state {
                *insists = has_yielded;
            }
        } else {
            self.state = State::Restarting { at: now };
        }
        actions
    }

    fn lock_is_held(&mut self, now: Moment) -> Vec<Action> {
        if matches!(self.state, State::StandingBy { .. }) {
            let waited = now.saturating_sub(self.since);
            let interval = waited.clamp(limits::MIN_LOCK_INTERVAL, limits::MAX_LOCK_INTERVAL);
            self.state = State::StandingBy {
                try_at: now + interval,
                has_yielded: false,
            };
        }
        Vec::new()
    }

    /// A line for users who expect an agent.
    fn log_if_expected(&self, notice: Notice) -> Action {
        let level = if self.is_expected {
            Level::Info
        } else {
            Level::Debug
        };
        Action::Log(level, notice)
    }

    fn app_listens(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
        self.deadlock.probed(true);
        self.next_probe = now + limits::RUNNING_PROBE_INTERVAL;
        match &mut self.state {
            State::Waiting { .. } => self.start(loopback, now),
            State::Restarting { at } if now >= *at => self.start(loopback, now),
            State::Running { failed_probes, .. } => {
                let was_away = *failed_probes >= limits::FAILURE_THRESHOLD;
                *failed_probes = 0;
                if was_away {
                    vec![Action::Log(Level::Info, Notice::AppListensAgain)]
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        }
    }

    fn app_not_listening(&mut self, now: Moment) -> Vec<Action> {
        self.deadlock.probed(false);
        self.next_probe = now + limits::RUNNING_PROBE_INTERVAL;
        match &mut self.state {
            State::Waiting {
                is_slow,
                is_late,
                insists,
            } => {
                *insists = false;
                let waited = now.saturating_sub(self.since);
                if waited < limits::BOOT {
                    self.next_probe = now + limits::BOOT_PROBE_INTERVAL;
                    return Vec::new();
                }
                self.next_probe = now + limits::WAITING_PROBE_INTERVAL;
                if self.is_expected && waited >= limits::LATE && !mem::replace(is_late, true) {
                    vec![Action::Log(Level::Warning, Notice::AppIsLate)]
                } else if !mem::replace(is_slow, true) {
                    vec![Action::Log(Level::Debug, Notice::AppIsLate)]
                } else {
                    Vec::new()
                }
            }
            State::Restarting { at } if now >= *at => self.wait(now + limits::BOOT_PROBE_INTERVAL),
            State::Running { failed_probes, .. } => {
                *failed_probes = failed_probes.saturating_add(1);
                if *failed_probes == limits::FAILURE_THRESHOLD {
                    self.app_stopped_listening()
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        }
    }

    fn app_stopped_listening(&mut self) -> Vec<Action> {
        let stops_agent = self.drain == Drain::Stop;
        let line = Action::Log(Level::Info, Notice::AppStoppedListening { stops_agent });
        if stops_agent {
            self.state = State::Draining { kill_at: None };
            vec![line, Action::Terminate]
        } else {
            vec![line]
        }
    }

    fn start(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
        let is_after_crash_loop = self.failures.crash_loop().is_some();
        self.state = State::Running {
            failed_probes: 0,
            recovered_at: is_after_crash_loop.then_some(now + limits::RECOVERED_AFTER),
        };
        self.starts = self.starts.saturating_add(1);
        self.next_probe = now + limits::RUNNING_PROBE_INTERVAL;
        vec![Action::Start(loopback)]
    }

    fn wait(&mut self, next_probe: Moment) -> Vec<Action> {
        self.state = State::WAITING;
        self.next_probe = next_probe;
        vec![Action::Log(Level::Debug, Notice::WaitingForApp)]
    }

    fn agent_started(&self, loopback: Loopback) -> Vec<Action> {
        // An agent in a crash loop has its own lines, which are limited.
        let level = match self.failures.crash_loop() {
            Some(_) => Level::Debug,
            None => Level::Info,
        };
        vec![Action::Log(level, Notice::AgentStarted(loopback))]
    }

    fn agent_exited(
        &mut self,
        exit: Exit,
        others_live: bool,
        jitter: Jitter,
        now: Moment,
    ) -> Vec<Action> {
        self.last_exit = Some(exit.clone());
        if others_live {
            match &mut self.state {
                // They got SIGTERM, and have as much time to exit as the agent had.
                State::Draining { kill_at } => {
                    let kill_at = *kill_at.get_or_insert(now + limits::STOP_TIMEOUT);
                    if now < kill_at {
                        return Vec::new();
                    }
                }
                State::Stopping { .. } => return Vec::new(),
                // The children of those that were killed have lost their parents by now.
                State::Killed { .. } => return vec![Action::Kill],
                // No other agent starts, so they may stay until the app has exited.
                State::Running { .. } if self.shutdown_requested => return Vec::new(),
                _ => {}
            }
        }
        // What the agent leaves behind is killed before it is reaped: afterwards the group's number
        // may be another's.
        let mut actions = vec![Action::Kill, Action::Reap];
        match self.state {
            State::Stopping { .. } | State::Killed { .. } => {
                self.state = State::Finished;
                let notice = Notice::AgentExited { exit, delay: None };
                actions.push(Action::Log(Level::Debug, notice));
                actions.push(Action::Finish);
            }
            State::Draining { .. } => actions.extend(self.agent_drained(exit, now)),
            State::Running { failed_probes, .. } => {
                let app_listens = failed_probes < limits::FAILURE_THRESHOLD;
                actions.extend(self.agent_failed(exit, app_listens, jitter, now));
            }
            State::StandingBy { .. }
            | State::Waiting { .. }
            | State::Restarting { .. }
            | State::Ended
            | State::Finished => {}
        }
        actions
    }

    /// The agent was the last one.
    fn end(&mut self, exit: Exit) -> Vec<Action> {
        self.state = State::Ended;
        let notice = Notice::AgentExited { exit, delay: None };
        vec![Action::Log(Level::Info, notice)]
    }

    fn agent_drained(&mut self, exit: Exit, now: Moment) -> Vec<Action> {
        if self.shutdown_requested {
            return self.end(exit);
        }
        let mut actions = vec![Action::Log(Level::Info, Notice::AgentDrained { exit })];
        // The app may have been listening again for a while.
        actions.extend(self.wait(now));
        actions
    }

    fn agent_failed(
        &mut self,
        exit: Exit,
        app_listens: bool,
        jitter: Jitter,
        now: Moment,
    ) -> Vec<Action> {
        if self.shutdown_requested {
            return self.end(exit);
        }
        let ran_for = now.saturating_sub(self.since);
        let failure = self.failures.record(&exit, ran_for, now, jitter);
        self.state = State::Restarting {
            at: now + failure.delay,
        };
        let exited = failure.is_logged.then(|| {
            if app_listens {
                let delay = Some(failure.delay);
                Notice::AgentExited { exit, delay }
            } else {
                Notice::AgentDrained { exit }
            }
        });
        let explained = failure
            .explained
            .map(|(exits, cause)| Notice::CrashLoop { exits, cause });
        let notices = exited.into_iter().chain(explained);
        notices
            .map(|notice| Action::Log(Level::Warning, notice))
            .collect()
    }

    fn shutdown_requested(&mut self) -> Vec<Action> {
        if self.shutdown_requested {
            return Vec::new();
        }
        self.shutdown_requested = true;
        if matches!(
            self.state,
            State::StandingBy { .. } | State::Waiting { .. } | State::Restarting { .. }
        ) {
            self.state = State::Ended;
        }
        vec![Action::Log(Level::Debug, Notice::ShutdownRequested)]
    }

    fn app_exited(&mut self, now: Moment) -> Vec<Action> {
        self.stop(limits::STOP_TIMEOUT, now, |agent_runs| {
            let level = if agent_runs {
                Level::Info
            } else {
                Level::Debug
            };
            Action::Log(level, Notice::AppExited { agent_runs })
        })
    }

    fn app_checked(&mut self, activity: Activity, now: Moment) -> Vec<Action> {
        if self.deadlock.observe(activity, now) {
            return self.stop(limits::WAITING_APP_STOP_TIMEOUT, now, |_| {
                Action::Log(Level::Info, Notice::AppWaitsForSupervisor)
            });
        }
        self.next_check = now
            + if self.deadlock.is_suspected() {
                limits::SUSPECT_CHECK_INTERVAL
            } else {
                limits::APP_CHECK_INTERVAL
            };
        Vec::new()
    }

    /// Asks the agent to exit, or finishes if there is none; `log` is called with whether there is
    /// one.
    fn stop(
        &mut self,
        timeout: Duration,
        now: Moment,
        log: impl FnOnce(bool) -> Action,
    ) -> Vec<Action> {
        match self.state {
            State::Running { .. } | State::Draining { .. } => {
                self.state = State::Stopping {
                    kill_at: now + timeout,
                };
                vec![log(true), Action::Terminate]
            }
            State::StandingBy { .. }
            | State::Waiting { .. }
            | State::Restarting { .. }
            | State::Ended => {
                self.state = State::Finished;
                vec![log(false), Action::Finish]
            }
            State::Stopping { .. } | State::Killed { .. } | State::Finished => Vec::new(),
        }
    }

    fn timer_expired(&mut self, now: Moment) -> Vec<Action> {
        match &mut self.state {
            State::Running { recovered_at, .. } if recovered_at.is_some_and(|at| now >= at) => {
                *recovered_at = None;
                let ran_for = now.saturating_sub(self.since);
                let exits = self.failures.crash_loop();
                self.failures.recovered();
                let recovered = |exits| Notice::AgentRecovered { ran_for, exits };
                exits
                    .into_iter()
                    .map(|exits| Action::Log(Level::Info, recovered(exits)))
                    .collect()
            }
            State::StandingBy { try_at, .. } if now >= *try_at => vec![Action::TryLock],
            State::Restarting { at } if now >= *at && !self.wait_for_app => {
                self.start(Loopback::default(), now)
            }
            State::Stopping { kill_at } if now >= *kill_at => {
                self.state = State::Killed {
                    give_up_at: now + limits::KILL_TIMEOUT,
                };
                vec![
                    Action::Log(Level::Warning, Notice::KillingAgent),
                    Action::Kill,
                ]
            }
            State::Killed { give_up_at } if now >= *give_up_at => {
                self.state = State::Finished;
                vec![Action::Reap, Action::Finish]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
