//! Every error in words for the user whose build it has stopped: a module for each kind of them.

mod archive;
mod classic;
mod download;
mod release;
mod settings;

use std::fmt;
use std::io;

use bullet_stream::global::print;
use bytesize::ByteSize;
use indoc::formatdoc;

use crate::classic::ClassicError;
use crate::install::InstallError;
use crate::release::ReleaseError;
use crate::settings::SettingsError;

/// Errors that can occur in a build.
#[derive(Debug)]
pub(crate) enum BackplaneError {
    /// The classic front end could not do its part.
    Classic(ClassicError),
    /// The agent could not be installed.
    Install(InstallError),
    /// The launch program could not be installed.
    LaunchProgram(io::Error),
    /// The layer's own file could not be removed, though it cannot be read.
    LayerRecord(io::Error),
    /// What is asked for names no release.
    Release(ReleaseError),
    /// A variable cannot be used.
    Settings(SettingsError),
}

/// Tells a user what has stopped the build.
pub(crate) fn on_error(error: libcnb::Error<BackplaneError>) {
    print::error(message(error).to_string());
}

/// A message that stands alone: what happened, to what, and what to do now.
pub(crate) struct ErrorMessage {
    /// Stable, for those who search for it.
    id: &'static str,
    header: &'static str,
    body: String,
    /// What the system or a library said.
    details: Option<String>,
    closing: Closing,
}

/// How a message ends.
enum Closing {
    /// The body has said what to change.
    Nothing,
    /// The trouble may pass.
    TryAgain,
    /// Nobody expects this.
    Report,
}

impl fmt::Display for ErrorMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n\n{}\n", self.header, self.body.trim_end())?;
        if let Some(details) = &self.details {
            write!(formatter, "\nDetails: {details}\n")?;
        }
        match self.closing {
            Closing::Nothing => {}
            Closing::TryAgain => formatter.write_str(
                "\nThis may pass: try the build again first. To build without an agent\n\
                 when it can't be fetched, set BACKPLANE_AGENT_OPTIONAL=true.\n",
            )?,
            Closing::Report => formatter.write_str(
                "\nThis is unexpected, and may be a bug of this buildpack or a problem of\n\
                 the machine that builds. Try again; if it stays, please report it to\n\
                 the buildpack's maintainers together with this log.\n",
            )?,
        }
        write!(formatter, "\nError: backplane/{}\n", self.id)
    }
}

/// Why an installation failed, in one sentence, for the warnings of a build that goes on.
pub(crate) fn reason(error: &InstallError) -> String {
    match error {
        InstallError::Download { source, error } => {
            format!("{source} can't be fetched: {}.", download::clause(error))
        }
        InstallError::Checksum {
            source, mismatch, ..
        } => {
            let actual = &mismatch.actual;
            format!("{source} has the checksum {actual}, which isn't the pinned one.")
        }
        InstallError::Archive { source, error, .. } => {
            format!("{source} can't be installed: {}.", archive::clause(error))
        }
        InstallError::Staging(error) | InstallError::Folder(error) => {
            format!("The agent can't be written ({error}).")
        }
    }
}

fn message(error: libcnb::Error<BackplaneError>) -> ErrorMessage {
    match error {
        libcnb::Error::BuildpackError(error) => of_buildpack(error),
        framework_error => ErrorMessage {
            id: "framework",
            header: "The buildpack's framework failed",
            body: "Something failed between the buildpack and the platform that runs it."
                .to_owned(),
            details: Some(framework_error.to_string()),
            closing: Closing::Report,
        },
    }
}

/// The message of an error of our own, for either front end.
pub(crate) fn of_buildpack(error: BackplaneError) -> ErrorMessage {
    match error {
        BackplaneError::Classic(error) => classic::message(error),
        BackplaneError::Install(error) => on_install_error(&error),
        BackplaneError::LaunchProgram(error) => ErrorMessage {
            id: "launch-program",
            header: "Unable to install the launch program",
            body: "The program that starts the agent at launch can't be put beside the agent."
                .to_owned(),
            details: Some(error.to_string()),
            closing: Closing::Report,
        },
        BackplaneError::LayerRecord(error) => ErrorMessage {
            id: "layer-record",
            header: "Unable to remove a damaged layer file",
            body: formatdoc! {"
                The file that describes the cached layer is damaged, and it can't be
                removed either. Build once without the cache (pack build --clear-cache).
            "},
            details: Some(error.to_string()),
            closing: Closing::Report,
        },
        BackplaneError::Release(error) => release::message(error),
        BackplaneError::Settings(error) => settings::message(&error),
    }
}

fn on_install_error(error: &InstallError) -> ErrorMessage {
    match error {
        InstallError::Download { source, error } => download::message(source, error),
        InstallError::Checksum {
            source,
            place,
            mismatch,
        } => ErrorMessage {
            id: "checksum",
            header: "The agent's checksum isn't the pinned one",
            body: formatdoc! {"
                The download from

                {source}

                isn't the one that BACKPLANE_AGENT_SHA256 asks for, and isn't installed:

                expected {expected}
                actual   {actual}

                It is {found}, {size} long.

                {advice}
            ",
                expected = mismatch.expected,
                actual = mismatch.actual,
                found = mismatch.found.describe(),
                size = ByteSize(mismatch.bytes),
                advice = archive::advice_on_checksum(mismatch.found, *place),
            },
            details: None,
            closing: Closing::Nothing,
        },
        InstallError::Archive {
            source,
            place,
            error,
        } => archive::message(source, *place, error),
        InstallError::Staging(error) | InstallError::Folder(error) => ErrorMessage {
            id: "write",
            header: "Unable to write the agent",
            body: formatdoc! {"
                The agent's files can't be written. Check that the machine that builds
                has free disk space.
            "},
            details: Some(error.to_string()),
            closing: Closing::Report,
        },
    }
}

#[cfg(test)]
mod tests;
