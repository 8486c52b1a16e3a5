//! The health of an agent that is asked for it.

use crate::limits::{self, Moment};

/// The health of an agent, for users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Health {
    /// It has not been checked since the start of the agent.
    Unknown,
    Healthy,
    Failing,
}

/// The checks of one agent, from its start on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HealthChecks {
    /// `None` while a check is on its way.
    pub(crate) next: Option<Moment>,
    pub(crate) health: Health,
    /// The checks in a row that failed.
    failures: u32,
}

impl HealthChecks {
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            next: Some(now + limits::FIRST_HEALTH_CHECK),
            health: Health::Unknown,
            failures: 0,
        }
    }

    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.next.is_some_and(|at| now >= at)
    }

    /// A check is on its way.
    pub(crate) fn begin(&mut self) {
        self.next = None;
    }

    /// The check that is due is put off, because the app does not listen.
    pub(crate) fn put_off(&mut self, now: Moment) {
        self.next = Some(now + limits::RUNNING_PROBE_INTERVAL);
    }

    /// Takes in the result of the check that was on its way. Returns whether the agent has to be
    /// replaced.
    pub(crate) fn checked(&mut self, is_healthy: bool, now: Moment) -> bool {
        if self.next.is_some() {
            return false;
        }
        self.next = Some(now + limits::HEALTH_INTERVAL);
        if is_healthy {
            self.health = Health::Healthy;
            self.failures = 0;
        } else {
            self.health = Health::Failing;
            self.failures += 1;
        }
        self.failures >= limits::HEALTH_THRESHOLD
    }
}
