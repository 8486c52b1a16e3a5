//! The exec.d program: decides, and starts the supervisor. It runs before every process of the image, with the app's boot
//! waiting for it, and may not fail.
//!
//! <https://github.com/buildpacks/spec/blob/main/buildpack.md#execd>

use crate::app::{self, AppHold};
use crate::binding;
use crate::decision::{self, Decision, Facts, Plan};
use crate::environment::Environment;
use crate::lock::{self, LockError};
use crate::log::{Level, Log};
use crate::messages::{Message, Note};
use crate::orders::{Lock, Orders};
use crate::spawn::spawn;
use rustix::process;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the lifecycle puts a link to the launcher for each process of the image.
const PROCESSES: &str = "/cnb/process";

/// Plays the role.
pub(crate) fn run() {
    let environment = Environment::of_process();
    let program = own_path(env::args_os().next());
    let agent = program.as_deref().and_then(agent_of);
    let parent = process::getppid();
    let parent_argv0 = parent.and_then(argv0_of);
    let decision = decision::decide(&Facts {
        environment: &environment,
        parent_argv0: parent_argv0.as_deref(),
        process_exists: &|name| Path::new(PROCESSES).join(name).exists(),
        app_is_main: parent.is_some_and(app::is_main),
        has_terminal: io::stderr().is_terminal() || io::stdin().is_terminal(),
        read_binding: &binding::read,
        agent: agent.as_deref(),
        is_file: &|path| path.is_file(),
    });
    let Decision {
        plan,
        notes,
        verbosity,
    } = decision;
    let log = Log::new(verbosity);
    for note in &notes {
        log.note(note);
    }
    if let (Some(plan), Some(program)) = (plan, program)
        && let Err(note) = start(plan, program, log)
    {
        log.note(&note);
    }
}

/// This program's full path: what the launcher called it by, or else what the kernel says.
fn own_path(argv0: Option<OsString>) -> Option<PathBuf> {
    argv0
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| fs::read_link("/proc/self/exe").ok())
}

/// The agent beside this program: `<layer>/exec.d/launch` belongs to `<layer>/libexec/backplane`.
fn agent_of(program: &Path) -> Option<PathBuf> {
    Some(program.parent()?.parent()?.join("libexec/backplane"))
}

/// The argv\[0\] of a process, if `/proc` tells.
fn argv0_of(process: process::Pid) -> Option<OsString> {
    let mut arguments = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let end = arguments.iter().position(|byte| *byte == 0)?;
    arguments.truncate(end);
    Some(OsString::from_vec(arguments))
}

/// Takes the lock and hold of the app, and hands both to a supervisor. Where another one has the lock, the supervisor stands by.
fn start(plan: Plan, program: PathBuf, log: Log) -> Result<(), Note> {
    let place = plan.target.place();
    let (lock, stdin) = match lock::acquire(&place) {
        Ok(lock) => (Lock::Held, Some(lock)),
        Err(LockError::Held) => {
            // Before the app listens, so that the holder knows of this one when it does.
            let mark = lock::mark(&place);
            let level = if plan.is_expected {
                Level::Info
            } else {
                Level::Debug
            };
            log.say(level, &Message::AlreadySupervised { place });
            (Lock::StandBy, mark)
        }
        Err(LockError::Refused(error)) => {
            let error = error.to_string();
            log.say(Level::Debug, &Message::NoLock { place, error });
            (Lock::Refused, None)
        }
    };
    let AppHold {
        reference,
        pidfd,
        refusal,
    } = app::hold_parent().map_err(|app::ParentGone| {
        let error = "it has ended".to_owned();
        Note::warning(Message::NoApp { error })
    })?;
    if let Some(refusal) = refusal {
        let error = refusal.to_string();
        log.say(Level::Debug, &Message::NoPidfd { error });
    }
    let orders = Orders {
        program,
        agent: plan.agent,
        labels: plan.labels,
        target: plan.target,
        process_type: plan.process_type,
        is_expected: plan.is_expected,
        wait_for_app: plan.wait_for_app,
        drain: plan.drain,
        verbosity: log.verbosity(),
        app: reference,
        lock,
    };
    spawn(
        Command::new(&orders.program)
            .arg(crate::supervise::ROLE)
            .args(orders.to_arguments())
            .env_clear()
            .envs(plan.environment.variables())
            .stdin(stdio(stdin))
            .stdout(stdio(pidfd)),
    )
    .map(drop)
    .map_err(|error| {
        let error = error.to_string();
        Note::warning(Message::SupervisorNotStarted { error })
    })
}

fn stdio(descriptor: Option<OwnedFd>) -> Stdio {
    descriptor.map_or_else(Stdio::null, Stdio::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_path_is_what_the_launcher_said() {
        let said = Some(OsString::from("/layers/agent/exec.d/launch"));
        assert_eq!(
            own_path(said),
            Some(PathBuf::from("/layers/agent/exec.d/launch"))
        );
        for unusable in [Some("launch"), Some("./launch"), Some(""), None] {
            assert_eq!(
                own_path(unusable.map(OsString::from)),
                env::current_exe().ok(),
                "{unusable:?}"
            );
        }
    }

    #[test]
    fn agent_is_in_the_same_layer() {
        for (program, expected) in [
            (
                "/layers/agent/exec.d/launch",
                Some("/layers/agent/libexec/backplane"),
            ),
            (
                "/app/.backplane/exec.d/launch",
                Some("/app/.backplane/libexec/backplane"),
            ),
            ("/launch", None),
            ("/", None),
        ] {
            assert_eq!(agent_of(Path::new(program)), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn argv0_of_a_process_is_read() {
        let own = env::args_os().next();
        assert_eq!(argv0_of(process::getpid()), own);
        assert_eq!(argv0_of(process::Pid::from_raw(i32::MAX).unwrap()), None);
    }
}
