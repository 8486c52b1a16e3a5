//! Everything that the Backplane buildpack does at launch.
//!
//! One program with several roles, each a process of its own:
//!
//! ```text
//! exec.d ──▶ supervise ──▶ start-agent ═▶ the agent
//!                 ├──────▶ connect-once (targets on other hosts only)
//!                 └◀─ ─ ─  backplane-status (by that name)
//! ```
//!
//! exec.d decides whether this process of the app gets an agent (`decision`) and returns within milliseconds; the supervisor
//! (`supervisor`, `event_loop`) stays as long as the app does.

mod agent;
mod agent_file;
mod app;
mod backoff;
mod binding;
mod clients;
mod deadlock;
mod decision;
mod descendants;
mod environment;
mod event_loop;
mod exec_d;
mod failures;
mod file;
mod labels;
mod limits;
mod lock;
mod log;
mod messages;
mod orders;
mod ownership;
mod proc_stat;
mod process_type;
mod random;
mod readiness;
mod settings;
mod signals;
mod spawn;
mod standard_error;
mod status;
mod supervise;
mod supervisor;
mod target;
mod trampoline;

pub use crate::agent_file::CHECKSUM_FILE;
pub use crate::settings::VARIABLES;

use crate::log::{Level, Log, Verbosity};
use crate::messages::Message;
use crate::readiness::connect;
use nix::sys::signal::SigSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::panic;
use std::path::Path;
use std::process::ExitCode;

/// The launch program: picks the role from its name and arguments, and plays it.
#[must_use = "it is the exit status of the process"]
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(|panicked| {
        let details = panicked.to_string();
        Log::new(Verbosity::Info).say(Level::Warning, &Message::Panicked { details });
    }));
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    if Path::new(&name).file_name() == Some(OsStr::new(status::NAME)) {
        return status::run(&arguments);
    }
    match arguments.split_first() {
        None => exec_d(),
        Some((role, arguments)) if role == supervise::ROLE => supervise::run(arguments),
        Some((role, arguments)) if role == trampoline::ROLE => trampoline::run(arguments),
        Some((role, arguments)) if role == connect::ROLE => connect::run(arguments),
        Some((role, _)) => unknown_role(role),
    }
}

fn exec_d() -> ExitCode {
    // A line to a log that has reached a file size limit is a SIGXFSZ, and would end the boot; a Ctrl-C is meant for others. The
    // supervisor inherits the mask, and the agent starts without it.
    signals::block(&SigSet::all());
    // The launcher waits until nobody can write to descriptor 3 any more, and takes what was written as variables for the app.
    // Nothing has been opened yet, so the number is the launcher's or nobody's.
    let _unless_it_is_closed = nix::unistd::close(3);
    standard_error::take_own_description();
    whatever_happens(exec_d::run)
}

/// Runs a role that succeeds even if it panics: any exit status but zero would abort the app's boot.
fn whatever_happens(role: fn()) -> ExitCode {
    let _reported_by_the_hook = panic::catch_unwind(role);
    ExitCode::SUCCESS
}

fn unknown_role(role: &OsStr) -> ExitCode {
    let role = role.to_string_lossy().into_owned();
    Log::new(Verbosity::Info).say(Level::Warning, &Message::UnknownRole { role });
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_in_exec_d_does_not_abort_the_boot() {
        let exit = whatever_happens(|| panic!("this is meant to be seen"));
        assert_eq!(exit, ExitCode::SUCCESS);
    }
}
