//! The end: transitions when somebody asks for it, and when the app has exited or waits for it.

use std::iter;
use std::time::Duration;

use super::{Action, LastAgent, Notice, State, StateMachine};
use crate::deadlock::Activity;
use crate::limits::{self, Moment};
use crate::log::Level;

impl StateMachine {
    pub(super) fn shutdown_requested(&mut self) -> Vec<Action> {
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

    pub(super) fn drain_requested(&mut self, now: Moment) -> Vec<Action> {
        if self.last_agent.replace(LastAgent::DrainRequested) == Some(LastAgent::DrainRequested) {
            return Vec::new();
        }
        let log = |agent_runs| Action::Log(Level::Info, Notice::DrainRequested { agent_runs });
        match self.state {
            State::Running { .. } => {
                let is_deaf = self.options.outlives_sigterm;
                self.state = State::Draining {
                    kill_at: is_deaf.then(|| now + self.options.stop_timeout),
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

    pub(super) fn app_exited(&mut self, now: Moment) -> Vec<Action> {
        self.stop(self.stop_timeout(), now, |agent_runs| {
            let level = if agent_runs {
                Level::Info
            } else {
                Level::Debug
            };
            Action::Log(level, Notice::AppExited { agent_runs })
        })
    }

    pub(super) fn app_checked(&mut self, activity: Activity, now: Moment) -> Vec<Action> {
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
    pub(super) fn checks_are_urgent(&self, now: Moment) -> bool {
        let is_young = self.starts > 0 && now < self.started_at + limits::APP_CHECK_INTERVAL;
        is_young || self.deadlock.is_suspected()
    }

    /// Asks the agent to exit, or finishes if there is none; `log` is called with whether there is
    /// one.
    pub(super) fn stop(
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
}
