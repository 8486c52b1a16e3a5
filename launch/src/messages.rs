//! All texts of a decision for the user, whose deploy may have just failed: what happened, to what,
//! and what to do now.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use sidecar::UrlError;

/// A message about a decision.
#[derive(Clone, Debug, Eq, PartialEq)]
#[rustfmt::skip]
pub(crate) enum Message {
    MalformedSetting { name: &'static str, value: String, wanted: Vec<&'static str>, taken: &'static str },
    MalformedBytes { name: &'static str, value: String },
    MalformedPath { name: &'static str, value: String },
    MalformedLocalUrl { name: &'static str, value: String },
    ReadyPathUnused,
    MalformedSeconds { name: &'static str, value: String, max: u64, taken: u64 },
    Disabled,
    IgnoredType { process_type: String },
    NotAllowedType { process_type: Option<String> },
    OneOff { process_type: Option<String> },
    TestRun { variable: &'static str },
    UnknownType,
    BindingUnreadable { path: PathBuf, error: String },
    TokenFileUnreadable { path: PathBuf, error: String },
    NoToken,
    NoLabels { variable_of_type: String },
    LabelStartsWithDash { label: String },
    LabelWithControlCharacter { label: String },
    LabelNotUtf8 { label: String },
    LabelWithoutValue { label: String },
    LabelLeftOut { label: String, variable: String },
    NoUpstream,
    MalformedPort { value: String },
    MalformedProxyUrl { url: String, error: UrlError },
    UnknownLayer,
    NoAgent { path: PathBuf },
    MissingVariables { names: Vec<String> },
    Starting { process_type: String, labels: String, upstream: String },
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

            Self::MalformedSeconds {
                name,
                value,
                max,
                taken,
            } => write!(
                f,
                "{name} is '{value}', which is not a whole number of seconds from 1 to {max}. Using {taken}."
            ),

            Self::MalformedBytes { name, value } => write!(
                f,
                "{name} is '{value}', which is not a number of bytes such as 256M. The agent's memory is not limited."
            ),
            Self::MalformedPath { name, value } => write!(
                f,
                "{name} is '{value}', which is not a path such as /healthz. Not using it."
            ),
            Self::MalformedLocalUrl { name, value } => write!(
                f,
                "{name} is '{value}', which is not an http URL of this host, such as http://127.0.0.1:7400/healthz. Not using it."
            ),
            Self::ReadyPathUnused => write!(
                f,
                "BACKPLANE_READY_PATH is not used: the app is at an https URL or on another host, or BACKPLANE_WAIT_FOR_APP is false."
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
            Self::TestRun { variable } => write!(
                f,
                "No agent for this process: this is a test run, by {variable}. To get one nevertheless, add the process type to \
                 BACKPLANE_PROCESS_ALLOW."
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
            Self::TokenFileUnreadable { path, error } => write!(
                f,
                "Unable to read the token in {} ({error}). Check BACKPLANE_TOKEN_FILE and the file's mode and owner.",
                path.display()
            ),
            Self::NoToken => write!(
                f,
                "No agent for this process: it has no token. Set BACKPLANE_TOKEN or BACKPLANE_TOKEN_FILE, or bind a service of type \
                 backplane."
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
            Self::LabelLeftOut { label, variable } => write!(
                f,
                "The label '{label}' is left out: {variable} is unset or empty, or its value cannot be part of a label. Set it, or \
                 change the label in BACKPLANE_LABELS."
            ),
            Self::NoUpstream => write!(
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
                    UrlError::NotPlainText => {
                        "a URL must not contain spaces, control characters or bytes that are not UTF-8"
                    }
                    UrlError::Scheme => "it must start with http:// or https://",
                    UrlError::UserInfo => {
                        "it must not contain a user name or password, which others could read in the agent's arguments (write %40 \
                         for any other @)"
                    }
                    UrlError::Host => "its host is neither a name nor an IP address",
                    UrlError::Port => "its port is not a number from 1 to 65535",
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
            Self::MissingVariables { names } => write!(
                f,
                "No agent for this process: {} {} not set, which the installed agent requires. Set {}, and start the app again.",
                names.join(" and "),
                if names.len() == 1 { "is" } else { "are" },
                if names.len() == 1 { "it" } else { "them" },
            ),
            Self::Starting {
                process_type,
                labels,
                upstream,
            } => {
                write!(
                    f,
                    "Starting the supervisor for {process_type} (labels {labels}, target {upstream})."
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
