//! The agent and all processes below it, which are all processes below the supervisor.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use nix::sys::wait::{Id, WaitPidFlag};
use rustix::process::{self, Pid, Signal, WaitOptions};

use crate::agent::Agent;
use crate::children;
use crate::config::SupervisorConfig;
use crate::exit::Exit;
use crate::procfs::Stat;

/// The agent, if there is one, and what it or an earlier one has started.
#[derive(Debug, Default)]
pub(crate) struct AgentTree {
    agent: Option<Agent>,
    /// Whether processes of an earlier agent may be left.
    may_have_orphans: bool,
}

impl AgentTree {
    /// Starts an agent.
    ///
    /// # Errors
    ///
    /// If its process cannot be created.
    pub(crate) fn start(
        &mut self,
        config: &SupervisorConfig,
        url: &str,
        values: &[(OsString, OsString)],
    ) -> io::Result<()> {
        self.agent = Some(Agent::start(config, url, values)?);
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        let agent = self.agent.as_ref()?;
        Some(agent.leader().as_raw_pid().unsigned_abs())
    }

    /// How the agent ended. `None` while it runs or if there is none.
    pub(crate) fn exit(&self, program: &Path) -> Option<Exit> {
        self.agent.as_ref()?.exit(program)
    }

    /// Signals the agent and all that is below it, each process once.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(agent) = &self.agent else {
            return;
        };
        // Listed first, because the signal makes orphans.
        let mut others = children::living();
        others.retain(|(_, stat)| stat.group != agent.leader().as_raw_pid());
        agent.signal(signal);
        signal_each(&others, signal);
    }

    /// Whether another process than the agent is alive. For use when the agent is not.
    pub(crate) fn others_live() -> bool {
        children::has_living_child()
    }

    /// Reaps the agent, and kills what it left behind.
    pub(crate) fn reap(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.reap();
            self.may_have_orphans = true;
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
        self.reap_others();
        self.may_have_orphans &= self.agent.is_none() && children::has_living_child();
        if self.may_have_orphans {
            signal_each(&children::living(), Signal::KILL);
        }
        self.may_have_orphans
    }

    /// Reaps the children that are not the agent.
    fn reap_others(&self) {
        while let Some(pid) = self.exited_child()
            && process::waitpid(Some(pid), WaitOptions::NOHANG).is_ok_and(|found| found.is_some())
        {
        }
    }

    /// A child that has exited and is not the agent, which is reaped only by an action of the
    /// state machine. Until then, others may be hidden behind it; they are found afterwards.
    fn exited_child(&self) -> Option<Pid> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = nix::sys::wait::waitid(Id::All, flags).ok()?;
        let pid = Pid::from_raw(status.pid()?.as_raw())?;
        let is_agent = self
            .agent
            .as_ref()
            .is_some_and(|agent| agent.leader() == pid);
        (!is_agent).then_some(pid)
    }
}

fn signal_each(processes: &[(Pid, Stat)], signal: Signal) {
    for (pid, _) in processes {
        let _ = process::kill_process(*pid, signal); // ESRCH: it is gone.
    }
}
