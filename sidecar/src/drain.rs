//! Requests to a supervisor to end its agent and keep it ended, and the role `NAME-drain`, which
//! makes one.
//!
//! The request is a connection to the supervisor's lock from a socket whose name is the request, so
//! the supervisor reads nothing and no client can hold it up. The supervisor confirms it, and once
//! more when no agent runs any more.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::interface::{Definition, Sidecar};
use crate::limits;
use crate::lock::{self, LockName, Purpose};
use crate::own_program;
use crate::signals;

/// What a supervisor answers at once, and when no agent runs any more.
pub(crate) const CONFIRMED: &[u8] = b"draining\n";
pub(crate) const ENDED: &[u8] = b"ended\n";

/// Exit statuses, which hooks and scripts depend on.
const DRAINED: u8 = 0;
const NOT_IN_TIME: u8 = 1;
const NO_SUPERVISOR: u8 = 2;

/// A request that a supervisor has confirmed.
#[derive(Debug)]
pub(crate) struct Request(UnixStream);

/// Why there is no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RequestError {
    /// No supervisor holds this lock, or it does not listen to this process.
    NoSupervisor,
    /// There is a supervisor, but stopped or out of time.
    Timeout,
}

/// Asks the supervisor that holds this lock to end its agent.
///
/// # Errors
///
/// If it does not confirm that in time.
pub(crate) fn send(
    name: &LockName,
    purpose: Purpose,
    timeout: Duration,
) -> Result<Request, RequestError> {
    let error = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => RequestError::Timeout,
        _ => RequestError::NoSupervisor,
    };
    let socket = lock::connect(name, purpose, timeout).map_err(|errno| error(errno.into()))?;
    if !lock::peer(&socket).is_some_and(|peer| lock::is_trusted(peer.user)) {
        return Err(RequestError::NoSupervisor);
    }
    let mut stream = UnixStream::from(socket);
    stream.set_read_timeout(Some(timeout)).map_err(error)?;
    let mut answer = [0; CONFIRMED.len()];
    stream.read_exact(&mut answer).map_err(error)?;
    if answer != CONFIRMED {
        return Err(RequestError::NoSupervisor);
    }
    stream.set_nonblocking(true).map_err(error)?;
    Ok(Request(stream))
}

/// Whether a client that waits for the end of the agent has not left.
pub(crate) fn is_connected(client: &UnixStream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    rustix::net::recv(client, &mut [0], flags) == Err(Errno::AGAIN)
}

impl Request {
    /// What becomes readable when no agent runs any more.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Whether no agent runs any more: the supervisor said so, or has exited.
    pub(crate) fn has_ended(&mut self) -> bool {
        let error = match self.0.read(&mut [0; ENDED.len()]) {
            Ok(_) => return true,
            Err(error) => error.kind(),
        };
        !matches!(
            error,
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        )
    }

    /// Waits until no agent runs any more, and returns whether that came in time.
    fn wait(mut self, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let is_set = !left.is_zero()
                && self.0.set_nonblocking(false).is_ok()
                && self.0.set_read_timeout(Some(left)).is_ok();
            if !is_set {
                return false;
            }
            if self.has_ended() {
                return true;
            }
        }
    }
}

/// The name of the program.
pub(crate) fn program(definition: Definition) -> String {
    format!("{}-drain", definition.name)
}

/// Plays the role.
pub(crate) fn run<S: Sidecar>(sidecar: &S, arguments: &[OsString]) -> ExitCode {
    // As for the status program.
    signals::block(&SigSet::from(Signal::SIGXFSZ));
    let definition = Definition::of::<S>();
    let (text, status) = match Arguments::parse(arguments) {
        Some(Arguments::Help) => (help(definition), DRAINED),
        Some(Arguments::Drain { timeout }) => drain(sidecar, timeout),
        None => (help(definition), NO_SUPERVISOR),
    };
    let _ = io::stdout().write_all(text.as_bytes()); // A caller that closed it wants the exit status only.
    ExitCode::from(status)
}

fn help(definition: Definition) -> String {
    format!(
        "\
Usage: {} [--timeout SECONDS]

Asks the agent of this container's app to finish its requests and exit, and waits until it has. No agent is started after that.

Exit status: 0 no agent runs any more, 1 it has not exited within the timeout, 2 no supervisor is here.
",
        program(definition)
    )
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Arguments {
    Help,
    Drain { timeout: Option<Duration> },
}

impl Arguments {
    fn parse(arguments: &[OsString]) -> Option<Self> {
        match arguments {
            [] => Some(Self::Drain { timeout: None }),
            [option] if option == "--help" => Some(Self::Help),
            [option, seconds] if option == "--timeout" => {
                let timeout = Some(Duration::from_secs(
                    seconds.to_str()?.parse::<u32>().ok()?.into(),
                ));
                Some(Self::Drain { timeout })
            }
            _ => None,
        }
    }
}

fn drain<S: Sidecar>(sidecar: &S, timeout: Option<Duration>) -> (String, u8) {
    let Some(connection) = own_program::connection(sidecar) else {
        return (
            format!("{}\n", crate::status::program::NO_ADDRESS),
            NO_SUPERVISOR,
        );
    };
    let timeout = timeout.unwrap_or(connection.stop_timeout);
    let name = connection.lock_name(Definition::of::<S>());
    match send(&name, Purpose::Drain, limits::STATUS_TIMEOUT) {
        Ok(request) => {
            if request.wait(timeout) {
                return ("No agent runs any more.\n".to_owned(), DRAINED);
            }
            let seconds = timeout.as_secs();
            let text = format!(
                "The agent has not exited within {seconds} s. It exits when its requests are finished, or with the app.\n"
            );
            (text, NOT_IN_TIME)
        }
        Err(RequestError::Timeout) => {
            let text = format!(
                "The agent's supervisor does not answer ({}).\n",
                name.address
            );
            (text, NOT_IN_TIME)
        }
        Err(RequestError::NoSupervisor) => {
            let text = "No supervisor runs an agent here for this user. The app's log says why.\n";
            (text.to_owned(), NO_SUPERVISOR)
        }
    }
}
