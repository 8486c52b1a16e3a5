//! The agent's failures in a row: the delay before the restart after each, and what to log about
//! it.

use std::time::Duration;

use super::backoff::{self, Jitter};
use crate::exit::{Cause, Exit};
use crate::limits::{self, Moment};

/// Exits in a row of agents that had not run for long.
#[derive(Debug, Default)]
pub(super) struct Failures {
    quick_exits: u32,
    /// How many of them were by SIGKILL.
    kills: u32,
    /// How many of them were crashes.
    crashes: u32,
    /// Ends by SIGKILL in a row, after runs of any length: memory may become short slowly.
    kills_in_a_row: u32,
    /// When the last line about one was logged.
    last_line: Option<Moment>,
}

/// The consequence of a failure.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Failure {
    /// How long to wait before the agent is started again.
    pub(super) delay: Duration,
    /// Whether the log has a line about it.
    pub(super) is_logged: bool,
    /// How many exits in a row to explain, and by what, if it is time for that.
    pub(super) explained: Option<(u32, Cause)>,
}

impl Failures {
    /// Records that an agent ended at this moment after it had run for this long.
    pub(super) fn record(
        &mut self,
        exit: &Exit,
        ran_for: Duration,
        now: Moment,
        jitter: Jitter,
    ) -> Failure {
        if ran_for >= limits::BACKOFF_RESET_AFTER {
            *self = Self {
                kills_in_a_row: self.kills_in_a_row,
                ..Self::default()
            };
        }
        self.quick_exits = self.quick_exits.saturating_add(1);
        if exit.is_kill() {
            self.kills = self.kills.saturating_add(1);
            self.kills_in_a_row = self.kills_in_a_row.saturating_add(1);
        } else {
            self.kills_in_a_row = 0;
        }
        if exit.is_crash() {
            self.crashes = self.crashes.saturating_add(1);
        }
        // A file that cannot run does not change: the second line would repeat the first.
        let cannot_run = matches!(exit, Exit::NotRun(_));
        // Only an agent that has run can have been refused.
        let has_run = !cannot_run && !matches!(exit, Exit::NotStarted(_));
        let is_limited = self.quick_exits > limits::CRASH_LOOP_THRESHOLD || cannot_run;
        let is_fresh = |last: Moment| now.saturating_sub(last) < limits::LOG_INTERVAL;
        let is_logged = !(is_limited && self.last_line.is_some_and(is_fresh));
        if is_logged {
            self.last_line = Some(now);
        }
        Failure {
            delay: backoff::delay(self.quick_exits, jitter),
            is_logged,
            explained: self
                .explanation()
                .filter(|_| has_run)
                .map(|cause| (limits::CRASH_LOOP_THRESHOLD, cause)),
        }
    }

    /// The explanation of the last exits, if there have just been enough of them.
    fn explanation(&mut self) -> Option<Cause> {
        let is_most = |exits: u32| exits > limits::CRASH_LOOP_THRESHOLD / 2;
        let cause = match self.quick_exits == limits::CRASH_LOOP_THRESHOLD {
            true if is_most(self.kills) => Cause::Memory,
            true if is_most(self.crashes) => Cause::Crash,
            true => Cause::Refusal,
            false if self.kills_in_a_row == limits::CRASH_LOOP_THRESHOLD => Cause::Memory,
            false => return None,
        };
        if cause == Cause::Memory {
            // Those that follow in this row are explained already.
            self.kills_in_a_row = self.kills_in_a_row.max(limits::CRASH_LOOP_THRESHOLD);
        }
        Some(cause)
    }

    /// Records that the agent works again: its next exit is news. Returns how many exits there were
    /// in a row, if they are a crash loop whose end is not recorded yet.
    pub(super) fn recovered(&mut self) -> Option<u32> {
        let exits = self.crash_loop()?;
        self.last_line.take().map(|_| exits)
    }

    /// How many exits there were in a row, if they are a crash loop, which is logged less often.
    pub(super) fn crash_loop(&self) -> Option<u32> {
        (self.quick_exits >= limits::CRASH_LOOP_THRESHOLD).then_some(self.quick_exits)
    }
}
