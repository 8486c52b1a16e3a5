//! The supervisor's decisions: a state machine without any I/O. The event loop passes events to it,
//! and does the actions that it returns.

mod agent;
mod app;
mod backoff;
mod events;
mod health;
mod restart;
mod standing_by;
mod stop;

pub(crate) use backoff::Jitter;
pub(crate) use events::{Action, AgentState, AgentStatus, Event, Notice, Wake};
pub(crate) use health::Health;

use std::mem;
use std::time::Duration;

use self::health::HealthChecks;
use self::restart::Failures;
use crate::deadlock::Deadlock;
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
    /// The agent was asked to exit because it is not healthy or takes too much memory.
    Replacing {
        /// `None` once it was killed.
        kill_at: Option<Moment>,
    },
    /// The agent was asked to exit because the app no longer listens, or a client asked for it.
    Draining {
        /// When the processes that it has started are killed if they outlive it, or the agent too if
        /// SIGTERM does not end it.
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

    /// A line for users who expect an agent.
    fn log_if_expected(&self, notice: Notice) -> Action {
        let level = if self.options.is_expected {
            Level::Info
        } else {
            Level::Debug
        };
        Action::Log(level, notice)
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
            State::Replacing { kill_at } | State::Draining { kill_at }
                if kill_at.is_some_and(|at| now >= at) =>
            {
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
