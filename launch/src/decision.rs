//! The decision whether an agent is started beside this process: rules that are tried in their order,
//! of which the first that applies wins.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use sidecar::{Arg, Decision, Drain, Level, LogEntry, Process, Spec};

use crate::agent_environment;
use crate::binding::Binding;
use crate::labels::{self, Labels};
use crate::messages::Message;
use crate::process_type;
use crate::settings::Settings;
use crate::variables::Variables;

const LABELS: &str = "BACKPLANE_LABELS";

/// Everything that the decision depends on.
pub(crate) struct Inputs<'a> {
    pub(crate) process: &'a Process<'a>,
    /// Reads the service binding below this directory. Called only if the variables do not suffice.
    pub(crate) read_binding: &'a dyn Fn(&Path) -> Binding,
    /// Reads the file of a token. An empty one is an error.
    pub(crate) read_token: &'a dyn Fn(&Path) -> io::Result<OsString>,
    /// Whether there is a file.
    pub(crate) is_file: &'a dyn Fn(&Path) -> bool,
    /// Reads the checksum of the agent in this layer.
    pub(crate) read_checksum: &'a dyn Fn(&Path) -> Option<String>,
    /// Reads the variables of the agent in this layer.
    pub(crate) read_variables: &'a dyn Fn(&Path) -> Variables,
}

/// Decides by the rules.
pub(crate) fn decide(inputs: &Inputs) -> Decision {
    let variables = inputs.process.layer.map(inputs.read_variables);
    let variables = variables.unwrap_or_default();
    let environment = variables.complete(inputs.process.environment);
    let set_labels = inputs.process.environment.get(LABELS).map(OsStr::to_owned);
    let process = Process {
        environment: &environment,
        ..*inputs.process
    };
    let inputs = &Inputs {
        process: &process,
        ..*inputs
    };
    let (mut settings, problems) = Settings::read(&environment);
    // A binding's labels come before the agent's default.
    settings.labels = set_labels;
    let mut log: Vec<LogEntry> = problems.iter().map(LogEntry::warning).collect();
    let start = match plan(inputs, &settings, &variables, &mut log) {
        Ok(spec) => Some(spec),
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
        log,
        verbosity: settings.verbosity,
        start,
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

fn plan(
    inputs: &Inputs,
    settings: &Settings,
    variables: &Variables,
    log: &mut Vec<LogEntry>,
) -> Result<Spec, Skip> {
    if settings.disabled {
        return Err(skip_silently(Message::Disabled));
    }
    let mut credentials = Credentials {
        inputs,
        settings,
        token_file: None,
        binding: None,
    };
    let process_type = process_type::determine(settings, inputs.process.launcher_type);
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
    let labels = credentials.labels();
    log.extend(credentials.problems().iter().map(LogEntry::warning));
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
    let is_usable = settings.wait_for_app && upstream.is_local_http();
    let ready_path = settings.ready_path.clone().filter(|_| is_usable);
    if settings.ready_path.is_some() && !is_usable {
        log.push(LogEntry::warning(Message::ReadyPathUnused));
    }
    let layer = inputs.process.layer;
    let layer = layer.ok_or_else(|| missing(Message::UnknownLayer))?;
    let programs = layer.join("libexec");
    let path = programs.join("backplane");
    if !(inputs.is_file)(&path) {
        return Err(missing(Message::NoAgent { path }));
    }
    let names = variables.missing(inputs.process.environment);
    if !names.is_empty() {
        return Err(missing(Message::MissingVariables { names }));
    }

    log.push(LogEntry::debug(Message::Starting {
        process_type: process_type.clone(),
        labels: labels.joined.clone(),
        upstream: upstream.to_string(),
    }));
    let extra = &settings.agent_variables;
    Ok(Spec {
        program: path,
        args: vec![
            Arg::Text("connect".into()),
            Arg::Text(labels.joined.clone().into()),
            Arg::AppUrl,
        ],
        environment: agent_environment::of_agent(
            inputs.process.environment,
            &programs,
            extra,
            &token.value,
        ),
        value_files: token
            .path
            .map(|path| (OsString::from("BACKPLANE_TOKEN"), path))
            .into_iter()
            .collect(),
        upstream,
        title: labels.joined.clone(),
        wait_for_app: settings.wait_for_app,
        ready_path,
        health_url: settings.health_url.clone(),
        drain: settings.drain,
        stop_timeout: settings.stop_timeout,
        // Cedar sends SIGTERM to every process of a dyno at once. Nothing tells it from Fir here.
        outlives_sigterm: settings.dyno.is_some() && settings.drain == Drain::Keep,
        memory_limit: settings.memory_limit,
        is_expected,
        info: vec![
            ("process_type".to_owned(), Some(process_type)),
            ("labels".to_owned(), Some(labels.joined)),
            ("agent_sha256".to_owned(), (inputs.read_checksum)(layer)),
        ],
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
        None if inputs.process.is_main
            && !inputs.process.has_terminal
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

impl Credentials<'_> {
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
        Some(Token {
            value: value.clone(),
            path: Some(path.clone()),
        })
    }

    fn labels(&mut self) -> Option<OsString> {
        let set = self.settings.labels.clone();
        let default = || self.inputs.process.environment.get(LABELS);
        set.or_else(|| self.binding().labels.clone())
            .or_else(|| default().map(OsStr::to_owned))
    }

    /// The files that could not be read.
    fn problems(&self) -> Vec<Message> {
        let path = self.settings.token_file.clone();
        let result = self.token_file.as_ref();
        let error = result.and_then(|result| Some(result.as_ref().err()?.to_string()));
        let token_file = path
            .zip(error)
            .map(|(path, error)| Message::TokenFileUnreadable { path, error });
        let binding = self.binding.iter().flat_map(|binding| &binding.unreadable);
        token_file.into_iter().chain(binding.cloned()).collect()
    }

    fn binding(&mut self) -> &Binding {
        self.binding
            .get_or_insert_with(|| (self.inputs.read_binding)(&self.settings.binding_root))
    }
}

fn checked_labels(
    inputs: &Inputs,
    settings: &Settings,
    process_type: &str,
    common: Option<&OsStr>,
) -> Result<Option<Labels>, Skip> {
    let variable = labels::variable_of_type(process_type);
    let of_type = inputs.process.environment.get(variable);
    let value = |name: &str| match name {
        // It would be an argument of the agent, which every user can read.
        "BACKPLANE_TOKEN" => None,
        "BACKPLANE_PROCESS_TYPE" => Some(process_type),
        _ => inputs.process.environment.get(name)?.to_str(),
    };
    labels::join(&[common, of_type], settings.dyno.is_some(), &value)
        .map_err(|message| skip(LogEntry::warning(message)))
}

#[cfg(test)]
mod tests;
