//! The step between the supervisor and the agent: in the agent's own process, it undoes what the supervisor did to itself,
//! gives up what the agent does not need, and becomes the agent.

use crate::agent_file;
use crate::messages::AgentFault;
use nix::sys::signal::SigSet;
use rustix::process::{self, Signal};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The role's name on the command line.
pub(crate) const ROLE: &str = "start-agent";

/// Exit codes of shells for what cannot be run and for what is not there: the supervisor tells by them that it never ran.
pub(crate) const CANNOT_RUN: u8 = 126;
pub(crate) const NOT_FOUND: u8 = 127;

/// The most willing victim when memory is short: rather the agent, which comes back, than the app (`proc_pid_oom_score_adj(5)`).
const OOM_SCORE_ADJ: &str = "1000";

/// The arguments after the role: the supervisor's pid, the agent's path, the agent's own arguments.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let [supervisor, agent, arguments @ ..] = arguments else {
        return ExitCode::from(CANNOT_RUN);
    };
    // A blocked SIGTERM would never reach an agent written in C or shell.
    let _unblocked = SigSet::empty().thread_set_mask();
    let _best_effort = process::set_parent_process_death_signal(Some(Signal::KILL));
    // The signal is not sent for a death that came before.
    let parent = process::getppid().map(|parent| parent.to_string());
    if parent.as_deref() != supervisor.to_str() {
        return ExitCode::from(CANNOT_RUN);
    }
    let _best_effort = rustix::thread::set_no_new_privs(true);
    let _best_effort = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);

    // execvp(3) would feed a file that the kernel cannot run to a shell.
    match agent_file::fault(Path::new(agent)) {
        Some(AgentFault::Missing) => return ExitCode::from(NOT_FOUND),
        Some(_) => return ExitCode::from(CANNOT_RUN),
        None => {}
    }
    let error = Command::new(agent).args(arguments).exec();
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => CANNOT_RUN,
    })
}
