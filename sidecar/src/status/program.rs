//! The status program, which asks the supervisor of this process's app for the state of the agent.
//!
//! It connects to the supervisor's lock. Nothing is sent to the supervisor, so that no client can
//! delay it.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use rustix::process::{self, Uid};

use super::{MAX_REPORT, NO_AGENT, Running};
use crate::interface::{Definition, Sidecar};
use crate::limits;
use crate::lock::{self, LockName, Peer, Purpose};
use crate::log;
use crate::own_program;
use crate::signals;

/// Exit statuses, which scripts and health checks depend on.
const RUNNING: u8 = 0;
const NOT_RUNNING: u8 = 1;
const NO_SUPERVISOR: u8 = 2;

/// The text for an environment that does not determine which supervisor to ask.
pub(crate) const NO_ADDRESS: &str = "The address of the app is unknown here, so no supervisor can be asked. Set the same variables as \
                                     for the app, such as PORT.";

/// The name of the program.
pub(crate) fn program(definition: Definition) -> String {
    format!("{}-status", definition.name)
}

/// Runs the status program.
pub(crate) fn run<S: Sidecar>(sidecar: &S, arguments: &[OsString]) -> ExitCode {
    // Standard output may be a file that may not grow: the exit status still counts.
    signals::block(&SigSet::from(Signal::SIGXFSZ));
    let definition = Definition::of::<S>();
    let (text, status) = match Arguments::parse(arguments) {
        Some(Arguments::Ask { as_json, wait }) => {
            let connection = own_program::connection(sidecar);
            let answer = connection.map_or(Answer::NoAddress, |connection| {
                ask_until_steady(&connection.lock_name(definition), wait)
            });
            let status = answer.exit_status(wait.is_some());
            (answer.render(as_json, definition), status)
        }
        Some(Arguments::Help) => (help(definition), RUNNING),
        None => (help(definition), NO_SUPERVISOR),
    };
    let _ = io::stdout().write_all(text.as_bytes()); // A caller that closed it wants the exit status only.
    ExitCode::from(status)
}

fn help(definition: Definition) -> String {
    format!(
        "\
Usage: {} [--json] [--wait SECONDS]

Reports the state of the agent of this container's app. With --json, as a JSON object on one line. With --wait, as soon as the
agent has been running for {steady} s, or after this time.

Exit status: 0 the agent is running, 1 it is not, 2 no supervisor is here. With --wait, 1 also if no supervisor is here in time,
or if the agent has exited before and has not been running for {steady} s again.
",
        program(definition),
        steady = limits::STEADY.as_secs(),
    )
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Arguments {
    Help,
    Ask {
        as_json: bool,
        /// How long to wait for an agent that runs steadily.
        wait: Option<Duration>,
    },
}

impl Arguments {
    /// `None` for arguments that the program does not know.
    fn parse(arguments: &[OsString]) -> Option<Self> {
        let (mut as_json, mut wait) = (false, None);
        let mut rest = arguments;
        loop {
            rest = match rest {
                [] => return Some(Self::Ask { as_json, wait }),
                [option] if option == "--help" => return Some(Self::Help),
                [option, rest @ ..] if option == "--json" => {
                    as_json = true;
                    rest
                }
                [option, seconds, rest @ ..] if option == "--wait" => {
                    wait = Some(Duration::from_secs(
                        seconds.to_str()?.parse::<u32>().ok()?.into(),
                    ));
                    rest
                }
                _ => return None,
            };
        }
    }
}

/// The outcome of a query.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Answer {
    Report {
        running: Running,
        json: String,
        words: String,
    },
    /// There is a supervisor, but it is stopped or too slow.
    Timeout {
        address: String,
    },
    /// A process of this user, which this one does not trust, or which does not answer this one.
    OfUser {
        address: String,
        user: Uid,
    },
    NoSupervisor,
    /// The environment does not determine which supervisor to ask.
    NoAddress,
}

impl Answer {
    /// The answer of a supervisor, as [`super::Report::render`] wrote it. The holder of the lock may
    /// be another program, so nothing in it reaches a terminal unescaped.
    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        match (lines.next(), lines.next(), lines.next(), lines.next()) {
            (Some(first), Some(json), Some(words), None) => {
                Running::from_word(first).map_or(Self::NoSupervisor, |running| Self::Report {
                    running,
                    json: log::plain(json),
                    words: log::plain(words),
                })
            }
            _ => Self::NoSupervisor,
        }
    }

    /// The exit status. It differs if the program `has_waited`.
    fn exit_status(&self, has_waited: bool) -> u8 {
        match self {
            Self::Report { running, .. } => match running {
                Running::Steady | Running::New => RUNNING,
                Running::Again if !has_waited => RUNNING,
                Running::Again | Running::No => NOT_RUNNING,
            },
            // An agent whose supervisor does not work does not count as running.
            Self::Timeout { .. } => NOT_RUNNING,
            _ if has_waited => NOT_RUNNING,
            Self::OfUser { .. } | Self::NoSupervisor | Self::NoAddress => NO_SUPERVISOR,
        }
    }

    /// The text, empty if there is no JSON for this.
    fn render(self, as_json: bool, definition: Definition) -> String {
        let no_json = String::new();
        let (words, json) = match self {
            Self::Report { json, words, .. } => (words, json),
            Self::Timeout { address } => (
                format!("The agent's supervisor does not answer ({address})."),
                format!("{{\"state\":\"unknown\",\"target\":\"{address}\"}}"),
            ),
            Self::OfUser { address, user } => {
                let program = program(definition);
                let words = format!(
                    "A process of user ID {user} holds the lock of {address}. Run {program} as that user."
                );
                (words, no_json)
            }
            Self::NoSupervisor => {
                let words = "No supervisor runs an agent here. The app's log says why.";
                (words.to_owned(), no_json)
            }
            Self::NoAddress => (NO_ADDRESS.to_owned(), no_json),
        };
        let mut text = if as_json { json } else { words };
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }
}

/// Whether the supervisor that holds this lock has an agent, in any state.
pub(crate) fn agent_lives(name: &LockName) -> bool {
    match ask(name, limits::STATUS_TIMEOUT) {
        Answer::Report { json, .. } => !json.contains(NO_AGENT),
        _ => false,
    }
}

/// Asks again and again until the agent runs steadily or the time is up.
fn ask_until_steady(name: &LockName, wait: Option<Duration>) -> Answer {
    let end = wait.map(|wait| Instant::now() + wait);
    loop {
        let answer = ask(name, limits::STATUS_TIMEOUT);
        let is_steady = matches!(
            answer,
            Answer::Report {
                running: Running::Steady,
                ..
            }
        );
        if is_steady || end.is_none_or(|end| Instant::now() >= end) {
            return answer;
        }
        thread::sleep(limits::STATUS_INTERVAL);
    }
}

/// Asks the supervisor that holds this lock.
fn ask(name: &LockName, timeout: Duration) -> Answer {
    let end = Instant::now() + timeout;
    let address = name.address.clone();
    let socket = match lock::connect(name, Purpose::Status, timeout) {
        Ok(socket) => socket,
        Err(Errno::AGAIN) => return Answer::Timeout { address },
        Err(_) => return Answer::NoSupervisor,
    };
    let Some(Peer { user, .. }) = lock::peer(&socket) else {
        return Answer::NoSupervisor;
    };
    if !lock::is_trusted(user) {
        return Answer::OfUser { address, user };
    }
    match read_until(UnixStream::from(socket), end) {
        // Root's supervisor does not answer other users.
        Ok(text) if text.is_empty() && user != process::geteuid() => {
            Answer::OfUser { address, user }
        }
        Ok(text) => Answer::parse(&String::from_utf8_lossy(&text)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Answer::Timeout { address },
        Err(_) => Answer::NoSupervisor,
    }
}

/// Reads to the end of the stream, but no more than a report has.
fn read_until(mut stream: UnixStream, end: Instant) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(count) => text.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if text.len() > MAX_REPORT {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Hints;

    const DEFINITION: Definition = Definition {
        name: "sidecar",
        hints: Hints::GENERAL,
    };

    #[test]
    fn exit_status_and_text_follow_from_the_answer() {
        let address = || "localhost:1".to_owned();
        let of_user = Answer::OfUser {
            address: address(),
            user: Uid::from_raw(1_000),
        };
        let timeout = Answer::Timeout { address: address() };
        let unknown = "{\"state\":\"unknown\",\"target\":\"localhost:1\"}\n";
        let its_lock = "user ID 1000 holds the lock of localhost:1. Run sidecar-status as";
        // The exit status, and the one with --wait.
        for (answer, statuses, words, json) in [
            (Answer::parse("steady\n{}\nA.\n"), [0, 0], "A.\n", "{}\n"),
            (Answer::parse("new\n{}\nA.\n"), [0, 0], "A.\n", "{}\n"),
            (Answer::parse("again\n{}\nA.\n"), [0, 1], "A.\n", "{}\n"),
            (Answer::parse("no\n{}\nA.\n"), [1, 1], "A.\n", "{}\n"),
            (timeout, [1, 1], "does not answer (localhost:1)", unknown),
            (of_user, [2, 1], its_lock, ""),
            (Answer::NoSupervisor, [2, 1], "No supervisor", ""),
            (Answer::NoAddress, [2, 1], "PORT", ""),
        ] {
            let found = [false, true].map(|has_waited| answer.exit_status(has_waited));
            assert_eq!(found, statuses, "{answer:?}");
            let text = answer.clone().render(false, DEFINITION);
            assert!(text.contains(words) && text.ends_with('\n'), "{text}");
            assert_eq!(answer.render(true, DEFINITION), json);
        }
    }

    #[test]
    fn another_program_is_no_supervisor_and_prints_no_control_character() {
        for text in [
            "",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "steady\n",
            "steady\na\nb\nc\n",
            "maybe\na\nb\n",
        ] {
            assert_eq!(Answer::parse(text), Answer::NoSupervisor, "{text}");
        }
        let hostile = Answer::parse("steady\n\u{1b}[2J\n\u{202e}\u{7}\n");
        for as_json in [false, true] {
            let text = hostile.clone().render(as_json, DEFINITION);
            let line = text.trim_end();
            assert_eq!(line, log::plain(line));
        }
    }
}
