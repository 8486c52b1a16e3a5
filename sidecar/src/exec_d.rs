//! The exec.d program: decides, and starts the supervisor. It runs before every process of the
//! image, with the app's boot waiting for it, and must not fail.
//!
//! <https://github.com/buildpacks/spec/blob/main/buildpack.md#execd>

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::sys::signal::SigSet;
use rustix::process;

use crate::app::{self, AppHandle};
use crate::config::{Lock, SupervisorConfig};
use crate::environment::Environment;
use crate::interface::{Decision, Definition, Process, Sidecar, Spec};
use crate::launcher;
use crate::lock::{self, LockError, LockName};
use crate::log::{Level, Log};
use crate::messages::Message;
use crate::own_program;
use crate::signals;
use crate::stderr;

/// The directory with a link to the launcher for each process of the image.
const PROCESSES: &str = "/cnb/process";

/// Runs the exec.d program. It always succeeds: any other exit status would abort the app's boot.
pub(crate) fn main<S: Sidecar>(sidecar: &S) -> ExitCode {
    // A write to a log that has reached a file size limit raises SIGXFSZ, and would end the boot; a
    // Ctrl-C is meant for the app. The supervisor inherits the mask, and the agent starts without
    // it.
    signals::block(&SigSet::all());
    // The launcher waits until no process can write to descriptor 3 any more, and takes what was
    // written as variables for the app. Nothing has been opened yet, so the number is the
    // launcher's or unused.
    let _ = nix::unistd::close(3);
    stderr::take_own_description();
    catch_panics(|| run(sidecar));
    ExitCode::SUCCESS
}

/// Runs a function that may panic, which the panic hook reports.
fn catch_panics(role: impl FnOnce()) {
    let _ = panic::catch_unwind(AssertUnwindSafe(role));
}

fn run<S: Sidecar>(sidecar: &S) {
    let environment = Environment::of_process();
    let program = own_program::path(env::args_os().next());
    let parent = process::getppid();
    let argv0 = parent.and_then(argv0_of);
    let launcher_type = argv0.as_deref().and_then(|argv0| {
        launcher::process_type(argv0, &|name| Path::new(PROCESSES).join(name).exists())
    });
    let decision = sidecar.decide(&Process {
        environment: &environment,
        launcher_type: launcher_type.as_deref(),
        layer: program.as_deref().and_then(own_program::layer_of),
        is_main: parent.is_some_and(app::is_main),
        has_terminal: io::stderr().is_terminal() || io::stdin().is_terminal(),
    });
    let Decision {
        log: entries,
        verbosity,
        start,
    } = decision;
    let log = Log::new(S::NAME, verbosity);
    for entry in &entries {
        log.log(entry.level, &entry.text);
    }
    if let (Some(spec), Some(program)) = (start, program)
        && let Err(message) = start_supervisor(Definition::of::<S>(), spec, program, log)
    {
        log.log(Level::Warning, &message);
    }
}

/// The argv\[0\] of a process, if `/proc` is readable.
fn argv0_of(process: process::Pid) -> Option<OsString> {
    let mut arguments = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let end = arguments.iter().position(|byte| *byte == 0)?;
    arguments.truncate(end);
    Some(OsString::from_vec(arguments))
}

/// Takes the lock and opens the app, and passes both to a supervisor. If another one holds the lock,
/// the supervisor stands by.
fn start_supervisor(
    definition: Definition,
    spec: Spec,
    program: PathBuf,
    log: Log,
) -> Result<(), Message> {
    let name = LockName::new(definition.name, &spec.upstream);
    let (lock, stdin) = take_lock(name, spec.is_expected, log);
    let AppHandle { id, pidfd } = app::open_parent().map_err(|error| Message::AppUnwatchable {
        error: error.to_string(),
    })?;
    if let Err(error) = &pidfd {
        let error = error.to_string();
        log.log(Level::Debug, &Message::PidfdUnavailable { error });
    }
    let config = SupervisorConfig {
        program,
        agent: spec.program,
        args: spec.args,
        // The supervisor has the root directory for its working directory.
        value_files: spec
            .value_files
            .into_iter()
            .map(|(name, path)| (name, std::path::absolute(&path).unwrap_or(path)))
            .collect(),
        wait_for_app: spec.wait_for_app && !spec.upstream.is_remote(),
        upstream: spec.upstream,
        title: spec.title,
        is_expected: spec.is_expected,
        ready_path: spec.ready_path,
        health_url: spec.health_url,
        drain: spec.drain,
        stop_timeout: spec.stop_timeout,
        outlives_sigterm: spec.outlives_sigterm,
        memory_limit: spec.memory_limit,
        verbosity: log.verbosity,
        app: id,
        lock,
        info: spec.info,
    };
    Command::new(&config.program)
        .arg(crate::supervise::ROLE)
        .args(config.to_arguments())
        .env_clear()
        .envs(spec.environment.iter())
        .stdin(stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(pidfd.map_or_else(|_| Stdio::null(), Stdio::from))
        .spawn()
        .map(drop)
        .map_err(|error| Message::SupervisorNotStarted {
            error: error.to_string(),
        })
}

/// The supervisor's part, and its standard input.
fn take_lock(name: LockName, is_expected: bool, log: Log) -> (Lock, Option<OwnedFd>) {
    match lock::acquire(&name) {
        Ok(lock) => (Lock::Held, Some(lock)),
        Err(LockError::Held) => {
            // Before the app listens, so that the holder knows of this one when it does.
            let mark = lock::mark(&name);
            let level = if is_expected {
                Level::Info
            } else {
                Level::Debug
            };
            let address = name.address;
            log.log(level, &Message::AlreadySupervised { address });
            (Lock::StandBy, mark)
        }
        Err(LockError::Refused(error)) => {
            let (address, error) = (name.address, error.to_string());
            log.log(Level::Debug, &Message::LockUnavailable { address, error });
            (Lock::Unavailable, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_does_not_abort_the_boot() {
        catch_panics(|| panic!("a panic of a test"));
    }
}
