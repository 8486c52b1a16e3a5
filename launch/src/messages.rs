//! Every word to the user, for somebody who deploys a web app: what happened, to what, and what to do now.

use crate::log::Level;
use crate::target::ProxyUrlError;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

/// A message and how important it is where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) level: Level,
    pub(crate) message: Message,
}

impl Note {
    pub(crate) fn warning(message: Message) -> Self {
        let level = Level::Warning;
        Self { level, message }
    }

    pub(crate) fn info(message: Message) -> Self {
        let level = Level::Info;
        Self { level, message }
    }

    pub(crate) fn debug(message: Message) -> Self {
        let level = Level::Debug;
        Self { level, message }
    }
}

/// How the agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exit {
    Status(i32),
    Signal(i32),
    /// It is gone, but the kernel does not say how: SIGCHLD is ignored here.
    Unknown,
    /// It could not be run at all.
    NotRun(AgentFault),
    /// Its process could not be made.
    NotStarted(String),
}

/// Why an agent keeps ending, as far as its ends tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It ends by itself, most likely because the edge sends it away or is not reached.
    Refusal,
    /// It is killed, most likely by the kernel, which is short of memory.
    Memory,
    /// It crashes.
    Crash,
}

/// Why an agent that is there cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentFault {
    Missing,
    NotReadable(String),
    NotExecutable,
    /// The program that its first line names is not there.
    NoInterpreter(String),
    /// The dynamic loader that its ELF header names is not there.
    NoLoader(String),
    /// An ELF file for another processor.
    OtherArchitecture,
    /// Neither an ELF file nor a script.
    NoProgram,
}

/// What is said to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum Message {
    // Settings
    MalformedSetting { name: &'static str, value: String, wanted: Vec<&'static str>, taken: &'static str },

    // The decision
    Disabled,
    IgnoredType { process_type: String },
    NotAllowedType { process_type: Option<String> },
    OneOff { process_type: Option<String> },
    TestRun,
    UnknownType,
    BindingUnreadable { path: PathBuf, error: String },
    NoToken,
    NoLabels { variable_of_type: String },
    LabelStartsWithDash { label: String },
    LabelWithControlCharacter { label: String },
    LabelNotUtf8 { label: String },
    LabelWithoutValue { label: String },
    NoTarget,
    MalformedPort { value: String },
    MalformedProxyUrl { url: String, error: ProxyUrlError },
    UnknownLayer,
    NoAgent { path: PathBuf },
    Starting { process_type: String, labels: String, target: String },

    // exec.d
    AlreadySupervised { place: String },
    NoLock { place: String, error: String },
    NoApp { error: String },
    NoPidfd { error: String },
    SupervisorNotStarted { error: String },
    Panicked { details: String },
    UnknownRole { role: String },

    // The supervisor
    MalformedOrders { argument: &'static str },
    Waiting { target: String },
    TookOver { target: String },
    AnotherListens { target: String },
    AppIsLate { target: String },
    NoSignals { error: String },
    SlowLooks { error: String },
    Blind { error: String },
    AgentStarted { labels: String, url: String },
    AgentRecovered { ran_for: Duration, exits: u32 },
    AgentExited { exit: Exit, pause: Option<Duration> },
    ManyQuickExits { exits: u32, cause: Cause, output_is_dropped: bool },
    AppStoppedListening { target: String, stops_agent: bool },
    AppListensAgain { target: String },
    AgentDrained { exit: Exit },
    ToldToEnd,
    AppEnded { agent_runs: bool },
    AppWaitsForSupervisor,
    AgentKilled,
    SupervisorFailed { error: String },
}

impl Display for Message {
    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each message, so that all words are read in one place"
    )]
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedSetting {
                name,
                value,
                wanted,
                taken,
            } => write!(
                f,
                "{name} is '{value}', which is not one of {}. Using {taken}.",
                wanted.join(", ")
            ),

            Self::Disabled => write!(f, "No agent for this process: BACKPLANE_DISABLED is set."),
            Self::IgnoredType { process_type } => write!(
                f,
                "No agent for this process: its type ({process_type}) is in BACKPLANE_IGNORE_PROCESS_TYPE."
            ),
            Self::NotAllowedType {
                process_type: Some(process_type),
            } => write!(
                f,
                "No agent for this process: its type ({process_type}) is not in BACKPLANE_PROCESS_ALLOW."
            ),
            Self::NotAllowedType { process_type: None } => write!(
                f,
                "No agent for this process: its type is unknown, and only the types in BACKPLANE_PROCESS_ALLOW get one."
            ),
            Self::OneOff {
                process_type: Some(process_type),
            } => {
                write!(
                    f,
                    "No agent for this process: {process_type} is a one-off type."
                )
            }
            Self::OneOff { process_type: None } => write!(
                f,
                "No agent for this process: it has no process type, so it counts as a one-off command."
            ),
            Self::TestRun => write!(
                f,
                "No agent for this process: this is a test run (HEROKU_TEST_RUN_ID is set)."
            ),
            Self::UnknownType => write!(
                f,
                "No agent for this process: its type is unknown, so it counts as a one-off command. \
                 If it serves requests, set BACKPLANE_PROCESS_TYPE, for example to web."
            ),
            Self::BindingUnreadable { path, error } => write!(
                f,
                "Unable to read {} of the service binding ({error}). Check the file's mode and owner.",
                path.display()
            ),
            Self::NoToken => write!(
                f,
                "No agent for this process: it has no token. Set BACKPLANE_TOKEN, or bind a service of type backplane."
            ),
            Self::NoLabels { variable_of_type } => write!(
                f,
                "No agent for this process: it has no labels, so no route can match it. \
                 Set BACKPLANE_LABELS or {variable_of_type}, for example to app=shop."
            ),
            Self::LabelStartsWithDash { label } => write!(
                f,
                "No agent for this process: the label '{label}' starts with a dash, so the agent would take it for an option. \
                 Change it in BACKPLANE_LABELS, for example to app=shop."
            ),
            Self::LabelWithControlCharacter { label } => write!(
                f,
                "No agent for this process: the label '{label}' contains a control character. \
                 Change it in BACKPLANE_LABELS. Commas separate labels."
            ),
            Self::LabelNotUtf8 { label } => write!(
                f,
                "No agent for this process: the labels '{label}' are not valid UTF-8. Change BACKPLANE_LABELS, for example to app=shop."
            ),
            Self::LabelWithoutValue { label } => write!(
                f,
                "The label '{label}' has no value, and routes match key=value. If no request arrives, give it a value."
            ),
            Self::NoTarget => write!(
                f,
                "No agent for this process: neither PORT nor BACKPLANE_PROXY_URL says where the app listens. \
                 Set one, for example BACKPLANE_PROXY_URL=http://127.0.0.1:8080."
            ),
            Self::MalformedPort { value } => write!(
                f,
                "No agent for this process: PORT is '{value}', which is not a number from 1 to 65535. \
                 Set it to the port that the app listens on."
            ),
            Self::MalformedProxyUrl { url, error } => {
                let why = match error {
                    ProxyUrlError::NotPlainText => {
                        "a URL must not contain spaces, control characters or bytes that are not UTF-8"
                    }
                    ProxyUrlError::Scheme => "it must start with http:// or https://",
                    ProxyUrlError::UserInfo => {
                        "it must not contain a user name or password, which others could read in the agent's arguments (write %40 \
                         for any other @)"
                    }
                    ProxyUrlError::Host => "its host is neither a name nor an IP address",
                    ProxyUrlError::Port => "its port is not a number from 1 to 65535",
                };
                write!(
                    f,
                    "No agent for this process: BACKPLANE_PROXY_URL is '{url}', but {why}. \
                     Set it to a URL such as http://127.0.0.1:8080, or unset it to use PORT."
                )
            }
            Self::UnknownLayer => write!(
                f,
                "No agent for this process: the buildpack's program cannot find its own directory, \
                 because it was started without a full path and /proc is not readable."
            ),
            Self::NoAgent { path } => write!(
                f,
                "No agent for this process: {} is missing, because the build skipped it. Read the build's warning, and build again.",
                path.display()
            ),
            Self::Starting {
                process_type,
                labels,
                target,
            } => {
                write!(
                    f,
                    "Starting the supervisor for {process_type} (labels {labels}, target {target})."
                )
            }

            Self::AlreadySupervised { place } => write!(
                f,
                "No second agent: another supervisor already runs one for {place}. This supervisor stands by and takes over when the \
                 other one exits."
            ),
            Self::NoLock { place, error } => write!(
                f,
                "Unable to rule out a second agent for {place}: the kernel refused the lock ({error})."
            ),
            Self::NoApp { error } => write!(
                f,
                "No agent for this process: unable to watch the app's process ({error})."
            ),
            Self::NoPidfd { error } => {
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

            Self::UnknownRole { role } => write!(
                f,
                "Unknown argument '{role}'. The launcher of the app's image starts this program, without arguments."
            ),

            Self::MalformedOrders { argument } => write!(
                f,
                "The supervisor's {argument} argument is missing or malformed. Only the exec.d program starts the supervisor."
            ),
            Self::Waiting { target } => {
                write!(f, "Waiting for the app to listen on {target}.")
            }
            Self::TookOver { target } => write!(
                f,
                "The other supervisor for {target} has exited. This one takes over."
            ),
            Self::AnotherListens { target } => write!(
                f,
                "Standing by: the process that listens on {target} is not part of this app, and other supervisors wait for {target}."
            ),
            Self::AppIsLate { target } => write!(
                f,
                "The app still does not listen on {target}, so no agent runs. A Unix socket, another port or another address does not \
                 count. Make the app listen there, or set PORT or BACKPLANE_PROXY_URL to where it listens."
            ),
            Self::NoSignals { error } => write!(
                f,
                "signalfd is unavailable ({error}); noticing the agent's exit up to 500 ms late, and ignoring SIGTERM."
            ),
            Self::SlowLooks { error } => write!(
                f,
                "Netlink is unavailable ({error}); checking /proc/net/tcp instead."
            ),
            Self::Blind { error } => write!(
                f,
                "Unable to see whether the app listens ({error}); starting the agent without waiting for it."
            ),
            Self::AgentStarted { labels, url } => {
                write!(f, "The agent started: {labels} to {url}.")
            }
            Self::AgentRecovered { ran_for, exits } => write!(
                f,
                "The agent has recovered: it has run for {} after {exits} quick exits in a row.",
                Rounded(*ran_for)
            ),
            Self::AgentExited {
                exit,
                pause: Some(pause),
            } => {
                write!(f, "The agent {exit}. Restarting it in {}.", Rounded(*pause))
            }
            Self::AgentExited { exit, pause: None } => write!(f, "The agent {exit}."),
            Self::ManyQuickExits {
                exits,
                cause: Cause::Memory,
                ..
            } => write!(
                f,
                "The agent has exited {exits} times in a row, mostly by SIGKILL. Usually memory is short, and the kernel kills the agent \
                 rather than the app. To confirm, look for oom_kill in /sys/fs/cgroup/memory.events, OOMKilled in `docker inspect`, or \
                 `dmesg` on the host. Then raise the memory limit. The app is not affected, and the supervisor keeps restarting the agent."
            ),
            Self::ManyQuickExits {
                exits,
                cause,
                output_is_dropped,
            } => {
                let why = match cause {
                    Cause::Crash => "The program itself crashes; another version of it may not",
                    Cause::Refusal | Cause::Memory => {
                        "Usually BACKPLANE_TOKEN or the labels are wrong, or the edge cannot be reached"
                    }
                };
                let how_to_see = if *output_is_dropped {
                    "To see the agent's own lines, which BACKPLANE_LOG=quiet drops, set BACKPLANE_LOG=info"
                } else {
                    "See the agent's own lines above"
                };
                write!(
                    f,
                    "The agent has exited {exits} times in a row soon after its start. {why}. {how_to_see}. The app is not \
                     affected. The supervisor keeps restarting the agent and logs at most one line a minute about it."
                )
            }
            Self::AppStoppedListening {
                target,
                stops_agent: false,
            } => write!(
                f,
                "The app no longer listens on {target}. The agent keeps running until the app's main process exits, because requests may be \
                 in flight and the app may listen again. If the app has crashed below that process, restart it."
            ),
            Self::AppStoppedListening {
                target,
                stops_agent: true,
            } => write!(
                f,
                "The app no longer listens on {target}. Asking the agent to finish its requests and exit (BACKPLANE_DRAIN=stop)."
            ),
            Self::AppListensAgain { target } => write!(f, "The app listens on {target} again."),
            Self::AgentDrained { exit } => write!(
                f,
                "The agent {exit}. It restarts when the app listens again."
            ),
            Self::ToldToEnd => write!(
                f,
                "Received SIGTERM. The agent keeps running until the app exits and will not be restarted."
            ),
            Self::AppEnded { agent_runs: true } => {
                write!(f, "The app exited. Stopping the agent.")
            }
            Self::AppEnded { agent_runs: false } => write!(f, "The app exited."),
            Self::AppWaitsForSupervisor => write!(
                f,
                "The app waits for its child processes, and only this supervisor is left. Stopping the agent and exiting, so that the \
                 app can exit too. If the app continues, it has no agent: to keep one, run an init such as tini as process 1."
            ),
            Self::AgentKilled => write!(
                f,
                "The agent did not exit in time after SIGTERM. Killing it."
            ),
            Self::SupervisorFailed { error } => write!(
                f,
                "The supervisor cannot continue: poll failed ({error}). Stopping the agent. The app is not affected."
            ),
        }
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exited with status {status}"),
            Self::Signal(signal) => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(name) => write!(f, "was terminated by {name}"),
                Err(_) => write!(f, "was terminated by signal {signal}"),
            },
            Self::Unknown => write!(f, "exited"),
            Self::NotRun(fault) => write!(f, "cannot run: {fault}"),
            Self::NotStarted(error) => write!(f, "did not start ({error})"),
        }
    }
}

impl Display for AgentFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "its file is missing"),
            Self::NotReadable(error) => write!(f, "its file is not readable ({error})"),
            Self::NotExecutable => write!(f, "its file is not executable for this user"),
            Self::NoInterpreter(path) => write!(
                f,
                "it is a script for '{path}', which is not in the image; use a run image that has it, or another agent"
            ),
            Self::NoLoader(path) => write!(
                f,
                "it needs the loader '{path}', which is not in the image; use a statically linked agent, or a run image that has it"
            ),
            Self::OtherArchitecture => {
                write!(f, "it was built for another processor architecture")
            }
            Self::NoProgram => write!(
                f,
                "its file is neither an ELF program nor a script that starts with #!"
            ),
        }
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
