//! The supervisor's start: it detaches itself from its parent, then runs the event loop.

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use rustix::process;

use crate::app;
use crate::config::{ConfigError, SupervisorConfig};
use crate::event_loop::EventLoop;
use crate::interface::Definition;
use crate::limits;
use crate::log::{Level, Log, Verbosity};
use crate::messages::Message;

/// The role's name on the command line.
pub(crate) const ROLE: &str = "supervise";

/// The arguments after the role are a [`SupervisorConfig`].
pub(crate) fn run(definition: Definition, arguments: &[OsString]) -> ExitCode {
    close_inherited_descriptors();
    let config = match SupervisorConfig::from_arguments(arguments) {
        Ok(config) => config,
        Err(ConfigError { name: argument }) => {
            let log = Log::new(definition.name, Verbosity::Info);
            log.log(Level::Warning, &Message::MalformedConfig { argument });
            return ExitCode::FAILURE;
        }
    };
    let log = Log::new(definition.name, config.verbosity);
    detach();
    let app = config.app;
    let result = EventLoop::new(definition, config, log).and_then(EventLoop::run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = error.to_string();
            log.log(Level::Warning, &Message::SupervisorFailed { error });
            // An app that is process 1 of its container would not reap a supervisor that exits
            // before it.
            app::wait_for_exit(app, limits::POLL_INTERVAL);
            ExitCode::FAILURE
        }
    }
}

/// Leaves the terminal and the process group of the app, and its directory, which may be unmounted;
/// adopts the agent's orphans.
fn detach() {
    // Independent of each other: one that is refused does not prevent the others.
    let _ = process::setsid();
    let _ = process::set_child_subreaper(Some(process::getpid()));
    let _ = process::chdir("/");
}

/// Closes all descriptors except standard input, output and error: the parent of the app may have
/// left one open in it, such as the write end of a pipe whose reader waits for its end.
fn close_inherited_descriptors() {
    const FIRST: i32 = 3;
    let listed: Option<Vec<i32>> = fs::read_dir("/proc/self/fd").ok().map(|entries| {
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect()
    });
    // Without /proc, the numbers that are likely to be open.
    let open = listed.unwrap_or_else(|| (FIRST..1024).collect());
    for descriptor in open.into_iter().filter(|descriptor| *descriptor >= FIRST) {
        let _ = nix::unistd::close(descriptor); // EBADF: the directory's own, closed since.
    }
}
