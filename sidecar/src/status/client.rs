//! The status program: asks the supervisor of this process's app how the agent is.
//!
//! The question is a connection to the supervisor's lock. Nothing is sent to the supervisor, so
//! that no client can hold it up.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use rustix::process::{self, Uid};

use super::{MAX_REPORT, NO_AGENT};
use crate::definition::{Definition, Sidecar};
use crate::environment::Environment;
use crate::limits::Limits;
use crate::lock::{self, LockName, Peer, Purpose};
use crate::log;
use crate::signals;

/// Exit statuses, which scripts and health checks depend on.
const RUNNING: u8 = 0;
const NOT_RUNNING: u8 = 1;
const NO_SUPERVISOR: u8 = 2;

/// What to do where the environment does not tell which supervisor to ask.
pub(crate) const NO_ADDRESS: &str = "The address of the app is unknown here, so no supervisor can be asked. Set the same variables as \
                                     for the app, such as PORT.";

/// The name of the program.
pub(crate) fn program(definition: Definition) -> String {
    format!("{}-status", definition.name)
}

/// Plays the role.
pub(crate) fn run<S: Sidecar>(sidecar: &S, arguments: &[OsString]) -> ExitCode {
    // Standard output may be a file that may not grow: the exit status still counts.
    signals::block(&SigSet::from(Signal::SIGXFSZ));
    let definition = Definition::of::<S>();
    let (text, status) = match Arguments::parse(arguments) {
        Some(Arguments::Ask { format, wait }) => {
            let connection = sidecar.connection(&Environment::of_process());
            let answer = connection.map_or(Answer::NoAddress, |connection| {
                let name = connection.lock_name(definition);
                ask_until_running(&name, wait, &Limits::default())
            });
            let (text, status) = answer.render(format, definition);
            // Whatever kept it from running in time.
            let is_late = wait.is_some() && status != RUNNING;
            (text, if is_late { NOT_RUNNING } else { status })
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

Reports the state of the agent of this container's app. With --json, as a JSON object on one line. With --wait, as soon as the \
agent is running, or after so many seconds.

Exit status: 0 the agent is running, 1 it is not (with --wait, not in time), 2 no supervisor is here.
",
        program(definition)
    )
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Arguments {
    Help,
    Ask {
        format: Format,
        /// How long to wait for the agent to run.
        wait: Option<Duration>,
    },
}

impl Arguments {
    /// `None` for arguments that the program does not know.
    fn parse(arguments: &[OsString]) -> Option<Self> {
        let mut format = Format::Words;
        let mut wait = None;
        let mut rest = arguments;
        loop {
            rest = match rest {
                [] => return Some(Self::Ask { format, wait }),
                [option] if option == "--help" => return Some(Self::Help),
                [option, rest @ ..] if option == "--json" => {
                    format = Format::Json;
                    rest
                }
                [option, seconds, rest @ ..] if option == "--wait" => {
                    wait = Some(Duration::from_secs(seconds.to_str()?.parse().ok()?));
                    rest
                }
                _ => return None,
            };
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    Words,
    Json,
}

/// What became of the question.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Answer {
    Report {
        is_running: bool,
        json: String,
        words: String,
    },
    /// There is a supervisor, but stopped or out of time.
    Timeout {
        address: String,
    },
    /// A process of this user, which this one does not believe, or which does not answer this one.
    OfUser {
        address: String,
        user: Uid,
    },
    NoSupervisor,
    /// The environment does not tell which supervisor to ask.
    NoAddress,
}

impl Answer {
    /// The answer of a supervisor, as [`super::Report::render`] wrote it. What holds the lock may
    /// be another program, so nothing in it reaches a terminal unescaped.
    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        match (lines.next(), lines.next(), lines.next(), lines.next()) {
            (Some(is_running @ ("true" | "false")), Some(json), Some(words), None) => {
                Self::Report {
                    is_running: is_running == "true",
                    json: log::plain(json),
                    words: log::plain(words),
                }
            }
            _ => Self::NoSupervisor,
        }
    }

    fn render(self, format: Format, definition: Definition) -> (String, u8) {
        let for_people = |words: String| match format {
            Format::Words => words + "\n",
            Format::Json => String::new(),
        };
        match self {
            Self::Report {
                is_running,
                json,
                words,
            } => {
                let text = match format {
                    Format::Json => json,
                    Format::Words => words,
                };
                let status = if is_running { RUNNING } else { NOT_RUNNING };
                (text + "\n", status)
            }
            // An agent whose supervisor does not work does not count as running.
            Self::Timeout { address } => {
                let text = match format {
                    Format::Json => format!("{{\"state\":\"unknown\",\"target\":\"{address}\"}}\n"),
                    Format::Words => {
                        format!("The agent's supervisor does not answer ({address}).\n")
                    }
                };
                (text, NOT_RUNNING)
            }
            Self::OfUser { address, user } => {
                let program = program(definition);
                let words = format!(
                    "A process of user ID {user} holds the lock of {address}. Run {program} as that user."
                );
                (for_people(words), NO_SUPERVISOR)
            }
            Self::NoSupervisor => {
                let words = "No supervisor runs an agent here. The app's log says why.";
                (for_people(words.to_owned()), NO_SUPERVISOR)
            }
            Self::NoAddress => (for_people(NO_ADDRESS.to_owned()), NO_SUPERVISOR),
        }
    }
}

/// Whether the supervisor that holds this lock has an agent, in whatever state.
pub(crate) fn agent_lives(name: &LockName, timeout: Duration) -> bool {
    match ask(name, timeout) {
        Answer::Report { json, .. } => !json.contains(NO_AGENT),
        _ => false,
    }
}

/// Asks again and again until the agent runs or the time is up.
fn ask_until_running(name: &LockName, wait: Option<Duration>, limits: &Limits) -> Answer {
    let end = wait.map(|wait| Instant::now() + wait);
    loop {
        let answer = ask(name, limits.status_timeout);
        let is_running = matches!(
            answer,
            Answer::Report {
                is_running: true,
                ..
            }
        );
        if is_running || end.is_none_or(|end| Instant::now() >= end) {
            return answer;
        }
        thread::sleep(limits.status_interval);
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
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::definition::Hints;

    const DEFINITION: Definition = Definition {
        name: "sidecar",
        hints: Hints::GENERAL,
    };

    #[test]
    fn exit_status_and_text_follow_from_the_answer() {
        let address = || "localhost:1".to_owned();
        let user = Uid::from_raw(1_000);
        for (answer, status, words, json) in [
            (
                Answer::parse("true\n{}\nIt runs.\n"),
                0,
                "It runs.\n",
                "{}\n",
            ),
            (Answer::parse("false\n{}\nNo.\n"), 1, "No.\n", "{}\n"),
            (
                Answer::Timeout { address: address() },
                1,
                "does not answer (localhost:1)",
                "{\"state\":\"unknown\",\"target\":\"localhost:1\"}\n",
            ),
            (
                Answer::OfUser {
                    address: address(),
                    user,
                },
                2,
                "of user ID 1000 holds the lock of localhost:1. Run sidecar-status as",
                "",
            ),
            (Answer::NoSupervisor, 2, "No supervisor", ""),
            (Answer::NoAddress, 2, "PORT", ""),
        ] {
            let (text, found) = answer.clone().render(Format::Words, DEFINITION);
            assert!(text.contains(words) && text.ends_with('\n'), "{text}");
            assert_eq!(found, status, "{answer:?}");
            let rendered = answer.render(Format::Json, DEFINITION);
            assert_eq!(rendered, (json.to_owned(), status));
        }
    }

    #[test]
    fn another_program_is_no_supervisor_and_prints_no_control_character() {
        for text in [
            "",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "true\n",
            "true\na\nb\nc\n",
            "maybe\na\nb\n",
        ] {
            assert_eq!(Answer::parse(text), Answer::NoSupervisor, "{text}");
        }
        let hostile = Answer::parse("true\n\u{1b}[2J\n\u{202e}\u{7}\n");
        for format in [Format::Words, Format::Json] {
            let (text, _) = hostile.clone().render(format, DEFINITION);
            let line = text.trim_end();
            assert_eq!(line, log::plain(line));
        }
    }

    #[test]
    fn supervisor_that_does_not_answer_costs_no_more_than_the_timeout() {
        let name = LockName {
            sidecar: "sidecar-test",
            address: format!("ask-{}:1", process::getpid()),
        };
        assert_eq!(ask(&name, Duration::from_secs(9)), Answer::NoSupervisor);
        // The kernel accepts, and no answer comes.
        let _lock = UnixListener::from(lock::acquire(&name).unwrap());
        let started = Instant::now();
        let address = name.address.clone();
        let answer = ask(&name, Duration::from_millis(200));
        assert_eq!(answer, Answer::Timeout { address });
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
