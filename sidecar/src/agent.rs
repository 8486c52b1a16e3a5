//! The agent's process and its process group.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitId, WaitIdOptions};

use crate::config::SupervisorConfig;
use crate::definition::Arg;
use crate::exit::{ExecError, Exit};
use crate::log::Verbosity;
use crate::procfs;
use crate::stderr;
use crate::trampoline;

/// An agent that was started and not yet reaped, so that its PID and process group cannot be
/// another's.
#[derive(Debug)]
pub(crate) struct Agent {
    leader: Pid,
}

impl Agent {
    /// Starts the agent. Its environment is the supervisor's own, with these values.
    pub(crate) fn start(
        config: &SupervisorConfig,
        url: &str,
        values: &[(OsString, OsString)],
    ) -> io::Result<Self> {
        let (output, errors) = match config.verbosity {
            Verbosity::Quiet => (Stdio::null(), Stdio::null()),
            // Standard output is the app's alone.
            Verbosity::Info | Verbosity::Debug => {
                let output = stderr::for_agent()?;
                (Stdio::from(output.try_clone()?), Stdio::from(output))
            }
        };
        let child = Command::new(&config.program)
            .arg(trampoline::ROLE)
            .arg(process::getpid().to_string())
            .arg(&config.agent)
            .args(config.args.iter().map(|arg| match arg {
                Arg::Text(text) => text.as_os_str(),
                Arg::AppUrl => OsStr::new(url),
            }))
            .envs(values.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()?;
        Ok(Self {
            leader: Pid::from_child(&child),
        })
    }

    pub(crate) fn leader(&self) -> Pid {
        self.leader
    }

    /// Signals the agent's process group: the agent, and what it has started and not put into
    /// another group.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = process::kill_process_group(self.leader, signal); // ESRCH: all are gone already.
    }

    /// How the agent ended. `None` while it runs. It stays unreaped.
    pub(crate) fn exit(&self, program: &Path) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = match process::waitid(WaitId::Pid(self.leader), options) {
            Ok(status) => status?,
            // SIGCHLD was ignored before exec.d was started, so the kernel reaps by itself.
            Err(Errno::CHILD) => return Some(Exit::Unknown),
            Err(_) => return None,
        };
        Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => self
                .exec_error(status, program)
                .map_or(Exit::Status(status), Exit::NotRun),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        })
    }

    /// The error of execve(2), if the process exited without having become the agent.
    fn exec_error(&self, status: i32, program: &Path) -> Option<ExecError> {
        let name = procfs::program_name(self.leader)?;
        if name != trampoline::PROCESS_NAME.to_bytes() {
            return None;
        }
        Some(match Errno::from_raw_os_error(status) {
            Errno::NOENT if program.exists() => ExecError::NoInterpreter,
            Errno::NOENT => ExecError::Missing,
            Errno::ACCESS => ExecError::NotExecutable,
            Errno::NOEXEC => ExecError::NoProgram,
            error => ExecError::Other(error),
        })
    }

    /// Reaps the leader, after which its process group ID may become another's.
    pub(crate) fn reap(self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let _ = process::waitid(WaitId::Pid(self.leader), options); // ECHILD: the kernel has reaped it.
    }
}
