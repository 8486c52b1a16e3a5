//! The agent and all processes below it, which are all processes below the supervisor.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::wait::{Id, WaitPidFlag};
use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitId, WaitIdOptions, WaitOptions};

use crate::children;
use crate::config::SupervisorConfig;
use crate::exit::{ExecError, Exit};
use crate::interface::Arg;
use crate::log::Verbosity;
use crate::procfs::{self, Stat};
use crate::sigterm;
use crate::stderr;
use crate::trampoline;

/// The agent, if there is one, and what it or an earlier one has started.
#[derive(Debug, Default)]
pub(crate) struct AgentTree {
    /// An agent that was started and not yet reaped, so that its PID and process group cannot be
    /// another's.
    leader: Option<Pid>,
    /// Whether processes of an earlier agent may be left.
    may_have_orphans: bool,
}

impl AgentTree {
    /// Starts an agent. Its environment is the supervisor's own, with these values.
    ///
    /// # Errors
    ///
    /// If its process cannot be created.
    pub(crate) fn start(
        &mut self,
        config: &SupervisorConfig,
        url: &str,
        values: Vec<(OsString, OsString)>,
    ) -> io::Result<()> {
        let (output, errors) = match config.verbosity {
            Verbosity::Quiet => (Stdio::null(), Stdio::null()),
            // Standard output is the app's alone.
            Verbosity::Info | Verbosity::Debug => {
                let output = stderr::for_agent()?;
                (Stdio::from(output.try_clone()?), Stdio::from(output))
            }
        };
        let ignoring = config
            .outlives_sigterm
            .then(|| sigterm::command_that_ignores(&config.program))
            .flatten();
        let sigterm = if ignoring.is_some() {
            trampoline::IGNORES_SIGTERM
        } else {
            trampoline::GETS_SIGTERM
        };
        let mut command = ignoring.unwrap_or_else(|| Command::new(&config.program));
        let child = command
            .arg(trampoline::ROLE)
            .arg(process::getpid().to_string())
            .arg(sigterm)
            .arg(&config.agent)
            .args(config.args.iter().map(|arg| match arg {
                Arg::Text(text) => text.as_os_str(),
                Arg::AppUrl => OsStr::new(url),
            }))
            .envs(values)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()?;
        self.leader = Some(Pid::from_child(&child));
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<Pid> {
        self.leader
    }

    /// How the agent ended. `None` while it runs or if there is none. It stays unreaped.
    pub(crate) fn exit(&self, program: &Path) -> Option<Exit> {
        let leader = self.leader?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = match process::waitid(WaitId::Pid(leader), options) {
            Ok(status) => status?,
            // SIGCHLD was ignored before exec.d was started, so the kernel reaps by itself.
            Err(Errno::CHILD) => return Some(Exit::Unknown),
            Err(_) => return None,
        };
        Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => {
                exec_error(leader, status, program).map_or(Exit::Status(status), Exit::NotRun)
            }
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        })
    }

    /// Signals the agent and all that is below it, each process once.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(leader) = self.leader else {
            return;
        };
        // Listed first, because the signal makes orphans.
        let mut others = children::living();
        others.retain(|(_, stat)| stat.group != leader.as_raw_pid());
        let _ = process::kill_process_group(leader, signal); // ESRCH: all are gone already.
        signal_each(&others, signal);
    }

    /// The memory that the agent and all below it occupy, in bytes. Pages that they share count for
    /// each.
    pub(crate) fn resident_bytes() -> u64 {
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        let processes = children::living();
        let pages: u64 = processes.iter().map(|(_, stat)| stat.resident_pages).sum();
        pages * page
    }

    /// Reaps the agent, after which its process group ID may become another's, and kills what it
    /// left behind.
    pub(crate) fn reap(&mut self) {
        if let Some(leader) = self.leader.take() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            let _ = process::waitid(WaitId::Pid(leader), options); // ECHILD: the kernel has reaped it.
            self.adopt_all();
            self.kill_orphans();
        }
    }

    /// Treats all processes below the supervisor as orphans.
    pub(crate) fn adopt_all(&mut self) {
        self.may_have_orphans = true;
    }

    /// Reaps what has exited and kills what an earlier agent left behind. Processes that lose their
    /// parents by that become children of the supervisor until the next call. Returns whether any
    /// are left.
    pub(crate) fn kill_orphans(&mut self) -> bool {
        while let Some(pid) = self.exited_child()
            && process::waitpid(Some(pid), WaitOptions::NOHANG).is_ok_and(|found| found.is_some())
        {
        }
        self.may_have_orphans &= self.leader.is_none() && children::has_living_child();
        if self.may_have_orphans {
            signal_each(&children::living(), Signal::KILL);
        }
        self.may_have_orphans
    }

    /// A child that has exited and is not the agent, which is reaped only by an action of the
    /// state machine. Until then, others may be hidden behind it; they are found afterwards.
    fn exited_child(&self) -> Option<Pid> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = nix::sys::wait::waitid(Id::All, flags).ok()?;
        let pid = Pid::from_raw(status.pid()?.as_raw())?;
        (self.leader != Some(pid)).then_some(pid)
    }
}

/// The error of execve(2), if the process exited without having become the agent.
fn exec_error(leader: Pid, status: i32, program: &Path) -> Option<ExecError> {
    let name = procfs::program_name(leader)?;
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

fn signal_each(processes: &[(Pid, Stat)], signal: Signal) {
    for (pid, _) in processes {
        let _ = process::kill_process(*pid, signal); // ESRCH: it is gone.
    }
}
