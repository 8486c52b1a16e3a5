//! How an agent ended.

use std::fmt::{self, Display, Formatter};

use nix::sys::signal::Signal;
use rustix::io::Errno;

/// How an agent ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    Status(i32),
    Signal(i32),
    /// It has exited, but the kernel does not report how: SIGCHLD is ignored here.
    Unknown,
    /// Its program could not be executed.
    NotRun(ExecError),
    /// Its process could not be created.
    NotStarted(String),
}

/// Why the kernel did not execute the agent's program (execve(2)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ExecError {
    /// `ENOENT`, and the file does not exist.
    Missing,
    /// `ENOENT`, and the file exists: the program in its `#!` line or ELF header does not.
    NoInterpreter,
    /// `EACCES`
    NotExecutable,
    /// `ENOEXEC`
    NoProgram,
    Other(Errno),
}

/// Why an agent keeps exiting, as far as its exits show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    /// It exits by itself, most likely because its server refuses it or cannot be reached.
    Refusal,
    /// It is killed, most likely by the kernel, which is short of memory.
    Memory,
    /// It crashes.
    Crash,
}

/// Shells report the end of their command by a signal as 128 and the signal's number, and a wrapper
/// script passes that on.
const SHELL_SIGNAL_OFFSET: i32 = 128;

impl Exit {
    fn signal(&self) -> Option<i32> {
        match self {
            Self::Signal(signal) => Some(*signal),
            Self::Status(status) => Some(status - SHELL_SIGNAL_OFFSET),
            Self::Unknown | Self::NotRun(_) | Self::NotStarted(_) => None,
        }
    }

    pub(crate) fn is_kill(&self) -> bool {
        self.signal() == Some(Signal::SIGKILL as i32)
    }

    /// Whether the agent ended by a signal that shows a fault of the program.
    pub(crate) fn is_crash(&self) -> bool {
        let crashes = [
            Signal::SIGABRT,
            Signal::SIGBUS,
            Signal::SIGFPE,
            Signal::SIGILL,
            Signal::SIGSEGV,
            Signal::SIGSYS,
            Signal::SIGTRAP,
        ];
        crashes
            .iter()
            .any(|signal| self.signal() == Some(*signal as i32))
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exited with status {status}"),
            Self::Signal(signal) => match Signal::try_from(*signal) {
                Ok(name) => write!(f, "was terminated by {name}"),
                Err(_) => write!(f, "was terminated by signal {signal}"),
            },
            Self::Unknown => write!(f, "exited"),
            Self::NotRun(error) => write!(f, "cannot run: {error}"),
            Self::NotStarted(error) => write!(f, "did not start ({error})"),
        }
    }
}

impl Display for ExecError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "its file is missing"),
            Self::NoInterpreter => write!(
                f,
                "its file is there, but the interpreter or loader that it names is not in the image; use a run image that \
                 has it, or a statically linked agent"
            ),
            Self::NotExecutable => write!(f, "its file is not executable for this user"),
            Self::NoProgram => write!(
                f,
                "its file is neither a program for this processor architecture nor a script that starts with #!"
            ),
            Self::Other(error) => write!(f, "{error}"),
        }
    }
}
