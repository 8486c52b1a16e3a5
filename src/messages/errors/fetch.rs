//! Fetches that fail.

use bytesize::ByteSize;

use super::http;
use super::message::{ErrorMessage, FREE_DISK_SPACE, NextStep};
use crate::fetch::FetchError;
use crate::redact::Redacted;

/// What is wrong with a fetch, as a clause.
pub(super) fn clause(error: &FetchError) -> String {
    match error {
        FetchError::Http(error) => http::clause(error),
        FetchError::ReadSource(error) => format!("the file can't be read ({error})"),
        FetchError::NotAFile => "it isn't a file".to_owned(),
        FetchError::OutsideApp => "it leads out of the app directory".to_owned(),
        FetchError::Empty => "it is empty".to_owned(),
        FetchError::TooLarge { limit } => format!("it is larger than {}", ByteSize(*limit)),
        FetchError::Write(error) => format!("the download can't be written ({error})"),
    }
}

/// The message of a failed fetch of `source`.
pub(super) fn message(source: &Redacted, error: &FetchError) -> ErrorMessage {
    let clause = match error {
        // The system's error text follows as details.
        FetchError::ReadSource(_) => "the file can't be read".to_owned(),
        FetchError::Write(_) => "the download can't be written".to_owned(),
        _ => clause(error),
    };
    let mut message = advice(source, error);
    message.body = format!(
        "The agent can't be fetched from\n\n{source}\n\nReason: {clause}.\n\n{}",
        message.body
    );
    // The parser takes the rest of such a password for a path or a query.
    if source.may_hide_a_password() {
        message.body.push_str(
            "\n\nIf the URL has a password that contains '/', '?', '#' or '@',\n\
             percent-encode them: '/' is %2F, '?' is %3F, '#' is %23 and '@' is %40.",
        );
    }
    message
}

/// A message with only the advice in its body.
fn advice(source: &Redacted, error: &FetchError) -> ErrorMessage {
    let new = |id, body| ErrorMessage::new(id, http::HEADER, body);
    match error {
        FetchError::Http(error) => http::advice(error),
        FetchError::ReadSource(error) if source.may_lack_scheme() => new(
            "download/read",
            "There is no such file in the app. If it is the address of a server, start\n\
             it with https://, for example:\n\n\
             BACKPLANE_AGENT_URL=https://mirror.example.com/backplane.tgz",
        )
        .details(error),
        FetchError::ReadSource(error) => new(
            "download/read",
            "Check that BACKPLANE_AGENT_URL names a file that exists when the app is\n\
             built. A vendored file must be committed, and must not be listed in\n\
             .gitignore, .slugignore or the excluded files of project.toml.",
        )
        .details(error),
        FetchError::NotAFile => new(
            "download/not-a-file",
            "BACKPLANE_AGENT_URL must name an archive or an executable, not the\n\
             directory that contains it.",
        ),
        FetchError::OutsideApp => new(
            "download/outside-app",
            "A link leads out of the app directory. Put the file itself into the app.",
        ),
        FetchError::Empty => {
            new("download/empty", "Check the file at the source.").then(NextStep::TryAgain)
        }
        FetchError::TooLarge { .. } => new(
            "download/too-large",
            "Check that BACKPLANE_AGENT_URL names the agent's archive.",
        ),
        FetchError::Write(error) => new("download/write", FREE_DISK_SPACE).unexpected(error),
    }
}
