//! The agent's process and its process group.

use crate::agent_file;
use crate::log::Verbosity;
use crate::messages::Exit;
use crate::orders::Orders;
use crate::spawn::spawn;
use crate::standard_error;
use crate::trampoline;
use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitId, WaitIdOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// An agent that was started and not yet reaped, so that its pid and process group cannot be another's.
#[derive(Debug)]
pub(crate) struct Agent {
    leader: Pid,
}

impl Agent {
    /// Starts the agent. Its environment is the supervisor's own.
    pub(crate) fn start(orders: &Orders, url: &str) -> io::Result<Self> {
        let (output, errors) = match orders.verbosity {
            Verbosity::Quiet => (Stdio::null(), Stdio::null()),
            // Standard output is the app's alone.
            Verbosity::Info | Verbosity::Debug => {
                let output = standard_error::for_agent()?;
                (Stdio::from(output.try_clone()?), Stdio::from(output))
            }
        };
        let child = spawn(
            Command::new(&orders.program)
                .arg(trampoline::ROLE)
                .arg(process::getpid().to_string())
                .arg(&orders.agent)
                .args(["connect", &orders.labels, url])
                .stdin(Stdio::null())
                .stdout(output)
                .stderr(errors)
                .process_group(0),
        )?;
        Ok(Self {
            leader: Pid::from_child(&child),
        })
    }

    pub(crate) fn leader(&self) -> Pid {
        self.leader
    }

    /// Signals the agent's process group: the agent, and what it has started and not put into another group.
    pub(crate) fn signal(&self, signal: Signal) {
        // ESRCH: all are gone, which is what the signal is for.
        let _gone = process::kill_process_group(self.leader, signal);
    }

    /// How the agent ended, if it did; it stays unreaped.
    pub(crate) fn exit(&self, file: &Path) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = match process::waitid(WaitId::Pid(self.leader), options) {
            Ok(status) => status?,
            // SIGCHLD was ignored before exec.d was started, so the kernel reaps by itself.
            Err(Errno::CHILD) => return Some(Exit::Unknown),
            Err(_) => return None,
        };
        let exit = match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => Exit::Status(status),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        };
        let may_be_the_trampoline = [trampoline::CANNOT_RUN, trampoline::NOT_FOUND]
            .map(|status| Exit::Status(i32::from(status)))
            .contains(&exit);
        let fault = may_be_the_trampoline
            .then(|| agent_file::fault(file))
            .flatten();
        Some(fault.map_or(exit, Exit::NotRun))
    }

    /// Reaps the leader, after which its process group id may become another's.
    pub(crate) fn reap(self) {
        let _unless_the_kernel_did = process::waitid(
            WaitId::Pid(self.leader),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
    }
}
