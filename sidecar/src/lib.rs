#![doc = include_str!("../README.md")]

mod agent;
mod app;
mod checks;
mod children;
mod config;
mod deadlock;
mod drain;
mod environment;
mod event_loop;
mod exec_d;
mod exit;
mod file;
mod http_get;
mod interface;
mod launcher;
mod limits;
mod lock;
mod log;
mod messages;
mod own_program;
mod ownership;
mod probe;
mod procfs;
mod random;
mod run;
mod signals;
mod sigterm;
mod state_machine;
mod status;
mod stderr;
mod supervise;
mod trampoline;
mod upstream;

pub use crate::environment::Environment;
pub use crate::file::{open_regular, read_nonempty_value, read_value};
pub use crate::interface::{Arg, Connection, Decision, Drain, Hints, Process, Sidecar, Spec};
pub use crate::limits::STOP_TIMEOUT;
pub use crate::log::{Level, LogEntry, Verbosity};
pub use crate::upstream::{Upstream, UrlError, redacted};

use std::env;
use std::ffi::{OsStr, OsString};
use std::panic;
use std::path::Path;
use std::process::ExitCode;

use crate::interface::Definition;
use crate::log::Log;
use crate::messages::Message;

/// Runs the launch program of a buildpack: picks the role from the program's name and arguments.
///
/// | called | role |
/// | --- | --- |
/// | without arguments, by the launcher | the exec.d program: decides, and starts a supervisor |
/// | by a link named `NAME-run`, with a command | runs the app's command, and orders its end and the agent's |
/// | by a link named `NAME-drain` | asks the supervisor of this container to end its agent |
/// | by a link named `NAME-status` | asks the supervisor of this container for the agent's state |
/// | with arguments, by itself | the supervisor, and the step between the supervisor and the agent |
///
/// The exit status is the one of the process. The exec.d program always returns success, because
/// any other status would end the app's boot.
#[must_use = "it is the exit status of the process"]
pub fn main<S: Sidecar>(sidecar: &S) -> ExitCode {
    let definition = Definition::of::<S>();
    panic::set_hook(Box::new(move |panicked| {
        let details = panicked.to_string();
        Log::new(definition.name, Verbosity::Info)
            .log(Level::Warning, &Message::Panicked { details });
    }));
    let mut args = env::args_os();
    let name = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let name = Path::new(&name).file_name().unwrap_or_default();
    if name == OsStr::new(&status::program::program(definition)) {
        return status::program::run(sidecar, &args);
    }
    if name == OsStr::new(&drain::program(definition)) {
        return drain::run(sidecar, &args);
    }
    if name == OsStr::new(&run::program(definition)) {
        return run::run(sidecar, &args);
    }
    match args.split_first() {
        None => exec_d::main(sidecar),
        Some((role, args)) if role == supervise::ROLE => supervise::run(definition, args),
        Some((role, args)) if role == trampoline::ROLE => trampoline::run(args),
        Some((role, args)) if role == run::ROLE => run::become_command(definition, args),
        Some((role, _)) => {
            let argument = role.to_string_lossy().into_owned();
            Log::new(definition.name, Verbosity::Info)
                .log(Level::Warning, &Message::UnknownArgument { argument });
            ExitCode::FAILURE
        }
    }
}
