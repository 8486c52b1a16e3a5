//! Whether an agent is started beside this process, and why not: rules that are tried in their order, of which the first that
//! fits wins.

use crate::binding::Binding;
use crate::environment::Environment;
use crate::labels::{self, Labels, LabelsError};
use crate::log::{Level, Verbosity};
use crate::messages::{Message, Note};
use crate::process_type;
use crate::settings::{Drain, Settings};
use crate::target::{self, Target};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Everything that the decision depends on.
pub(crate) struct Facts<'a> {
    pub(crate) environment: &'a Environment,
    /// The parent's argv\[0\], read while the parent still is the launcher.
    pub(crate) parent_argv0: Option<&'a OsStr>,
    /// Whether the image has a process of that name.
    pub(crate) process_exists: &'a dyn Fn(&str) -> bool,
    /// Whether the parent, which becomes the app, is the first process of its container, or one that this started as an init does.
    pub(crate) app_is_main: bool,
    /// Whether somebody sits at a terminal.
    pub(crate) has_terminal: bool,
    /// Reads the service binding below this folder. Called only where the variables do not suffice.
    pub(crate) read_binding: &'a dyn Fn(&Path) -> Binding,
    /// Where the agent would be; none where this program cannot tell.
    pub(crate) agent: Option<&'a Path>,
    /// Whether there is a file.
    pub(crate) is_file: &'a dyn Fn(&Path) -> bool,
}

/// What is decided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// None: no agent for this process.
    pub(crate) plan: Option<Plan>,
    /// What there is to say, in its order.
    pub(crate) notes: Vec<Note>,
    pub(crate) verbosity: Verbosity,
}

/// An agent to start and how to look after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) process_type: String,
    /// Whether the user most likely waits for the agent of this type of process, and so wants to read why there is none.
    pub(crate) is_expected: bool,
    pub(crate) labels: String,
    pub(crate) target: Target,
    pub(crate) agent: PathBuf,
    pub(crate) wait_for_app: bool,
    pub(crate) drain: Drain,
    /// The agent's whole environment, the token included.
    pub(crate) environment: Environment,
}

/// Decides by the rules.
pub(crate) fn decide(facts: &Facts) -> Decision {
    let (settings, problems) = Settings::read(facts.environment);
    let mut notes: Vec<Note> = problems.into_iter().map(Note::warning).collect();
    let plan = match plan(facts, &settings, &mut notes) {
        Ok(plan) => Some(plan),
        Err(Skip { reason, quietly }) => {
            if quietly {
                // Nobody who runs a one-off command wants to read about the agent that the web process has.
                for note in &mut notes {
                    note.level = Level::Debug;
                }
            }
            notes.push(reason);
            None
        }
    };
    Decision {
        plan,
        notes,
        verbosity: settings.verbosity,
    }
}

/// Why no agent is started.
struct Skip {
    reason: Note,
    /// Whether problems found on the way are of no interest either.
    quietly: bool,
}

fn quietly(message: Message) -> Skip {
    Skip {
        reason: Note::debug(message),
        quietly: true,
    }
}

fn because(reason: Note) -> Skip {
    Skip {
        reason,
        quietly: false,
    }
}

fn plan(facts: &Facts, settings: &Settings, notes: &mut Vec<Note>) -> Result<Plan, Skip> {
    if settings.disabled {
        return Err(quietly(Message::Disabled));
    }
    let mut credentials = Credentials::new(facts, settings);
    let process_type = process_type::determine(settings, facts.parent_argv0, facts.process_exists);
    let process_type = serving_type(facts, settings, process_type, &mut credentials)?;

    // A worker without a token or a port is nothing unusual; nobody wants to read of it at each of its boots.
    let is_expected = ["web", "www"].contains(&process_type.as_str())
        || settings
            .allowed_types
            .as_ref()
            .is_some_and(|allowed| allowed.contains(&process_type));
    let lacking = |message| {
        because(if is_expected {
            Note::warning(message)
        } else {
            Note::debug(message)
        })
    };

    let token = credentials.token();
    let labels = token.as_ref().and_then(|_| credentials.labels());
    notes.extend(credentials.problems());
    let token = token.ok_or_else(|| lacking(Message::NoToken))?;
    let labels = checked_labels(facts, settings, &process_type, labels.as_deref())?;
    let Some(labels) = labels else {
        let variable_of_type = labels::variable_of_type(&process_type);
        return Err(lacking(Message::NoLabels { variable_of_type }));
    };
    for label in labels.without_value {
        notes.push(Note::warning(Message::LabelWithoutValue { label }));
    }
    let target = checked_target(settings)?.ok_or_else(|| lacking(Message::NoTarget))?;
    let agent = facts.agent.ok_or_else(|| lacking(Message::UnknownLayer))?;
    if !(facts.is_file)(agent) {
        let path = agent.to_owned();
        return Err(lacking(Message::NoAgent { path }));
    }

    notes.push(Note::debug(Message::Starting {
        process_type: process_type.clone(),
        labels: labels.joined.clone(),
        target: target.to_string(),
    }));
    let folder = agent.parent().unwrap_or(Path::new("/"));
    Ok(Plan {
        process_type,
        is_expected,
        labels: labels.joined,
        target,
        agent: agent.to_owned(),
        wait_for_app: settings.wait_for_app,
        drain: settings.drain,
        environment: facts
            .environment
            .for_agent(folder, &settings.agent_variables, &token),
    })
}

/// The process type, if it is one that an agent is for.
fn serving_type(
    facts: &Facts,
    settings: &Settings,
    process_type: Option<String>,
    credentials: &mut Credentials,
) -> Result<String, Skip> {
    if let Some(process_type) = &process_type
        && settings.ignored_types.contains(process_type)
    {
        let process_type = process_type.clone();
        return Err(quietly(Message::IgnoredType { process_type }));
    }
    if let Some(allowed) = &settings.allowed_types {
        return process_type
            .clone()
            .filter(|process_type| allowed.contains(process_type))
            .ok_or_else(|| quietly(Message::NotAllowedType { process_type }));
    }
    if settings.is_test_run {
        return Err(quietly(Message::TestRun));
    }
    match process_type {
        Some(process_type) if process_type::is_one_off(&process_type) => {
            Err(quietly(Message::OneOff {
                process_type: Some(process_type),
            }))
        }
        Some(process_type) => Ok(process_type),
        // Most likely a container whose entry point hides the process type; `docker run -it IMAGE bash` has a terminal, and a job
        // has no port.
        None if facts.app_is_main
            && !facts.has_terminal
            && (settings.port.is_some() || settings.proxy_url.is_some())
            && credentials.token().is_some() =>
        {
            Err(Skip {
                reason: Note::info(Message::UnknownType),
                quietly: true,
            })
        }
        None => Err(quietly(Message::OneOff { process_type: None })),
    }
}

/// Token and common labels, by variable or else by service binding, which is read when first needed.
struct Credentials<'a> {
    facts: &'a Facts<'a>,
    settings: &'a Settings,
    binding: Option<Binding>,
}

impl<'a> Credentials<'a> {
    fn new(facts: &'a Facts<'a>, settings: &'a Settings) -> Self {
        let binding = None;
        Self {
            facts,
            settings,
            binding,
        }
    }

    fn token(&mut self) -> Option<OsString> {
        self.settings
            .token
            .clone()
            .or_else(|| self.binding().token.clone())
    }

    fn labels(&mut self) -> Option<OsString> {
        self.settings
            .labels
            .clone()
            .or_else(|| self.binding().labels.clone())
    }

    fn binding(&mut self) -> &Binding {
        self.binding.get_or_insert_with(|| {
            let root = self.facts.environment.get("SERVICE_BINDING_ROOT");
            (self.facts.read_binding)(Path::new(
                root.unwrap_or(OsStr::new(crate::binding::DEFAULT_ROOT)),
            ))
        })
    }

    fn problems(self) -> impl Iterator<Item = Note> {
        let unreadable = self
            .binding
            .into_iter()
            .flat_map(|binding| binding.unreadable);
        unreadable.map(|entry| {
            Note::warning(Message::BindingUnreadable {
                path: entry.path,
                error: entry.error.to_string(),
            })
        })
    }
}

fn checked_labels(
    facts: &Facts,
    settings: &Settings,
    process_type: &str,
    common: Option<&OsStr>,
) -> Result<Option<Labels>, Skip> {
    let of_type = facts
        .environment
        .get(labels::variable_of_type(process_type));
    labels::join(&[common, of_type], settings.dyno.is_some()).map_err(|error| {
        because(Note::warning(match error {
            LabelsError::StartsWithDash(label) => Message::LabelStartsWithDash { label },
            LabelsError::ControlCharacter(label) => Message::LabelWithControlCharacter { label },
            LabelsError::NotUtf8(label) => Message::LabelNotUtf8 { label },
        }))
    })
}

fn checked_target(settings: &Settings) -> Result<Option<Target>, Skip> {
    if let Some(url) = &settings.proxy_url {
        let target = Target::from_url(url).map_err(|error| {
            let url = target::redacted(&url.to_string_lossy());
            because(Note::warning(Message::MalformedProxyUrl { url, error }))
        });
        return target.map(Some);
    }
    let Some(port) = &settings.port else {
        return Ok(None);
    };
    let target = Target::from_port(port).map_err(|_| {
        let value = port.to_string_lossy().into_owned();
        because(Note::warning(Message::MalformedPort { value }))
    });
    target.map(Some)
}

#[cfg(test)]
mod tests;
