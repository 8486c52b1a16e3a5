//! An app and an agent that do nothing but say when they got to their point, by the clock that all processes of a machine share.

use rustix::process::{self, Signal};
use rustix::time::{ClockId, clock_gettime};
use std::env;
use std::fmt;
use std::io::{self, Write as _};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

/// The variable that says how long after its start the app begins to listen, in milliseconds.
pub const LISTEN_AFTER: &str = "BENCH_LISTEN_AFTER_MS";

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Its point is the moment before it calls listen(2).
    App,
    /// Its point is its first instruction, or nearly so.
    Agent,
}

/// What a process says of itself when it gets to its point, in one line on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which process it is.
    pub who: Who,
    /// Its pid.
    pub pid: i32,
    /// The pid of its parent: an agent's supervisor.
    pub parent: i32,
    /// When it was: what [`now`] said.
    pub at: Duration,
}

/// The time since some moment that is the same for all processes.
#[must_use]
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    // This clock starts at 0.
    Duration::try_from(time).unwrap_or_default()
}

impl Stamp {
    fn of_this_process(who: Who) -> Self {
        let at = now();
        Self {
            who,
            pid: process::getpid().as_raw_pid(),
            parent: process::getppid().map_or(0, process::Pid::as_raw_pid),
            at,
        }
    }

    fn print(self) -> io::Result<()> {
        // In one piece, as others write to it too.
        io::stderr().write_all(format!("{self}\n").as_bytes())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            who,
            pid,
            parent,
            at,
        } = self;
        let who = match who {
            Who::App => "app",
            Who::Agent => "agent",
        };
        write!(formatter, "stamp {who} {pid} {parent} {}", at.as_nanos())
    }
}

/// A line that is no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoStamp;

impl FromStr for Stamp {
    type Err = NoStamp;

    fn from_str(line: &str) -> Result<Self, NoStamp> {
        let words: Vec<&str> = line.split(' ').collect();
        let ["stamp", who, pid, parent, at] = words[..] else {
            return Err(NoStamp);
        };
        Ok(Self {
            who: match who {
                "app" => Who::App,
                "agent" => Who::Agent,
                _ => return Err(NoStamp),
            },
            pid: pid.parse().map_err(|_| NoStamp)?,
            parent: parent.parse().map_err(|_| NoStamp)?,
            at: Duration::from_nanos(at.parse().map_err(|_| NoStamp)?),
        })
    }
}

/// The app: listens, later, on the socket that is its stdin, whose port is thus its own all the time.
///
/// # Errors
///
/// If [`LISTEN_AFTER`] is no number, or stdin no socket.
pub fn app() -> io::Result<()> {
    // A benchmark that is killed leaves no app behind.
    process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let pause = env::var(LISTEN_AFTER).map_err(io::Error::other)?;
    thread::sleep(Duration::from_millis(
        pause.parse().map_err(io::Error::other)?,
    ));
    let stamp = Stamp::of_this_process(Who::App);
    rustix::net::listen(rustix::stdio::stdin(), 1)?;
    stamp.print()?;
    stay()
}

/// The agent: it serves nothing, and SIGTERM ends it at once.
///
/// # Errors
///
/// If stderr cannot be written to.
pub fn agent() -> io::Result<()> {
    Stamp::of_this_process(Who::Agent).print()?;
    stay()
}

fn stay() -> ! {
    loop {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_is_read_as_it_was_written() {
        for who in [Who::App, Who::Agent] {
            let stamp = Stamp::of_this_process(who);
            assert_eq!(stamp.to_string().parse(), Ok(stamp));
            assert_eq!(u32::try_from(stamp.pid), Ok(std::process::id()));
        }
    }

    #[test]
    fn other_lines_are_no_stamps() {
        for line in [
            "",
            "[backplane] The agent started",
            "stamp agent 1 2",
            "stamp agent 1 2 3 4",
            "stamp edge 1 2 3",
            "stamp app 1 x 3",
            "stamp app 1 2 -3",
        ] {
            assert_eq!(line.parse::<Stamp>(), Err(NoStamp), "{line}");
        }
    }

    #[test]
    fn clock_goes_on() {
        let earlier = now();
        assert!(now() >= earlier && earlier > Duration::ZERO);
    }
}
