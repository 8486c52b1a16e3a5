//! The life of the agent: transitions at its start, its checks, its exit and its replacement.

use std::time::Duration;

use super::health::HealthChecks;
use super::restart::Failures;
use super::{Action, Jitter, Notice, State, StateMachine};
use crate::exit::Exit;
use crate::limits::{self, Moment};
use crate::log::Level;
use crate::upstream::Loopback;

impl StateMachine {
    pub(super) fn health_checked(&mut self, is_healthy: bool, now: Moment) -> Vec<Action> {
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
    pub(super) fn stop_timeout(&self) -> Duration {
        if self.options.outlives_sigterm {
            limits::LINGER
        } else {
            self.options.stop_timeout
        }
    }

    pub(super) fn replace(&mut self, notice: Notice, now: Moment) -> Vec<Action> {
        // A longer timeout is for requests in flight. This agent has lost them, or harms the app.
        let timeout = self.stop_timeout().min(limits::STOP_TIMEOUT);
        self.state = State::Replacing {
            kill_at: Some(now + timeout),
        };
        vec![Action::Log(Level::Warning, notice), Action::Terminate]
    }

    pub(super) fn start(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
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

    pub(super) fn agent_started(&self, loopback: Loopback) -> Vec<Action> {
        // An agent in a crash loop has its own lines, which are limited.
        let level = match self.failures.crash_loop() {
            Some(_) => Level::Debug,
            None => Level::Info,
        };
        vec![Action::Log(level, Notice::AgentStarted(loopback))]
    }

    pub(super) fn agent_exited(
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
    pub(super) fn end(&mut self, exit: Exit) -> Vec<Action> {
        self.state = State::Ended;
        let notice = Notice::AgentExited { exit, delay: None };
        vec![Action::Log(Level::Info, notice)]
    }

    pub(super) fn agent_drained(&mut self, exit: Exit, now: Moment) -> Vec<Action> {
        if self.last_agent.is_some() {
            return self.end(exit);
        }
        let mut actions = vec![Action::Log(Level::Info, Notice::AgentDrained { exit })];
        // The app may have been listening again for a while.
        actions.extend(self.wait(now));
        actions
    }

    pub(super) fn agent_failed(
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

    /// The agent works again. That is logged once after a crash loop.
    pub(super) fn recovered(&mut self, now: Moment) -> Vec<Action> {
        let ran_for = now.saturating_sub(self.since);
        let exits = self.failures.recovered();
        exits
            .map(|exits| Action::Log(Level::Info, Notice::AgentRecovered { ran_for, exits }))
            .into_iter()
            .collect()
    }
}
