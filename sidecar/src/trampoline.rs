//! The step between the supervisor and the agent: in the agent's own process, it undoes what the
//! supervisor did to itself, drops what the agent does not need, and becomes the agent.

use std::ffi::{CStr, OsString};
use std::fs;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::sys::signal::SigSet;
use rustix::io::Errno;
use rustix::process::{self, Signal};

use crate::file;
use crate::sigterm;

/// The role's name on the command line.
pub(crate) const ROLE: &str = "start-agent";

/// The name of this process until it becomes the agent, at most 15 bytes (`proc_pid_comm(5)`). A
/// process that exits by this name has never been the agent: its exit status is the error of
/// execve(2).
pub(crate) const PROCESS_NAME: &CStr = c"sidecar:exec";

/// The kernel prefers this process when memory is short: the agent comes back, and the app does not
/// (`proc_pid_oom_score_adj(5)`).
const OOM_SCORE_ADJ: &str = "1000";

/// The second argument after the role: whether SIGTERM ends the agent.
pub(crate) const IGNORES_SIGTERM: &str = "ignores-sigterm";
pub(crate) const GETS_SIGTERM: &str = "gets-sigterm";

/// The arguments after the role: the supervisor's PID, [`IGNORES_SIGTERM`] or [`GETS_SIGTERM`], the
/// agent's path, the agent's own arguments.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let [supervisor, sigterm, program, args @ ..] = arguments else {
        return ExitCode::FAILURE;
    };
    // A blocked SIGTERM would never reach an agent written in C or shell.
    let _ = SigSet::empty().thread_set_mask();
    let _ = process::set_parent_process_death_signal(Some(Signal::KILL));
    // The signal is not sent for a death that came before.
    let parent = process::getppid().map(|parent| parent.to_string());
    if parent.as_deref() != supervisor.to_str() {
        return ExitCode::FAILURE;
    }
    let _ = rustix::thread::set_no_new_privs(true);
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    if sigterm == IGNORES_SIGTERM {
        sigterm::keep_disposition();
    }
    let _ = rustix::thread::set_name(PROCESS_NAME);
    // execvp(3) of some C libraries feeds a file that the kernel cannot execute to a shell.
    let error = if is_program(Path::new(program)) {
        Command::new(program).args(args).exec().raw_os_error()
    } else {
        Some(Errno::NOEXEC.raw_os_error())
    };
    let status = error.and_then(|error| u8::try_from(error).ok());
    ExitCode::from(status.unwrap_or(u8::MAX))
}

/// Whether a file is a script, or an ELF program like this one: of the same class, byte order and
/// machine (elf(5)). True if its content cannot be read: then the kernel decides.
fn is_program(path: &Path) -> bool {
    const MACHINE: Range<usize> = 18..20;
    const CLASS: Range<usize> = 0..6;
    let head = |path: &Path| -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        let file = file::open_regular(path)?;
        file.take(MACHINE.end as u64).read_to_end(&mut head)?;
        Ok(head)
    };
    let Ok(found) = head(path) else {
        return true;
    };
    found.starts_with(b"#!")
        || head(Path::new("/proc/self/exe")).map_or(true, |own| {
            [CLASS, MACHINE]
                .into_iter()
                .all(|part| found.get(part.clone()) == own.get(part))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_a_script_or_like_this_one() {
        let own = fs::read("/proc/self/exe").unwrap();
        let changed = |index: usize| {
            let mut head = own[..64].to_vec();
            head[index] ^= 1;
            head
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent");
        for (content, expected) in [
            (own[..64].to_vec(), true),
            (b"#!/bin/sh\n".to_vec(), true),
            (b"<html>".to_vec(), false),
            (Vec::new(), false),
            (own[..10].to_vec(), false),
            (changed(4), false),
            (changed(18), false),
            (changed(20), true),
        ] {
            fs::write(&path, &content).unwrap();
            assert_eq!(is_program(&path), expected, "{}", content.escape_ascii());
        }
        assert!(is_program(Path::new("/nowhere")), "the kernel decides");
    }
}
