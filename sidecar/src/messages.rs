//! All texts of this crate for the user, whose deploy may have just failed: what happened, to what,
//! and what to do now.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::SupervisorConfig;
use crate::exit::Cause;
use crate::interface::Hints;
use crate::log::Verbosity;
use crate::state_machine::Notice;
use crate::upstream::Upstream;

/// A message that does not come from the state machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Message {
    AlreadySupervised {
        address: String,
    },
    LockUnavailable {
        address: String,
        error: String,
    },
    AppUnwatchable {
        error: String,
    },
    PidfdUnavailable {
        error: String,
    },
    SupervisorNotStarted {
        error: String,
    },
    Panicked {
        details: String,
    },
    UnknownArgument {
        argument: String,
    },
    MalformedConfig {
        argument: &'static str,
    },
    NetlinkUnavailable {
        error: String,
    },
    ProbeUnavailable {
        error: String,
    },
    SupervisorFailed {
        error: String,
    },
    ValueUnreadable {
        name: String,
        path: PathBuf,
        error: String,
    },
    RunWithoutCommand {
        program: String,
    },
    CommandNotRun {
        command: String,
        error: String,
    },
}

impl Display for Message {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadySupervised { address } => write!(
                f,
                "No second agent: another supervisor already runs one for {address}. This supervisor stands by and takes over \
                 when the other one exits."
            ),
            Self::LockUnavailable { address, error } => write!(
                f,
                "Unable to rule out a second agent for {address}: the kernel refused the lock ({error})."
            ),
            Self::AppUnwatchable { error } => write!(
                f,
                "No agent for this process: unable to watch the app's process ({error})."
            ),
            Self::PidfdUnavailable { error } => {
                write!(
                    f,
                    "pidfd is unavailable ({error}); watching the app by PID."
                )
            }
            Self::SupervisorNotStarted { error } => write!(
                f,
                "No agent for this process: unable to start its supervisor ({error}). The app runs without an agent."
            ),
            Self::Panicked { details } => write!(
                f,
                "No agent for this process: internal error, {details}. Please report it. The app runs without an agent."
            ),
            Self::UnknownArgument { argument } => write!(
                f,
                "Unknown argument '{argument}'. The launcher of the app's image starts this program, without arguments."
            ),
            Self::MalformedConfig { argument } => write!(
                f,
                "The supervisor's {argument} argument is missing or malformed. Only the exec.d program starts the supervisor."
            ),
            Self::NetlinkUnavailable { error } => write!(
                f,
                "Netlink is unavailable ({error}); checking /proc/net/tcp instead."
            ),
            Self::ProbeUnavailable { error } => write!(
                f,
                "Unable to see whether the app listens ({error}); starting the agent without waiting for it."
            ),
            Self::ValueUnreadable { name, path, error } => write!(
                f,
                "Unable to read a new value of {name} in {} ({error}). The agent starts with the value that it had when the app started.",
                path.display()
            ),
            Self::RunWithoutCommand { program } => {
                write!(
                    f,
                    "No command to run. Call it with one: {program} COMMAND [ARGUMENT…]."
                )
            }
            Self::CommandNotRun { command, error } => write!(
                f,
                "Unable to run {command}: {error}. Check the command of this process type."
            ),
            Self::SupervisorFailed { error } => write!(
                f,
                "The supervisor cannot continue ({error}). Stopping the agent. The app is not affected."
            ),
        }
    }
}

/// The text of a notice of the state machine.
pub(crate) struct NoticeText<'a> {
    pub(crate) notice: &'a Notice,
    pub(crate) config: &'a SupervisorConfig,
    pub(crate) hints: Hints,
}

impl Display for NoticeText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let upstream = &self.config.upstream;
        match self.notice {
            Notice::WaitingForApp => write!(f, "Waiting for the app to listen on {upstream}."),
            Notice::TookOver => write!(
                f,
                "The other supervisor for {upstream} has exited. This one takes over."
            ),
            Notice::AnotherListens => write!(
                f,
                "Standing by: the process that listens on {upstream} is not part of this app, and other supervisors wait for \
                 {upstream}."
            ),
            Notice::AppIsLate => write!(
                f,
                "The app still does not listen on {upstream}, so no agent runs. A Unix socket, another port or another address \
                 does not count. Make the app listen there, or {}.",
                self.hints.upstream
            ),
            Notice::AppIsNotReady => write!(
                f,
                "The app listens on {upstream}, but does not answer GET {} with success, so no agent runs. Make it answer with a \
                 status below 400, or change that path.",
                self.config.ready_path.as_deref().unwrap_or("/")
            ),
            Notice::AgentUnhealthy { checks } => write!(
                f,
                "The agent runs but is not healthy: {checks} checks of {} in a row have failed. Replacing it.",
                self.config
                    .health_url
                    .as_ref()
                    .map_or_else(String::new, Upstream::to_string)
            ),
            Notice::MemoryExceeded { used } => write!(
                f,
                "The agent and its children occupy {} of memory, more than the limit of {}. Replacing it. If it needs as much, raise \
                 the limit.",
                Mebibytes(*used),
                Mebibytes(self.config.memory_limit.unwrap_or_default())
            ),
            Notice::AgentStarted(loopback) => {
                let url = crate::upstream::redacted(&upstream.url(*loopback));
                write!(f, "The agent started: {} to {url}.", self.config.title)
            }
            Notice::AgentRecovered { ran_for, exits } => write!(
                f,
                "The agent has recovered: it has run for {} after {exits} quick exits in a row.",
                Rounded(*ran_for)
            ),
            Notice::AgentExited {
                exit,
                delay: Some(delay),
            } => write!(f, "The agent {exit}. Restarting it in {}.", Rounded(*delay)),
            Notice::AgentExited { exit, delay: None } => write!(f, "The agent {exit}."),
            Notice::CrashLoop { exits, cause } => self.crash_loop(f, *exits, *cause),
            Notice::AppStoppedListening { stops_agent: false } => write!(
                f,
                "The app no longer listens on {upstream}. The agent keeps running until the app's main process exits, because \
                 requests may be in flight and the app may listen again. If the app has crashed below that process, restart it."
            ),
            Notice::AppStoppedListening { stops_agent: true } => write!(
                f,
                "The app no longer listens on {upstream}. Asking the agent to finish its requests and exit."
            ),
            Notice::AppListensAgain => write!(f, "The app listens on {upstream} again."),
            Notice::AgentDrained { exit } => write!(
                f,
                "The agent {exit}. It restarts when the app listens again."
            ),
            Notice::ShutdownRequested => write!(
                f,
                "Received SIGTERM. The agent keeps running until the app exits and will not be restarted."
            ),
            Notice::AppExited { agent_runs: true } => {
                write!(f, "The app exited. Stopping the agent.")
            }
            Notice::AppExited { agent_runs: false } => write!(f, "The app exited."),
            Notice::AppWaitsForSupervisor => write!(
                f,
                "The app waits for its child processes, and only this supervisor is left. Stopping the agent and exiting, so \
                 that the app can exit too. If the app continues, it has no agent: to keep one, run an init such as tini as \
                 process 1."
            ),
            Notice::DrainRequested { agent_runs: true } => write!(
                f,
                "Asked to drain. The agent finishes its requests, exits, and will not be restarted."
            ),
            Notice::DrainRequested { agent_runs: false } => {
                write!(
                    f,
                    "Asked to drain. No agent runs, and none will be started."
                )
            }
            Notice::KillingAgent => write!(
                f,
                "The agent did not exit in time after SIGTERM. Killing it."
            ),
        }
    }
}

impl NoticeText<'_> {
    fn crash_loop(&self, f: &mut Formatter<'_>, exits: u32, cause: Cause) -> fmt::Result {
        let why = match cause {
            Cause::Memory => {
                return write!(
                    f,
                    "The agent has exited {exits} times in a row, mostly by SIGKILL. Usually memory is short, and the kernel \
                     kills the agent rather than the app. To confirm, look for oom_kill in /sys/fs/cgroup/memory.events, \
                     OOMKilled in `docker inspect`, or `dmesg` on the host. Then raise the memory limit. The app is not \
                     affected, and the supervisor keeps restarting the agent."
                );
            }
            Cause::Crash => "The program itself crashes; another version of it may not",
            Cause::Refusal => self.hints.quick_exits,
        };
        let how_to_see = match self.config.verbosity {
            Verbosity::Quiet => self.hints.show_output,
            Verbosity::Info | Verbosity::Debug => "See the agent's own lines above",
        };
        write!(
            f,
            "The agent has exited {exits} times in a row soon after its start. {why}. {how_to_see}. The app is not affected. The \
             supervisor keeps restarting the agent and logs at most one line a minute about it."
        )
    }
}

/// A number of bytes for people.
struct Mebibytes(u64);

impl Display for Mebibytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0 >> 20)
    }
}

/// A duration in the unit that a person would choose.
struct Rounded(Duration);

impl Display for Rounded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        match milliseconds {
            0..1_000 => write!(f, "{milliseconds} ms"),
            1_000..10_000 => {
                let tenths = (milliseconds + 50) / 100;
                write!(f, "{}.{} s", tenths / 10, tenths % 10)
            }
            _ => write!(f, "{} s", (milliseconds + 500) / 1_000),
        }
    }
}

#[cfg(test)]
mod tests;
