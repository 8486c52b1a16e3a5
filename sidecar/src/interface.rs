//! The interface between this crate and a buildpack: the questions to the buildpack, and its
//! description of the agent.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::environment::Environment;
use crate::limits;
use crate::lock::LockName;
use crate::log::{LogEntry, Verbosity};
use crate::upstream::Upstream;

/// A process that a buildpack runs beside the app.
pub trait Sidecar {
    /// A short name in lower case: what log lines start with, what the lock is named for, and the
    /// first part of the names of the status, drain and run programs.
    const NAME: &'static str;

    /// What a user can do about trouble with this agent.
    const HINTS: Hints = Hints::GENERAL;

    /// Decides whether the process of the app that is about to start gets an agent. The boot of the
    /// app waits for it: it must not block.
    fn decide(&self, process: &Process<'_>) -> Decision;

    /// How a program beside the supervisor finds it, in a process with this environment. The `layer`
    /// is as in [`Process`]. `None` if the environment does not determine it.
    fn connection(&self, environment: &Environment, layer: Option<&Path>) -> Option<Connection>;
}

/// Facts for the programs that talk to a supervisor: those that report its status, drain its agent,
/// and run the app's command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// The address of the app.
    pub upstream: Upstream,
    /// Which ends first: with [`Drain::Stop`] the agent, with [`Drain::Keep`] the app.
    pub drain: Drain,
    /// How long the agent may take to finish its requests.
    pub stop_timeout: Duration,
}

impl Connection {
    /// The supervisor of the app at this address, with the defaults.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            drain: Drain::default(),
            stop_timeout: limits::STOP_TIMEOUT,
        }
    }

    pub(crate) fn lock_name(&self, definition: Definition) -> LockName {
        LockName::new(definition.name, &self.upstream)
    }
}

/// A process of the app that is about to start.
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    /// The environment that it will have.
    pub environment: &'a Environment,
    /// The process type by the name of the launcher. `None` if the launcher was called by its own
    /// name, such as for a one-off command, or `/proc` is not readable.
    pub launcher_type: Option<&'a str>,
    /// The directory of the layer that the exec.d program is in. `None` if the program cannot determine
    /// it.
    pub layer: Option<&'a Path>,
    /// Whether the process is the first of its container, or one that the first started as an init
    /// does.
    pub is_main: bool,
    /// Whether a person at a terminal started it.
    pub has_terminal: bool,
}

/// What a buildpack decides for a process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// What to log, in this order.
    pub log: Vec<LogEntry>,
    /// How much to log.
    pub verbosity: Verbosity,
    /// The agent to start, if any.
    pub start: Option<Spec>,
}

/// An agent, and how to supervise it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spec {
    /// The full path of the agent's program.
    pub program: PathBuf,
    /// Its arguments. Every user of the machine can read them: no secret belongs in them.
    pub args: Vec<Arg>,
    /// Its whole environment.
    pub environment: Environment,
    /// Variables of the agent whose values are the contents of files, read at each start of the
    /// agent, so that it has a secret that was rotated. `environment` has their values at the start
    /// of the app.
    pub value_files: Vec<(OsString, PathBuf)>,
    /// The address of the app. There is one agent for each address in a network namespace.
    pub upstream: Upstream,
    /// The name of this agent in the log, before the address of the app, such as its labels.
    pub title: String,
    /// Whether the agent starts only when the app listens. An agent for an app on another host
    /// starts at once in any case.
    pub wait_for_app: bool,
    /// A path of the app, such as `/healthz`: once the app listens, the agent starts only when a GET
    /// of it is answered with a status below 400. For an app with `http` on this host.
    pub ready_path: Option<String>,
    /// A URL of the agent's own on this host, with `http`: an agent that does not answer a GET of it
    /// with a status below 400 several times in a row is replaced.
    pub health_url: Option<Upstream>,
    /// What to do with the agent while a living app does not listen.
    pub drain: Drain,
    /// How long the agent may take to exit after SIGTERM until it is killed.
    pub stop_timeout: Duration,
    /// Whether SIGTERM does not end the agent, so that it outlives one that is sent to every process
    /// at once. When the app has exited, it has a second for its last responses.
    pub outlives_sigterm: bool,
    /// The most memory in bytes that the agent and its children may occupy: an agent that takes more
    /// is replaced.
    pub memory_limit: Option<u64>,
    /// Whether the user most likely expects an agent, and so wants to read in the log why there is
    /// none.
    pub is_expected: bool,
    /// Further fields of the status report. A value of `None` is `null` in JSON.
    pub info: Vec<(String, Option<String>)>,
}

impl Spec {
    /// An agent that starts with the URL of the app as its only argument, with an empty environment,
    /// and with the defaults of everything else.
    #[must_use]
    pub fn new(program: PathBuf, upstream: Upstream) -> Self {
        Self {
            program,
            args: vec![Arg::AppUrl],
            environment: Environment::default(),
            value_files: Vec::new(),
            upstream,
            title: "the agent".to_owned(),
            wait_for_app: true,
            ready_path: None,
            health_url: None,
            drain: Drain::default(),
            stop_timeout: limits::STOP_TIMEOUT,
            outlives_sigterm: false,
            memory_limit: None,
            is_expected: true,
            info: Vec::new(),
        }
    }
}

/// An argument of the agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Arg {
    /// The argument itself.
    Text(OsString),
    /// The URL of the app, by the loopback address that the app listens on.
    AppUrl,
}

/// What to do with the agent while the app is alive but does not listen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Drain {
    /// Leave the agent alone, so that requests in flight finish.
    #[default]
    Keep,
    /// Send the agent SIGTERM, for agents that finish their requests and exit then.
    Stop,
}

/// What a user can do about trouble, in sentences without a full stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hints {
    /// Why an agent usually exits soon after its start, again and again.
    pub quick_exits: &'static str,
    /// How to see the agent's own output if [`Verbosity::Quiet`] drops it.
    pub show_output: &'static str,
    /// How to change the address at which the app is expected.
    pub upstream: &'static str,
}

impl Hints {
    /// Hints that fit any agent.
    pub const GENERAL: Self = Self {
        quick_exits: "Usually its settings are wrong, or its server cannot be reached",
        show_output: "To see the agent's own lines, raise the log level",
        upstream: "change the agent's settings",
    };
}

/// The constants of a sidecar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) hints: Hints,
}

impl Definition {
    pub(crate) fn of<S: Sidecar>() -> Self {
        Self {
            name: S::NAME,
            hints: S::HINTS,
        }
    }
}
