//! The supervisor's decisions: a state machine without any I/O. The event loop passes events to it,
//! and does the actions that it returns.

mod backoff;
mod events;
mod health;
mod restart;

pub(crate) use backoff::Jitter;
pub(crate) use events::{Action, AgentState, AgentStatus, Event, Notice, Wake};
pub(crate) use health::Health;

use std::time::Duration;
use std::{iter, mem};

use self::health::HealthChecks;
use self::restart::Failures;
use crate::deadlock::{Activity, Deadlock};
use crate::exit::Exit;
use crate::interface::Drain;
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
        /// Since when a check whether the app is ready is on its way.
        checking_since: Option<Moment>,
    },
    /// There is an agent.
    Running {
        /// The probes in a row that found no listener.
        failed_probes: u32,
        /// When an agent that came after a crash loop counts as recovered, if it is not asked for
        /// its health.
        recovered_at: Option<Moment>,
        health: Option<HealthChecks>,
    },
    /// The agent was asked to exit because it is not healthy or takes too much memory, or because
    /// a client asked for it and SIGTERM does not end it.
    Replacing {
        /// `None` once it was killed.
        kill_at: Option<Moment>,
    },
    /// The agent was asked to exit because the app no longer listens, or a client asked for it.
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
        checking_since: None,
    };
}

/// When the agent starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StartWhen {
    Now,
    AppListens,
    /// It listens, and answers a request with success.
    AppIsReady,
}

/// The settings of a state machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) start: StartWhen,
    /// Whether the agent is asked for its health.
    pub(crate) checks_health: bool,
    pub(crate) drain: Drain,
    /// How long the agent may take to exit after SIGTERM.
    pub(crate) stop_timeout: Duration,
    /// Whether SIGTERM does not end the agent, so that it is not waited for.
    pub(crate) outlives_sigterm: bool,
    /// Whether the user most likely expects an agent for this process.
    pub(crate) is_expected: bool,
}

/// Why no agent is started any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LastAgent {
    ShutdownRequested,
    DrainRequested,
}

/// The state machine of a supervisor.
#[derive(Debug)]
pub(crate) struct StateMachine {
    options: Options,
    state: State,
    next_probe: Moment,
    deadlock: Deadlock,
    next_check: Moment,
    last_agent: Option<LastAgent>,
    failures: Failures,
    /// When the present state was entered.
    since: Moment,
    /// How often the agent was started, and when for the last time.
    starts: u32,
    started_at: Moment,
    last_exit: Option<Exit>,
}

impl StateMachine {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            next_check: limits::APP_CHECK_INTERVAL,
            state: match options.start {
                StartWhen::Now => State::Restarting { at: Moment::ZERO },
                StartWhen::AppListens | StartWhen::AppIsReady => State::WAITING,
            },
            options,
            next_probe: Moment::ZERO,
            deadlock: Deadlock::default(),
            last_agent: None,
            failures: Failures::default(),
            since: Moment::ZERO,
            starts: 0,
            started_at: Moment::ZERO,
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

    fn waits_for_app(&self) -> bool {
        self.options.start != StartWhen::Now
    }

    /// Whether no agent runs and none will be started.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended | State::Finished)
    }

    /// When to wake.
    pub(crate) fn wake(&self) -> Wake {
        let (probe, timer) = match self.state {
            State::Waiting { checking_since, .. } => {
                let is_free = checking_since.is_none();
                (is_free.then_some(self.next_probe), None)
            }
            State::Running {
                recovered_at,
                ref health,
                ..
            } => {
                let check_at = health.as_ref().and_then(|health| health.next);
                let timer = [recovered_at, check_at].into_iter().flatten().min();
                (Some(self.next_probe), timer)
            }
            State::StandingBy { try_at, .. } => (None, Some(try_at)),
            State::Replacing { kill_at } | State::Draining { kill_at } => (None, kill_at),
            State::Restarting { at } if self.waits_for_app() => (Some(at), None),
            State::Restarting { at } => (None, Some(at)),
            State::Stopping { kill_at } => (None, Some(kill_at)),
            State::Killed { give_up_at } => (None, Some(give_up_at)),
            State::Ended | State::Finished => (None, None),
        };
        let probe = probe.filter(|_| self.waits_for_app());
        let is_ending = match self.state {
            State::Stopping { .. } | State::Killed { .. } | State::Finished => true,
            // Who asked for a drain waits for that, and has a limit of time of its own.
            State::Draining { .. } => self.last_agent == Some(LastAgent::DrainRequested),
            _ => false,
        };
        // Unless it is urgent, it waits for a probe or a timer that comes soon, so that both cost one
        // wakeup.
        let latest_check = self.next_check + limits::APP_CHECK_INTERVAL;
        let check_at = match probe.or(timer) {
            Some(at) if at <= latest_check && !self.checks_are_urgent(self.next_check) => {
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
                State::Replacing { .. } if self.last_agent.is_some() => AgentState::Draining,
                State::Replacing { .. } | State::Restarting { .. } => AgentState::Restarting,
                State::Ended => AgentState::Ended,
                State::Stopping { .. } | State::Killed { .. } | State::Finished => {
                    AgentState::Stopping
                }
            },
            for_seconds: now.saturating_sub(self.since).as_secs(),
            restarts: self.starts.saturating_sub(1),
            last_exit: self.last_exit.as_ref().map(Exit::to_string),
            health: match &self.state {
                State::Running { health, .. } => health.as_ref().map(|health| health.health),
                State::Replacing { .. } => self.options.checks_health.then_some(Health::Failing),
                _ => self.options.checks_health.then_some(Health::Unknown),
            },
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
            Event::ReadyChecked { loopback, is_ready } => {
                self.ready_checked(loopback, is_ready, now)
            }
            Event::HealthChecked { is_healthy } => self.health_checked(is_healthy, now),
            Event::MemoryExceeded { used } => match self.state {
                State::Running { .. } => self.replace(Notice::MemoryExceeded { used }, now),
                _ => Vec::new(),
            },
            Event::ShutdownRequested => self.shutdown_requested(),
            Event::DrainRequested => self.drain_requested(now),
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
        if self.waits_for_app() {
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
        let level = if self.options.is_expected {
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
            State::Waiting { .. } => self.start_if_ready(loopback, now),
            State::Restarting { at } if now >= *at => self.start_if_ready(loopback, now),
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

    fn start_if_ready(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
        if self.options.start != StartWhen::AppIsReady {
            return self.start(loopback, now);
        }
        if !matches!(self.state, State::Waiting { .. }) {
            self.state = State::WAITING;
        }
        if let State::Waiting { checking_since, .. } = &mut self.state {
            *checking_since = Some(now);
        }
        vec![Action::CheckReady(loopback)]
    }

    fn ready_checked(&mut self, loopback: Loopback, is_ready: bool, now: Moment) -> Vec<Action> {
        let State::Waiting { checking_since, .. } = &mut self.state else {
            return Vec::new();
        };
        let Some(since) = checking_since.take() else {
            return Vec::new();
        };
        if is_ready {
            return self.start(loopback, now);
        }
        // Checks take at most half of the time of an app that answers one request after another.
        self.next_probe = now + limits::READY_INTERVAL.max(now.saturating_sub(since));
        self.log_if_late(Notice::AppIsNotReady, now)
    }

    /// A line for a wait that takes longer than a boot does, once for each level.
    fn log_if_late(&mut self, notice: Notice, now: Moment) -> Vec<Action> {
        let waited = now.saturating_sub(self.since);
        let State::Waiting {
            is_slow, is_late, ..
        } = &mut self.state
        else {
            return Vec::new();
        };
        let is_expected = self.options.is_expected;
        if is_expected && waited >= limits::LATE && !mem::replace(is_late, true) {
            vec![Action::Log(Level::Warning, notice)]
        } else if waited >= limits::BOOT && !mem::replace(is_slow, true) {
            vec![Action::Log(Level::Debug, notice)]
        } else {
            Vec::new()
        }
    }

    fn health_checked(&mut self, is_healthy: bool, now: Moment) -> Vec<Action> {
        let State::Running {
            health: Some(health),
            ..
        } = &mut self.state
        else {
            return Vec::new();
        };
        let is_lost = health.checked(is_healthy, now);
        if is_healthy {
            return self.recovered(now);
        }
        if !is_lost {
            return Vec::new();
        }
        // It has run for a while, and an edge that is away is not its fault.
        self.failures = Failures::default();
        let checks = limits::HEALTH_THRESHOLD;
        self.replace(Notice::AgentUnhealthy { checks }, now)
    }

    /// How long the agent may take to exit after SIGTERM, or, if it does not get it, to pass on the
    /// last responses.
    fn stop_timeout(&self) -> Duration {
        if self.options.outlives_sigterm {
            limits::LINGER
        } else {
            self.options.stop_timeout
        }
    }

    fn replace(&mut self, notice: Notice, now: Moment) -> Vec<Action> {
        // A longer timeout is for requests in flight. This agent has lost them, or harms the app.
        let timeout = self.stop_timeout().min(limits::STOP_TIMEOUT);
        self.state = State::Replacing {
            kill_at: Some(now + timeout),
        };
        vec![Action::Log(Level::Warning, notice), Action::Terminate]
    }

    fn app_not_listening(&mut self, now: Moment) -> Vec<Action> {
        self.deadlock.probed(false);
        self.next_probe = now + limits::RUNNING_PROBE_INTERVAL;
        match &mut self.state {
            State::Waiting { insists, .. } => {
                *insists = false;
                self.next_probe = now
                    + if now.saturating_sub(self.since) < limits::BOOT {
                        limits::BOOT_PROBE_INTERVAL
                    } else {
                        limits::WAITING_PROBE_INTERVAL
                    };
                self.log_if_late(Notice::AppIsLate, now)
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
        let stops_agent = self.options.drain == Drain::Stop;
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
            recovered_at: (is_after_crash_loop && !self.options.checks_health)
                .then_some(now + limits::RECOVERED_AFTER),
            health: self.options.checks_health.then(|| HealthChecks::new(now)),
        };
        self.starts = self.starts.saturating_add(1);
        self.started_at = now;
        self.next_check = now;
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
                    let kill_at = *kill_at.get_or_insert(now + self.options.stop_timeout);
                    if now < kill_at {
                        return Vec::new();
                    }
                }
                State::Replacing {
                    kill_at: Some(kill_at),
                } if now < *kill_at => return Vec::new(),
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
                let notice = Notice::AgentExited { exit, delay: None };
                actions.push(Action::Log(Level::Debug, notice));
                actions.push(Action::Finish);
            }
            State::Draining { .. } => actions.extend(self.agent_drained(exit, now)),
            State::Running { failed_probes, .. } => {
                let app_listens = failed_probes < limits::FAILURE_THRESHOLD;
                actions.extend(self.agent_failed(exit, app_listens, jitter, now));
            }
            State::Replacing { .. } => {
                actions.extend(self.agent_failed(exit, true, jitter, now));
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
        if self.last_agent.is_some() {
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
        if self.last_agent.is_some() {
            return self.end(exit);
        }
        // Why it was replaced is logged already.
        let is_replaced = matches!(self.state, State::Replacing { .. });
        let ran_for = now.saturating_sub(self.started_at);
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
            .filter(|_| !is_replaced)
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

    fn drain_requested(&mut self, now: Moment) -> Vec<Action> {
        if self.last_agent.replace(LastAgent::DrainRequested) == Some(LastAgent::DrainRequested) {
            return Vec::new();
        }
        let log = |agent_runs| Action::Log(Level::Info, Notice::DrainRequested { agent_runs });
        match self.state {
            State::Running { .. } => {
                self.state = if self.options.outlives_sigterm {
                    State::Replacing {
                        kill_at: Some(now + self.options.stop_timeout),
                    }
                } else {
                    State::Draining { kill_at: None }
                };
                vec![log(true), Action::Terminate]
            }
            State::Replacing { .. } | State::Draining { .. } => vec![log(true)],
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
        self.stop(self.stop_timeout(), now, |agent_runs| {
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
            + if self.checks_are_urgent(now) {
                limits::SUSPECT_CHECK_INTERVAL
            } else {
                limits::APP_CHECK_INTERVAL
            };
        Vec::new()
    }

    /// Whether the app has other children while it listens is to be known before somebody stops it,
    /// which can be soon.
    fn checks_are_urgent(&self, now: Moment) -> bool {
        let is_young = self.starts > 0 && now < self.started_at + limits::APP_CHECK_INTERVAL;
        is_young || self.deadlock.is_suspected()
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
            State::Running { .. } | State::Replacing { .. } | State::Draining { .. } => {
                // Many programs take a second SIGTERM for the wish that they exit at once.
                let is_asked = !matches!(self.state, State::Running { .. });
                self.state = State::Stopping {
                    kill_at: now + timeout,
                };
                let terminate = (!is_asked).then_some(Action::Terminate);
                iter::once(log(true)).chain(terminate).collect()
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

    /// The agent works again. That is logged once after a crash loop.
    fn recovered(&mut self, now: Moment) -> Vec<Action> {
        let ran_for = now.saturating_sub(self.since);
        let exits = self.failures.recovered();
        exits
            .map(|exits| Action::Log(Level::Info, Notice::AgentRecovered { ran_for, exits }))
            .into_iter()
            .collect()
    }

    fn timer_expired(&mut self, now: Moment) -> Vec<Action> {
        // One that does not get SIGTERM is not at fault.
        let level = if self.options.outlives_sigterm {
            Level::Debug
        } else {
            Level::Warning
        };
        match &mut self.state {
            State::Running { recovered_at, .. } if recovered_at.is_some_and(|at| now >= at) => {
                *recovered_at = None;
                self.recovered(now)
            }
            State::Running {
                failed_probes,
                health: Some(health),
                ..
            } if health.is_due(now) => {
                if *failed_probes > 0 {
                    health.put_off(now);
                    return Vec::new();
                }
                health.begin();
                vec![Action::CheckHealth]
            }
            State::Replacing { kill_at } if kill_at.is_some_and(|at| now >= at) => {
                *kill_at = None;
                vec![Action::Log(level, Notice::KillingAgent), Action::Kill]
            }
            State::StandingBy { try_at, .. } if now >= *try_at => vec![Action::TryLock],
            State::Restarting { at } if now >= *at && self.options.start == StartWhen::Now => {
                self.start(Loopback::default(), now)
            }
            State::Stopping { kill_at } if now >= *kill_at => {
                self.state = State::Killed {
                    give_up_at: now + limits::KILL_TIMEOUT,
                };
                vec![Action::Log(level, Notice::KillingAgent), Action::Kill]
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
