//! Downloads that fail.

use bytesize::ByteSize;

use super::{Closing, ErrorMessage, http};
use crate::download::DownloadError;
use crate::redact::Redacted;

/// What is wrong with a download, as a clause.
pub(super) fn clause(error: &DownloadError) -> String {
    match error {
        DownloadError::Http(error) => error.to_string(),
        DownloadError::ReadSource(error) => format!("the file can't be read ({error})"),
        DownloadError::NotAFile => "it isn't a file".to_owned(),
        DownloadError::OutsideApp => "it leads out of the app's folder".to_owned(),
        DownloadError::Empty => "it is empty".to_owned(),
        DownloadError::TooLarge { limit } => {
            format!("it is larger than {}", ByteSize(*limit))
        }
        DownloadError::Write(error) => format!("the download can't be written ({error})"),
    }
}

pub(super) fn message(source: &Redacted, error: &DownloadError) -> ErrorMessage {
    let http_text;
    let (id, advice, details, closing) = match error {
        DownloadError::Http(error) => {
            let advice = http::advice(error);
            http_text = advice.text;
            (advice.id, &*http_text, advice.details, advice.closing)
        }
        DownloadError::ReadSource(error) if source.may_lack_scheme() => (
            "download/read",
            "There is no such file in the app. If it is the address of a server,\n\
             begin it with https://, for example:\n\n\
             BACKPLANE_AGENT_URL=https://mirror.example.com/backplane.tgz",
            Some(error.to_string()),
            Closing::Nothing,
        ),
        DownloadError::ReadSource(error) => (
            "download/read",
            "Check that BACKPLANE_AGENT_URL names a file that is there when the app\n\
             is built: a vendored file must be committed, and not be in .gitignore,\n\
             .slugignore or the excluded files of project.toml.",
            Some(error.to_string()),
            Closing::Nothing,
        ),
        DownloadError::NotAFile => (
            "download/not-a-file",
            "BACKPLANE_AGENT_URL must name an archive or an executable, not the\n\
             folder that it is in.",
            None,
            Closing::Nothing,
        ),
        DownloadError::OutsideApp => (
            "download/outside-app",
            "A link leads out of the app's folder. Put the file itself into the app.",
            None,
            Closing::Nothing,
        ),
        DownloadError::Empty => (
            "download/empty",
            "Check the file at the source.",
            None,
            Closing::TryAgain,
        ),
        DownloadError::TooLarge { .. } => (
            "download/too-large",
            "Check that BACKPLANE_AGENT_URL names the agent's archive.",
            None,
            Closing::Nothing,
        ),
        DownloadError::Write(error) => (
            "download/write",
            "Check that the machine that builds has free disk space.",
            Some(error.to_string()),
            Closing::Report,
        ),
    };
    let clause = match error {
        // The system's own words follow as details.
        DownloadError::ReadSource(_) => "the file can't be read".to_owned(),
        DownloadError::Write(_) => "the download can't be written".to_owned(),
        _ => clause(error),
    };
    // The rest of such a password was taken for the path or the query.
    let hint = if source.may_hide_a_password() {
        "\n\nIf the URL has a password with '/', '?', '#' or '@' in it, percent-encode\n\
         them: '/' is %2F, '?' is %3F, '#' is %23 and '@' is %40."
    } else {
        ""
    };
    ErrorMessage {
        id,
        header: "Unable to fetch the agent",
        body: format!(
            "The agent can't be fetched from\n\n{source}\n\nReason: {clause}.\n\n{advice}{hint}"
        ),
        details,
        closing,
    }
}
