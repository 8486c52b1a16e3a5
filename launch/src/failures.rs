//! The agent's failures in a row: how long to wait after each, and what to say about it.

use crate::backoff::{self, Jitter};
use crate::limits::Limits;
use crate::messages::Exit;
use crate::supervisor::Moment;
use std::time::Duration;

/// Exits in a row of agents that had not run for long.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    quick_exits: u32,
    /// When the user last read of one.
    last_line: Option<Moment>,
}

/// What follows from a failure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How long to wait before the agent is started again.
    pub(crate) pause: Duration,
    /// Whether the user is told of it.
    pub(crate) is_told: bool,
    /// How many exits in a row to explain, if it is time for that.
    pub(crate) explained: Option<u32>,
}

impl Failures {
    /// Takes note of an agent that ended at this moment after having run for this long.
    pub(crate) fn record(
        &mut self,
        exit: &Exit,
        lived: Duration,
        now: Moment,
        limits: &Limits,
        jitter: Jitter,
    ) -> Failure {
        if lived >= limits.healthy {
            *self = Self::default();
        }
        self.quick_exits = self.quick_exits.saturating_add(1);
        // What a file lacks does not come back: the second line would say the same as the first.
        let cannot_run = matches!(exit, Exit::NotRun(_));
        // Only an agent that has run can have been sent away for its token.
        let has_run = !cannot_run && !matches!(exit, Exit::NotStarted(_));
        let is_limited = self.quick_exits > limits.quick_exits || cannot_run;
        let is_fresh = |last: Moment| now.saturating_sub(last) < limits.repeat_line;
        let is_told = !(is_limited && self.last_line.is_some_and(is_fresh));
        if is_told {
            self.last_line = Some(now);
        }
        Failure {
            pause: backoff::pause(limits, self.quick_exits, jitter),
            is_told,
            explained: (self.quick_exits == limits.quick_exits && has_run)
                .then_some(self.quick_exits),
        }
    }

    /// Whether so many have come in a row that the agent's comings and goings are told only now and then.
    pub(crate) fn are_many(&self, limits: &Limits) -> bool {
        self.quick_exits >= limits.quick_exits
    }
}
