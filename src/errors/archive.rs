//! Downloads that hold no agent.

use bytesize::ByteSize;

use super::{Closing, ErrorMessage};
use crate::archive::{AGENT, ArchiveError};
use crate::redact::Redacted;

/// What is wrong with an archive, as a clause.
pub(super) fn clause(error: &ArchiveError) -> String {
    match error {
        ArchiveError::NotAnAgent { found } => format!(
            "it is neither an archive nor an executable, but {}",
            found.describe()
        ),
        ArchiveError::Damaged { reason } => {
            format!("the archive is truncated or damaged ({reason})")
        }
        ArchiveError::TooLarge { limit } => {
            format!("the archive unpacks to more than {}", ByteSize(*limit))
        }
        ArchiveError::TooManyEntries { limit } => {
            format!("the archive has more than {limit} entries")
        }
        ArchiveError::PathTooLong => "the archive has a path that is too long".to_owned(),
        ArchiveError::NoAgent { names } if names.is_empty() => {
            format!("the archive has no regular file '{AGENT}', nor any other")
        }
        ArchiveError::NoAgent { names } => format!(
            "the archive has no regular file '{AGENT}', but {}",
            names.join(", ")
        ),
        ArchiveError::SeveralAgents { paths } => {
            format!("the archive has more than one agent: {}", paths.join(", "))
        }
        ArchiveError::RepeatedName { name } => {
            format!("the archive has the file '{name}' twice")
        }
        ArchiveError::ReservedName { name } => {
            format!("the archive has a file '{name}', a name of this buildpack's own")
        }
        ArchiveError::UnusableName { name } => {
            format!("the archive has a file with the unusable name '{name}'")
        }
        ArchiveError::NotExecutable { found } => format!(
            "'{AGENT}' is neither an ELF program nor a script with #!, but {}",
            found.describe()
        ),
        ArchiveError::WrongArchitecture {
            name,
            found,
            target,
        } => format!("'{name}' is {}, which {target} can't run", found.describe()),
        ArchiveError::Read(error) => format!("the download can't be read again ({error})"),
        ArchiveError::Write(error) => format!("its files can't be written ({error})"),
    }
}

pub(super) fn message(source: &Redacted, error: &ArchiveError) -> ErrorMessage {
    let (id, advice, closing) = match error {
        ArchiveError::NotAnAgent { .. } => (
            "archive/not-an-agent",
            "Open the source in a browser: it may be a page that asks for a login or\n\
             tells of an error. It must be the agent's archive (tar, or tar with\n\
             gzip) or its executable.",
            Closing::Nothing,
        ),
        ArchiveError::Damaged { .. } => (
            "archive/damaged",
            "Check the file at the source, for example with tar -tzf.",
            Closing::TryAgain,
        ),
        ArchiveError::TooLarge { .. } => (
            "archive/too-large",
            "Check that BACKPLANE_AGENT_URL names the agent's archive, and not that\n\
             of something else.",
            Closing::Nothing,
        ),
        ArchiveError::TooManyEntries { .. } => (
            "archive/too-many-entries",
            "Check that BACKPLANE_AGENT_URL names the agent's archive, and not that\n\
             of something else.",
            Closing::Nothing,
        ),
        ArchiveError::NoAgent { .. } => (
            "archive/no-agent",
            "The archive must hold the agent's executable under the name\n\
             'backplane', in any folder.",
            Closing::Nothing,
        ),
        ArchiveError::SeveralAgents { .. } | ArchiveError::RepeatedName { .. } => (
            "archive/ambiguous",
            "Publish an archive that holds the agent and its files once.",
            Closing::Nothing,
        ),
        ArchiveError::ReservedName { .. }
        | ArchiveError::UnusableName { .. }
        | ArchiveError::PathTooLong => (
            "archive/name",
            "Publish an archive without that file, or with another name for it.",
            Closing::Nothing,
        ),
        ArchiveError::NotExecutable { .. } => (
            "archive/not-executable",
            "Publish an archive in which 'backplane' is a Linux program, or a script\n\
             that begins with the line #!/bin/sh, for example.",
            Closing::Nothing,
        ),
        ArchiveError::WrongArchitecture { .. } => (
            "archive/wrong-architecture",
            "Use an agent for the platform of the image. {os} and {arch} in\n\
             BACKPLANE_AGENT_URL stand for that platform.",
            Closing::Nothing,
        ),
        ArchiveError::Read(_) | ArchiveError::Write(_) => (
            "archive/write",
            "Check that the machine that builds has free disk space.",
            Closing::Report,
        ),
    };
    ErrorMessage {
        id,
        header: "Unable to install the agent",
        body: format!(
            "There is nothing to install in what came from\n\n{source}\n\nReason: {}.\n\n{advice}",
            clause(error)
        ),
        details: None,
        closing,
    }
}
