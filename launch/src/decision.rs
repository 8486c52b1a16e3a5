//! Whether an agent is started beside this process, and why not: rules that are tried in their
//! order, of which the first that applies wins.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sidecar::{Drain, Environment, Level, Upstream, Verbosity};

use crate::agent_environment;
use crate::binding::Binding;
use crate::labels::{self, Labels, LabelsError};
use crate::messages::{LogEntry, Message};
use crate::process_type;
use crate::settings::Settings;

/// Everything that the decision depends on.
pub(crate) struct Inputs<'a> {
    pub(crate) environment: &'a Environment,
    /// The process type by the name of the launcher.
    pub(crate) launcher_type: Option<&'a str>,
    /// Whether the process is the first of its container, or one that the first started as an init
    /// does.
    pub(crate) is_main: bool,
    /// Whether a person at a terminal started it.
    pub(crate) has_terminal: bool,
    /// Reads the service binding below this directory. Called only if the variables do not suffice.
    pub(crate) read_binding: &'a dyn Fn(&Path) -> Binding,
    /// Reads the file of a token.
    pub(crate) read_token: &'a dyn Fn(&Path) -> io::Result<OsString>,
    /// Where the agent would be. `None` if this program cannot tell.
    pub(crate) agent: Option<&'a Path>,
    /// Whether there is a file.
    pub(crate) is_file: &'a dyn Fn(&Path) -> bool,
}

/// What is decided.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Decision {
    /// `None`: no agent for this process.
    pub(crate) plan: Option<Plan>,
    /// What to log, in this order.
    pub(crate) log: Vec<LogEntry>,
    pub(crate) verbosity: Verbosity,
}

/// An agent to start, and how to supervise it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    pub(crate) process_type: String,
    /// Whether the user most likely expects an agent for this type of process, and so wants to read
    /// why there is none.
    pub(crate) is_expected: bool,
    pub(crate) labels: String,
    pub(crate) upstream: Upstream,
    pub(crate) agent: PathBuf,
    pub(crate) wait_for_app: bool,
    pub(crate) drain: Drain,
    pub(crate) stop_timeout: Duration,
    /// The file that the token came from.
    pub(crate) token_path: Option<PathBuf>,
    /// The agent's whole environment, the token included.
    pub(crate) environment: Environment,
}

/// Decides by the rules.
pub(crate) fn decide(inputs: &Inputs) -> Decision {
    let (settings, problems) = Settings::read(inputs.environment);
    let mut log: Vec<LogEntry> = problems.into_iter().map(LogEntry::warning).collect();
    let plan = match plan(inputs, &settings, &mut log) {
        Ok(plan) => Some(plan),
        Err(Skip { reason, is_silent }) => {
            if is_silent {
                // A user who runs a one-off command does not want to read about the agent of the
                // web process.
                for entry in &mut log {
                    entry.level = Level::Debug;
                }
            }
            log.push(reason);
            None
        }
    };
    Decision {
        plan,
        log,
        verbosity: settings.verbosity,
    }
}

/// Why no agent is started.
struct Skip {
    reason: LogEntry,
    /// Whether problems found on the way are of no interest either.
    is_silent: bool,
}

fn skip_silently(message: Message) -> Skip {
    Skip {
        reason: LogEntry::debug(message),
        is_silent: true,
    }
}

fn skip(reason: LogEntry) -> Skip {
    Skip {
        reason,
        is_silent: false,
    }
}

fn plan(inputs: &Inputs, settings: &Settings, log: &mut Vec<LogEntry>) -> Result<Plan, Skip> {
    if settings.disabled {
        return Err(skip_silently(Message::Disabled));
    }
    let mut credentials = Credentials::new(inputs, settings);
    let process_type = process_type::determine(settings, inputs.launcher_type);
    let process_type = serving_type(inputs, settings, process_type, &mut credentials)?;

    // A worker without a token or a port is usual: a line at each of its boots would be noise.
    let is_expected = ["web", "www"].contains(&process_type.as_str())
        || settings
            .allowed_types
            .as_ref()
            .is_some_and(|allowed| allowed.contains(&process_type));
    let missing = |message| {
        skip(if is_expected {
            LogEntry::warning(message)
        } else {
            LogEntry::debug(message)
        })
    };

    let token = credentials.token();
    let labels = token.as_ref().and_then(|_| credentials.labels());
    log.extend(credentials.problems());
    let token = token.ok_or_else(|| missing(Message::NoToken))?;
    let labels = checked_labels(inputs, settings, &process_type, labels.as_deref())?;
    for (label, variable) in labels.iter().flat_map(|labels| &labels.left_out) {
        let (label, variable) = (label.clone(), variable.clone());
        log.push(LogEntry::warning(Message::LabelLeftOut { label, variable }));
    }
    let Some(labels) = labels.filter(|labels| !labels.joined.is_empty()) else {
        let variable_of_type = labels::variable_of_type(&process_type);
        return Err(missing(Message::NoLabels { variable_of_type }));
    };
    for label in labels.without_value {
        log.push(LogEntry::warning(Message::LabelWithoutValue { label }));
    }
    let upstream = settings
        .upstream()
        .ok_or_else(|| missing(Message::NoUpstream))?
        .map_err(|message| skip(LogEntry::warning(message)))?;
    let agent = inputs.agent.ok_or_else(|| missing(Message::UnknownLayer))?;
    if !(inputs.is_file)(agent) {
        let path = agent.to_owned();
        return Err(missing(Message::NoAgent { path }));
    }

    log.push(LogEntry::debug(Message::Starting {
        process_type: process_type.clone(),
        labels: labels.joined.clone(),
        upstream: upstream.to_string(),
    }));
    let directory = agent.parent().unwrap_or(Path::new("/"));
    let extra = &settings.agent_variables;
    Ok(Plan {
        process_type,
        is_expected,
        labels: labels.joined,
        upstream,
        agent: agent.to_owned(),
        wait_for_app: settings.wait_for_app,
        drain: settings.drain,
        stop_timeout: settings.stop_timeout,
        environment: agent_environment::of_agent(
            inputs.environment,
            directory,
            extra,
            &token.value,
        ),
        token_path: token.path,
    })
}

/// The process type, if it is one that an agent is for.
fn serving_type(
    inputs: &Inputs,
    settings: &Settings,
    process_type: Option<String>,
    credentials: &mut Credentials,
) -> Result<String, Skip> {
    if let Some(process_type) = &process_type
        && settings.ignored_types.contains(process_type)
    {
        let process_type = process_type.clone();
        return Err(skip_silently(Message::IgnoredType { process_type }));
    }
    if let Some(allowed) = &settings.allowed_types {
        return process_type
            .clone()
            .filter(|process_type| allowed.contains(process_type))
            .ok_or_else(|| skip_silently(Message::NotAllowedType { process_type }));
    }
    if let Some(variable) = settings.test_run {
        return Err(skip_silently(Message::TestRun { variable }));
    }
    match process_type {
        Some(process_type) if process_type::is_one_off(&process_type) => {
            Err(skip_silently(Message::OneOff {
                process_type: Some(process_type),
            }))
        }
        Some(process_type) => Ok(process_type),
        // Most likely a container whose entry point hides the process type; `docker run -it IMAGE
        // bash` has a terminal, and a job has no port.
        None if inputs.is_main
            && !inputs.has_terminal
            && (settings.port.is_some() || settings.proxy_url.is_some())
            && credentials.token().is_some() =>
        {
            Err(Skip {
                reason: LogEntry::info(Message::UnknownType),
                is_silent: true,
            })
        }
        None => Err(skip_silently(Message::OneOff { process_type: None })),
    }
}

/// A token, and the file that it came from.
#[derive(Clone)]
struct Token {
    value: OsString,
    path: Option<PathBuf>,
}

/// Token and common labels, by variable, by file or else by service binding. Files are read when
/// first needed.
struct Credentials<'a> {
    inputs: &'a Inputs<'a>,
    settings: &'a Settings,
    token_file: Option<io::Result<OsString>>,
    binding: Option<Binding>,
}

impl<'a> Credentials<'a> {
    fn new(inputs: &'a Inputs<'a>, settings: &'a Settings) -> Self {
        Self {
            inputs,
            settings,
            token_file: None,
            binding: None,
        }
    }

    fn token(&mut self) -> Option<Token> {
        if let Some(value) = self.settings.token.clone() {
            return Some(Token { value, path: None });
        }
        self.token_of_file().or_else(|| {
            let binding = self.binding();
            Some(Token {
                value: binding.token.clone()?,
                path: binding.token_path.clone(),
            })
        })
    }

    fn token_of_file(&mut self) -> Option<Token> {
        let path = self.settings.token_file.as_ref()?;
        let read = || (self.inputs.read_token)(path);
        let value = self.token_file.get_or_insert_with(read).as_ref().ok()?;
        (!value.is_empty()).then(|| Token {
            value: value.clone(),
            path: Some(path.clone()),
        })
    }

    fn labels(&mut self) -> Option<OsString> {
        self.settings
            .labels
            .clone()
            .or_else(|| self.binding().labels.clone())
    }

    fn binding(&mut self) -> &Binding {
        self.binding.get_or_insert_with(|| {
            let root = self.inputs.environment.get("SERVICE_BINDING_ROOT");
            (self.inputs.read_binding)(Path::new(
                root.unwrap_or(OsStr::new(crate::binding::DEFAULT_ROOT)),
            ))
        })
    }

    fn problems(self) -> impl Iterator<Item = LogEntry> {
        let unreadable = self
            .binding
            .into_iter()
            .flat_map(|binding| binding.unreadable);
        let unreadable = unreadable.map(|entry| Message::BindingUnreadable {
            path: entry.path,
            error: entry.error.to_string(),
        });
        let path = self.settings.token_file.clone();
        let error = self.token_file.and_then(Result::err);
        let token_file = path.zip(error).map(|(path, error)| {
            let error = error.to_string();
            Message::TokenFileUnreadable { path, error }
        });
        token_file
            .into_iter()
            .chain(unreadable)
            .map(LogEntry::warning)
    }
}

fn checked_labels(
    inputs: &Inputs,
    settings: &Settings,
    process_type: &str,
    common: Option<&OsStr>,
) -> Result<Option<Labels>, Skip> {
    let of_type = inputs
        .environment
        .get(labels::variable_of_type(process_type));
    let value = |name: &str| match name {
        // It would be an argument of the agent, which every user can read.
        "BACKPLANE_TOKEN" => None,
        "BACKPLANE_PROCESS_TYPE" => Some(process_type),
        _ => inputs.environment.get(name)?.to_str(),
    };
    labels::join(&[common, of_type], settings.dyno.is_some(), &value).map_err(|error| {
        skip(LogEntry::warning(match error {
            LabelsError::StartsWithDash(label) => Message::LabelStartsWithDash { label },
            LabelsError::ControlCharacter(label) => Message::LabelWithControlCharacter { label },
            LabelsError::NotUtf8(label) => Message::LabelNotUtf8 { label },
        }))
    })
}

#[cfg(test)]
mod tests;
