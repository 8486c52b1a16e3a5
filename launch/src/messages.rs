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
                "{name} is '{value}', but should be one of {}. It is taken as {taken}.",
                wanted.join(", ")
            ),

            Self::Disabled => write!(f, "No agent for this process: BACKPLANE_DISABLED is set."),
            Self::IgnoredType { process_type } => write!(
                f,
                "No agent for this process: its type, {process_type}, is in BACKPLANE_IGNORE_PROCESS_TYPE."
            ),
            Self::NotAllowedType {
                process_type: Some(process_type),
            } => write!(
                f,
                "No agent for this process: its type, {process_type}, is not in BACKPLANE_PROCESS_ALLOW."
            ),
            Self::NotAllowedType { process_type: None } => write!(
                f,
                "No agent for this process: its type is not known, and BACKPLANE_PROCESS_ALLOW names the types to connect."
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
                "No agent for this process: it has no process type, so it is taken for a one-off command."
            ),
            Self::TestRun => write!(
                f,
                "No agent for this process: HEROKU_TEST_RUN_ID says that this is a test run."
            ),
            Self::UnknownType => write!(
                f,
                "No agent for this process: its type is not known, so it is taken for a one-off command. \
                 If it serves requests, set BACKPLANE_PROCESS_TYPE, for example to web."
            ),
            Self::BindingUnreadable { path, error } => write!(
                f,
                "The service binding's {} cannot be read ({error}). Check its mode and owner in the binding.",
                path.display()
            ),
            Self::NoToken => write!(
                f,
                "No agent for this process: it has no token. Set BACKPLANE_TOKEN, or bind a service of type backplane."
            ),
            Self::NoLabels { variable_of_type } => write!(
                f,
                "No agent for this process: it has no labels, so no route could match it. \
                 Set BACKPLANE_LABELS or {variable_of_type}, for example to app=shop."
            ),
            Self::LabelStartsWithDash { label } => write!(
                f,
                "No agent for this process: the label '{label}' starts with a dash, and the agent would take it for an option. \
                 Change it in BACKPLANE_LABELS, for example to app=shop."
            ),
            Self::LabelWithControlCharacter { label } => write!(
                f,
                "No agent for this process: the label '{label}' has a control character in it. \
                 Change it in BACKPLANE_LABELS; labels are separated by commas."
            ),
            Self::LabelNotUtf8 { label } => write!(
                f,
                "No agent for this process: the labels '{label}' are not UTF-8. Set BACKPLANE_LABELS anew, for example to app=shop."
            ),
            Self::LabelWithoutValue { label } => write!(
                f,
                "The label '{label}' has no value. A route matches key=value; write it so if no request comes through."
            ),
            Self::NoTarget => write!(
                f,
                "No agent for this process: neither PORT nor BACKPLANE_PROXY_URL says where the app listens. \
                 Set one, for example BACKPLANE_PROXY_URL=http://127.0.0.1:8080."
            ),
            Self::MalformedPort { value } => write!(
                f,
                "No agent for this process: PORT is '{value}', but should be a number from 1 to 65535."
            ),
            Self::MalformedProxyUrl { url, error } => {
                let why = match error {
                    ProxyUrlError::NotPlainText => {
                        "spaces, control characters and bytes that are not UTF-8 cannot be in a URL"
                    }
                    ProxyUrlError::Scheme => "it should start with http:// or https://",
                    ProxyUrlError::UserInfo => {
                        "a user name or password in it could be read in the agent's arguments (write %40 for any other @)"
                    }
                    ProxyUrlError::Host => "its host is neither a name nor an address",
                    ProxyUrlError::Port => "its port should be a number from 1 to 65535",
                };
                write!(
                    f,
                    "No agent for this process: BACKPLANE_PROXY_URL is '{url}', but {why}. \
                     Set it, for example, to http://127.0.0.1:8080, or unset it and let PORT tell."
                )
            }
            Self::UnknownLayer => write!(
                f,
                "No agent for this process: this program cannot tell where it is installed, \
                 as it was started without a full path and /proc cannot be read."
            ),
            Self::NoAgent { path } => write!(
                f,
                "No agent for this process: there is none at {}. The build went on without it; look for its warning, and build anew.",
                path.display()
            ),
            Self::Starting {
                process_type,
                labels,
                target,
            } => {
                write!(
                    f,
                    "Starting the supervisor for {process_type}: labels {labels}, target {target}."
                )
            }

            Self::AlreadySupervised { place } => write!(
                f,
                "No second agent for this process: another supervisor looks after {place} already. This one stands by, and starts an \
                 agent when no other looks after it."
            ),
            Self::NoLock { place, error } => write!(
                f,
                "Nothing keeps a second agent from being started for {place}: the lock is refused here ({error})."
            ),
            Self::NoApp { error } => write!(
                f,
                "No agent for this process: the app's process cannot be watched ({error})."
            ),
            Self::NoPidfd { error } => write!(
                f,
                "The app is watched by its pid, as the kernel gives no handle on it ({error})."
            ),
            Self::SupervisorNotStarted { error } => write!(
                f,
                "No agent for this process: its supervisor could not be started ({error}). The app goes on without it."
            ),
            Self::Panicked { details } => write!(
                f,
                "No agent for this process: internal error, {details}. Please report it; the app goes on without the agent."
            ),

            Self::UnknownRole { role } => write!(
                f,
                "This program is started without arguments, by the launcher of the app's image; '{role}' means nothing to it."
            ),

            Self::MalformedOrders { argument } => write!(
                f,
                "The supervisor got no usable {argument} argument. It is started by the exec.d program only."
            ),
            Self::Waiting { target } => {
                write!(f, "The agent starts when the app listens on {target}.")
            }
            Self::TookOver { target } => write!(
                f,
                "No other supervisor looks after {target} any more, so this one does."
            ),
            Self::AnotherListens { target } => write!(
                f,
                "This supervisor stands by: what listens on {target} is no process of its app, and other supervisors wait for it."
            ),
            Self::AppIsLate { target } => write!(
                f,
                "The app still does not listen on {target}, so no agent runs. A Unix socket, another port or another address does not \
                 count: let the app listen there, or set PORT or BACKPLANE_PROXY_URL to where it listens."
            ),
            Self::NoSignals { error } => write!(
                f,
                "The agent's end is noticed up to half a second late, and SIGTERM not at all, as the kernel gives no handle on \
                 signals ({error})."
            ),
            Self::SlowLooks { error } => write!(
                f,
                "Looking for the app's listener in /proc/net/tcp, as the kernel refuses to be asked by netlink ({error})."
            ),
            Self::Blind { error } => write!(
                f,
                "Whether the app listens cannot be seen here ({error}), so the agent is started without waiting for it."
            ),
            Self::AgentStarted { labels, url } => {
                write!(f, "The agent is started: {labels} to {url}.")
            }
            Self::AgentRecovered { ran_for, exits } => write!(
                f,
                "The agent is well again: it has run for {}, after {exits} quick exits in a row.",
                Rounded(*ran_for)
            ),
            Self::AgentExited {
                exit,
                pause: Some(pause),
            } => {
                write!(
                    f,
                    "The agent {exit}. It is started again in {}.",
                    Rounded(*pause)
                )
            }
            Self::AgentExited { exit, pause: None } => write!(f, "The agent {exit}."),
            Self::ManyQuickExits {
                exits,
                cause: Cause::Memory,
                ..
            } => write!(
                f,
                "The agent has now ended {exits} times in a row, mostly by SIGKILL. Usually memory is short, and the kernel kills the agent \
                 rather than the app. To see it, look for oom_kill in /sys/fs/cgroup/memory.events, OOMKilled in `docker inspect`, or \
                 `dmesg` on the host; then raise the memory limit. The app is not affected, and the agent goes on being tried."
            ),
            Self::ManyQuickExits {
                exits,
                cause,
                output_is_dropped,
            } => {
                let why = match cause {
                    Cause::Crash => "The program itself crashes, and another version of it may not",
                    Cause::Refusal | Cause::Memory => {
                        "Usually BACKPLANE_TOKEN or the labels are wrong, or its edge cannot be reached from here"
                    }
                };
                let how_to_see = if *output_is_dropped {
                    "to see the agent's own lines, which BACKPLANE_LOG=quiet drops, set BACKPLANE_LOG=info"
                } else {
                    "see the agent's own lines above"
                };
                write!(
                    f,
                    "The agent has now ended {exits} times in a row soon after its start. {why}: {how_to_see}. The app is not \
                     affected, and the agent goes on being tried, with a line here at most once a minute."
                )
            }
            Self::AppStoppedListening {
                target,
                stops_agent: false,
            } => write!(
                f,
                "The app no longer listens on {target}. The agent keeps running as long as the app's main process, because requests may be \
                 in flight and the app may listen again. If the app has crashed below that process, restart it."
            ),
            Self::AppStoppedListening {
                target,
                stops_agent: true,
            } => write!(
                f,
                "The app no longer listens on {target}. The agent is asked to finish its requests and end (BACKPLANE_DRAIN=stop)."
            ),
            Self::AppListensAgain { target } => write!(f, "The app listens on {target} again."),
            Self::AgentDrained { exit } => write!(
                f,
                "The agent {exit}. It is started again when the app listens again."
            ),
            Self::ToldToEnd => write!(
                f,
                "Told to end (SIGTERM): the agent goes on while the app does, but is not started again."
            ),
            Self::AppEnded { agent_runs: true } => {
                write!(f, "The app has ended; the agent is stopped.")
            }
            Self::AppEnded { agent_runs: false } => write!(f, "The app has ended."),
            Self::AppWaitsForSupervisor => write!(
                f,
                "The app waits for its child processes to end, and only this supervisor is left. It stops the agent and ends, so that the \
                 app can. If the app continues, it has no agent: to keep one, run an init such as tini as process 1."
            ),
            Self::AgentKilled => write!(
                f,
                "The agent has not ended in time after SIGTERM and is killed."
            ),
            Self::SupervisorFailed { error } => write!(
                f,
                "The supervisor cannot go on: poll failed ({error}). The agent is stopped; the app is not affected."
            ),
        }
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "ended with status {status}"),
            Self::Signal(signal) => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(name) => write!(f, "was ended by {name}"),
                Err(_) => write!(f, "was ended by signal {signal}"),
            },
            Self::Unknown => write!(f, "ended"),
            Self::NotRun(fault) => write!(f, "cannot be run: {fault}"),
            Self::NotStarted(error) => write!(f, "could not be started ({error})"),
        }
    }
}

impl Display for AgentFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "its file is gone"),
            Self::NotReadable(error) => write!(f, "its file cannot be read ({error})"),
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
                write!(f, "it was built for another processor than this one")
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
