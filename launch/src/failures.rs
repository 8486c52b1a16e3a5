//! The agent's failures in a row: how long to wait after each, and what to say about it.

use crate::backoff::{self, Jitter};
use crate::limits::Limits;
use crate::messages::{Cause, Exit};
use crate::supervisor::Moment;
use rustix::process::Signal;
use std::time::Duration;

/// Exits in a row of agents that had not run for long.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    quick_exits: u32,
    /// How many of them were by SIGKILL.
    kills: u32,
    /// How many of them were crashes.
    crashes: u32,
    /// Ends by SIGKILL in a row, however long the agent had run: memory may become short slowly.
    kills_in_a_row: u32,
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
    /// How many exits in a row to explain, and by what, if it is time for that.
    pub(crate) explained: Option<(u32, Cause)>,
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
            *self = Self {
                kills_in_a_row: self.kills_in_a_row,
                ..Self::default()
            };
        }
        self.quick_exits = self.quick_exits.saturating_add(1);
        if is_kill(exit) {
            self.kills = self.kills.saturating_add(1);
            self.kills_in_a_row = self.kills_in_a_row.saturating_add(1);
        } else {
            self.kills_in_a_row = 0;
        }
        if is_crash(exit) {
            self.crashes = self.crashes.saturating_add(1);
        }
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
            explained: self
                .explanation(limits)
                .filter(|_| has_run)
                .map(|cause| (limits.quick_exits, cause)),
        }
    }

    /// What explains the last exits, if there have just been enough of them for that.
    fn explanation(&mut self, limits: &Limits) -> Option<Cause> {
        let is_most = |exits: u32| exits > limits.quick_exits / 2;
        let cause = match self.quick_exits == limits.quick_exits {
            true if is_most(self.kills) => Cause::Memory,
            true if is_most(self.crashes) => Cause::Crash,
            true => Cause::Refusal,
            false if self.kills_in_a_row == limits.quick_exits => Cause::Memory,
            false => return None,
        };
        if cause == Cause::Memory {
            // Those that follow in this row are explained already.
            self.kills_in_a_row = self.kills_in_a_row.max(limits.quick_exits);
        }
        Some(cause)
    }

    /// Takes note that the user has read of an agent that is well: its next exit is news.
    pub(crate) fn recovered(&mut self) {
        self.last_line = None;
    }

    /// How many have come in a row, if so many that the agent's comings and goings are told only now and then.
    pub(crate) fn many(&self, limits: &Limits) -> Option<u32> {
        (self.quick_exits >= limits.quick_exits).then_some(self.quick_exits)
    }
}

/// Shells report the end of their command by a signal as 128 and the signal's number; a wrapper script passes that on.
const SHELLS_OFFSET: i32 = 128;

fn signal_of(exit: &Exit) -> Option<i32> {
    match exit {
        Exit::Signal(signal) => Some(*signal),
        Exit::Status(status) => Some(status - SHELLS_OFFSET),
        Exit::Unknown | Exit::NotRun(_) | Exit::NotStarted(_) => None,
    }
}

fn is_kill(exit: &Exit) -> bool {
    signal_of(exit) == Some(Signal::KILL.as_raw())
}

/// Whether the agent ended by a signal that programs send themselves by their faults.
fn is_crash(exit: &Exit) -> bool {
    let crashes = [
        Signal::ABORT,
        Signal::BUS,
        Signal::FPE,
        Signal::ILL,
        Signal::SEGV,
        Signal::SYS,
        Signal::TRAP,
    ];
    crashes
        .iter()
        .any(|signal| signal_of(exit) == Some(signal.as_raw()))
}
