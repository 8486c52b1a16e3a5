//! What the benchmark and its probe agree on: timestamps of the app and the agent, by the clock that all processes of a machine
//! share, and the line with a command's peak.

use std::io::{self, Write as _};
use std::time::Duration;

use rustix::process;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// How long after its start the app begins to listen, in milliseconds: a variable.
pub const LISTEN_AFTER: &str = "BENCH_LISTEN_AFTER_MS";

/// Before the most memory that a command had resident at once, in bytes: the beginning of a line on stdout.
pub const PEAK: &str = "Peak memory: ";

/// A process that prints timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// The app, just before it calls listen(2).
    App,
    /// The agent, at the start of its `main`.
    Agent,
}

/// A timestamp: a line of JSON on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// Which process it is.
    pub who: Who,
    /// Its pid.
    pub pid: i32,
    /// The pid of its parent: for an agent, its supervisor.
    pub parent: i32,
    /// The time, by [`now`].
    pub at: Duration,
}

/// The time since a moment that is the same for all processes.
#[must_use]
pub fn now() -> Duration {
    // This clock starts at 0.
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

impl Timestamp {
    /// The present time, for this process.
    #[must_use]
    pub fn take(who: Who) -> Self {
        Self {
            who,
            at: now(),
            pid: process::getpid().as_raw_pid(),
            parent: process::getppid().map_or(0, process::Pid::as_raw_pid),
        }
    }

    /// Writes the line in one piece, because other processes write to the same stderr.
    ///
    /// # Errors
    ///
    /// If stderr cannot be written to.
    pub fn print(self) -> io::Result<()> {
        let line = serde_json::to_string(&self)? + "\n";
        io::stderr().write_all(line.as_bytes())
    }
}
