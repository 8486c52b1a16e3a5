//! Whether the app listens and is ready: transitions that start the agent, or wait for the app.

use std::mem;

use super::{Action, Notice, StartWhen, State, StateMachine};
use crate::interface::Drain;
use crate::limits::{self, Moment};
use crate::log::Level;
use crate::upstream::Loopback;

impl StateMachine {
    pub(super) fn app_listens(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
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

    pub(super) fn start_if_ready(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
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

    pub(super) fn ready_checked(
        &mut self,
        loopback: Loopback,
        is_ready: bool,
        now: Moment,
    ) -> Vec<Action> {
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
    pub(super) fn log_if_late(&mut self, notice: Notice, now: Moment) -> Vec<Action> {
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

    pub(super) fn app_not_listening(&mut self, now: Moment) -> Vec<Action> {
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

    pub(super) fn app_stopped_listening(&mut self) -> Vec<Action> {
        let stops_agent = self.options.drain == Drain::Stop;
        let line = Action::Log(Level::Info, Notice::AppStoppedListening { stops_agent });
        if stops_agent {
            self.state = State::Draining { kill_at: None };
            vec![line, Action::Terminate]
        } else {
            vec![line]
        }
    }

    pub(super) fn wait(&mut self, next_probe: Moment) -> Vec<Action> {
        self.state = State::WAITING;
        self.next_probe = next_probe;
        vec![Action::Log(Level::Debug, Notice::WaitingForApp)]
    }
}
