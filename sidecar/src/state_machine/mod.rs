//! The supervisor's decisions: a state machine without any I/O. The event loop passes what happens,
//! and does what it answers.

mod backoff;
mod events;
mod restart;

pub(crate) use backoff::Jitter;
pub(crate) use events::{Action, AgentState, Event, Notice, Wake};

use std::mem;

use self::restart::Failures;
use crate::deadlock::{Activity, Deadlock};
use crate::definition::Drain;
use crate::exit::Exit;
use crate::limits::{Limits, Moment};
use crate::log::Level;
use crate::upstream::Loopback;

#[derive(Clone, Debug, Eq, PartialEq)]
enum State {
    /// Another supervisor holds the lock.
    StandingBy {
        try_at: Moment,
        /// It has let others have the lock.
        has_yielded: bool,
    },
    /// The app does not listen yet, or no longer; there is no agent.
    Waiting {
        /// The log says at the level of details that it takes longer than most boots do.
        is_slow: bool,
        /// The log says that it takes longer than any boot does.
        is_late: bool,
        /// That another process listens is no reason any more to let others have the lock: they had
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
        /// Until when the processes that it has started may go on after it.
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

/// Why the agent that runs, if any, is the last one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LastAgent {
    ShutdownRequested,
    DrainRequested,
}

/// The state machine of a supervisor.
#[derive(Debug)]
pub(crate) struct StateMachine {
    limits: Limits,
    wait_for_app: bool,
    drain: Drain,
    /// Whether the user most likely expects an agent for this process.
    is_expected: bool,

    state: State,
    next_probe: Moment,
    deadlock: Deadlock,
    next_check: Moment,
    /// Why no agent is started any more.
    last_agent: Option<LastAgent>,
    failures: Failures,
    /// When the present state was entered.
    since: Moment,
    /// How often the agent was started.
    starts: u32,
    last_exit: Option<Exit>,
}

impl StateMachine {
    pub(crate) fn new(limits: Limits, wait_for_app: bool, drain: Drain, is_expected: bool) -> Self {
        Self {
            next_check: limits.app_check_interval,
            limits,
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
            last_agent: None,
            failures: Failures::default(),
            since: Moment::ZERO,
            starts: 0,
            last_exit: None,
        }
    }

    /// The same for a supervisor that does not have the lock.
    pub(crate) fn standing_by(mut self) -> Self {
        self.state = State::StandingBy {
            try_at: self.limits.min_lock_interval,
            has_yielded: false,
        };
        self
    }

    /// What there is to log before anything happens.
    pub(crate) fn first_notice(&self) -> Option<Notice> {
        matches!(self.state, State::Waiting { .. }).then_some(Notice::WaitingForApp)
    }

    /// Whether it matters whose the listener is.
    pub(crate) fn may_yield(&self) -> bool {
        matches!(self.state, State::Waiting { insists: false, .. })
    }

    /// When to wake.
    pub(crate) fn wake(&self) -> Wake {
        let probe = |at: Moment| Wake {
            probe: self.wait_for_app.then_some(at),
            ..Wake::default()
        };
        let timer = |at: Moment| Wake {
            timer: Some(at),
            ..Wake::default()
        };
        let wake = match self.state {
            State::Waiting { .. } => probe(self.next_probe),
            State::Running { recovered_at, .. } => Wake {
                timer: recovered_at,
                ..probe(self.next_probe)
            },
            State::StandingBy { try_at, .. } => timer(try_at),
            State::Draining { kill_at } => kill_at.map_or_else(Wake::default, timer),
            State::Restarting { at } if self.wait_for_app => probe(at),
            State::Restarting { at } => timer(at),
            State::Stopping { kill_at } => timer(kill_at),
            State::Killed { give_up_at } => timer(give_up_at),
            State::Ended | State::Finished => Wake::default(),
        };
        let is_ending = matches!(
            self.state,
            State::Stopping { .. } | State::Killed { .. } | State::Finished
        );
        // Who asked for a drain waits for that, and has a limit of time of its own.
        let is_ending = is_ending
            || (self.last_agent == Some(LastAgent::DrainRequested)
                && matches!(self.state, State::Draining { .. }));
        // One that is in no hurry waits for a probe or a timer that comes soon, so that both cost
        // one wakeup.
        let latest_check = self.next_check + self.limits.app_check_interval;
        let check_at = match wake.probe.or(wake.timer) {
            Some(at) if at <= latest_check && !self.deadlock.is_suspected() => {
                at.max(self.next_check)
            }
            _ => self.next_check,
        };
        Wake {
            check: (!is_ending).then_some(check_at),
            ..wake
        }
    }

    /// The state of the agent, for users.
    pub(crate) fn state(&self) -> AgentState {
        match self.state {
            // No client can ask a supervisor without the lock.
            State::StandingBy { .. } | State::Waiting { .. } => AgentState::Waiting,
            State::Running { .. } => AgentState::Running,
            State::Draining { .. } => AgentState::Draining,
            State::Restarting { .. } => AgentState::Restarting,
            State::Ended => AgentState::Ended,
            State::Stopping { .. } | State::Killed { .. } | State::Finished => AgentState::Stopping,
        }
    }

    /// When the present state was entered.
    pub(crate) fn since(&self) -> Moment {
        self.since
    }

    /// When the agent is started again, if that is known.
    pub(crate) fn restarts_at(&self) -> Option<Moment> {
        match self.state {
            State::Restarting { at } => Some(at),
            _ => None,
        }
    }

    /// How often the agent was started again.
    pub(crate) fn restarts(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    /// Whether no agent runs and none will be started.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended | State::Finished)
    }

    pub(crate) fn last_exit(&self) -> Option<&Exit> {
        self.last_exit.as_ref()
    }

    /// Takes an event and returns what to do about it, in this order.
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
            Event::DrainRequested => self.drain_requested(),
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
            try_at: now + self.limits.yield_for,
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
            let interval =
                waited.clamp(self.limits.min_lock_interval, self.limits.max_lock_interval);
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
        self.next_probe = now + self.limits.running_probe_interval;
        match &mut self.state {
            State::Waiting { .. } => self.start(loopback, now),
            State::Restarting { at } if now >= *at => self.start(loopback, now),
            State::Running { failed_probes, .. } => {
                let was_away = *failed_probes >= self.limits.failure_threshold;
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
        self.next_probe = now + self.limits.running_probe_interval;
        match &mut self.state {
            State::Waiting {
                is_slow,
                is_late,
                insists,
            } => {
                *insists = false;
                let waited = now.saturating_sub(self.since);
                if waited < self.limits.boot {
                    self.next_probe = now + self.limits.boot_probe_interval;
                    return Vec::new();
                }
                self.next_probe = now + self.limits.waiting_probe_interval;
                if self.is_expected && waited >= self.limits.late && !mem::replace(is_late, true) {
                    vec![Action::Log(Level::Warning, Notice::AppIsLate)]
                } else if !mem::replace(is_slow, true) {
                    vec![Action::Log(Level::Debug, Notice::AppIsLate)]
                } else {
                    Vec::new()
                }
            }
            State::Restarting { at } if now >= *at => {
                self.wait(now + self.limits.boot_probe_interval)
            }
            State::Running { failed_probes, .. } => {
                *failed_probes = failed_probes.saturating_add(1);
                if *failed_probes == self.limits.failure_threshold {
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
        let is_after_crash_loop = self.failures.crash_loop(&self.limits).is_some();
        self.state = State::Running {
            failed_probes: 0,
            recovered_at: is_after_crash_loop.then_some(now + self.limits.recovered_after),
        };
        self.starts = self.starts.saturating_add(1);
        self.next_probe = now + self.limits.running_probe_interval;
        vec![Action::Start(loopback)]
    }

    fn wait(&mut self, next_probe: Moment) -> Vec<Action> {
        self.state = State::WAITING;
        self.next_probe = next_probe;
        vec![Action::Log(Level::Debug, Notice::WaitingForApp)]
    }

    fn agent_started(&self, loopback: Loopback) -> Vec<Action> {
        // An agent in a crash loop has its own lines, which are limited.
        let level = match self.failures.crash_loop(&self.limits) {
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
                // They have been asked to end, and have the time for it that the agent had.
                State::Draining { kill_at } => {
                    let kill_at = *kill_at.get_or_insert(now + self.limits.stop_timeout);
                    if now < kill_at {
                        return Vec::new();
                    }
                }
                State::Stopping { .. } => return Vec::new(),
                // The children of those that were killed have lost their parents by now.
                State::Killed { .. } => return vec![Action::Kill],
                // No other agent starts, so they may stay until the app has exited.
                State::Running { .. } if self.last_agent.is_some() => return Vec::new(),
                _ => {}
            }
        }
        // What the agent leaves behind is killed before it is reaped: afterwards the group's number
        // may be another's.
        let mut actions = vec![Action::Kill, Action::Reap];
        match self.state {
            State::Stopping { .. } | State::Killed { .. } => {
                self.state = State::Finished;
                let delay = None;
                let notice = Notice::AgentExited { exit, delay };
                actions.push(Action::Log(Level::Debug, notice));
                actions.push(Action::Finish);
            }
            State::Draining { .. } => actions.extend(self.agent_drained(exit, now)),
            State::Running { failed_probes, .. } => {
                let app_listens = failed_probes < self.limits.failure_threshold;
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
        let delay = None;
        vec![Action::Log(
            Level::Info,
            Notice::AgentExited { exit, delay },
        )]
    }

    fn agent_drained(&mut self, exit: Exit, now: Moment) -> Vec<Action> {
        if self.last_agent.is_some() {
            return self.end(exit);
        }
        let mut actions = vec![Action::Log(Level::Info, Notice::AgentDrained { exit })];
        // The app may have been listening again for long.
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
        if self.last_agent.is_some() {
            return self.end(exit);
        }
        let ran_for = now.saturating_sub(self.since);
        let failure = self
            .failures
            .record(&exit, ran_for, now, &self.limits, jitter);
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
        if self.last_agent.is_some() {
            return Vec::new();
        }
        self.last_agent = Some(LastAgent::ShutdownRequested);
        if matches!(
            self.state,
            State::StandingBy { .. } | State::Waiting { .. } | State::Restarting { .. }
        ) {
            self.state = State::Ended;
        }
        vec![Action::Log(Level::Debug, Notice::ShutdownRequested)]
    }

    fn drain_requested(&mut self) -> Vec<Action> {
        if self.last_agent.replace(LastAgent::DrainRequested) == Some(LastAgent::DrainRequested) {
            return Vec::new();
        }
        let log = |agent_runs| Action::Log(Level::Info, Notice::DrainRequested { agent_runs });
        match self.state {
            State::Running { .. } => {
                self.state = State::Draining { kill_at: None };
                vec![log(true), Action::Terminate]
            }
            State::Draining { .. } => vec![log(true)],
            State::StandingBy { .. } | State::Waiting { .. } | State::Restarting { .. } => {
                self.state = State::Ended;
                vec![log(false)]
            }
            State::Ended | State::Stopping { .. } | State::Killed { .. } | State::Finished => {
                Vec::new()
            }
        }
    }

    fn app_exited(&mut self, now: Moment) -> Vec<Action> {
        match self.state {
            State::Running { .. } | State::Draining { .. } => {
                self.state = State::Stopping {
                    kill_at: now + self.limits.stop_timeout,
                };
                let agent_runs = true;
                let notice = Notice::AppExited { agent_runs };
                vec![Action::Log(Level::Info, notice), Action::Terminate]
            }
            State::StandingBy { .. }
            | State::Waiting { .. }
            | State::Restarting { .. }
            | State::Ended => {
                self.state = State::Finished;
                let agent_runs = false;
                let notice = Notice::AppExited { agent_runs };
                vec![Action::Log(Level::Debug, notice), Action::Finish]
            }
            State::Stopping { .. } | State::Killed { .. } | State::Finished => Vec::new(),
        }
    }

    fn app_checked(&mut self, activity: Activity, now: Moment) -> Vec<Action> {
        let waits = self.deadlock.observe(activity, now, &self.limits);
        if !waits {
            self.next_check = now
                + if self.deadlock.is_suspected() {
                    self.limits.suspect_check_interval
                } else {
                    self.limits.app_check_interval
                };
            return Vec::new();
        }
        let line = Action::Log(Level::Info, Notice::AppWaitsForSupervisor);
        match self.state {
            State::Running { .. } | State::Draining { .. } => {
                self.state = State::Stopping {
                    kill_at: now + self.limits.waiting_app_stop_timeout,
                };
                vec![line, Action::Terminate]
            }
            State::StandingBy { .. }
            | State::Waiting { .. }
            | State::Restarting { .. }
            | State::Ended => {
                self.state = State::Finished;
                vec![line, Action::Finish]
            }
            State::Stopping { .. } | State::Killed { .. } | State::Finished => Vec::new(),
        }
    }

    fn timer_expired(&mut self, now: Moment) -> Vec<Action> {
        match &mut self.state {
            State::Running { recovered_at, .. } if recovered_at.is_some_and(|at| now >= at) => {
                *recovered_at = None;
                let ran_for = now.saturating_sub(self.since);
                let exits = self.failures.crash_loop(&self.limits);
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
                    give_up_at: now + self.limits.kill_timeout,
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
