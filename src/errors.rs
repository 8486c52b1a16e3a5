//! Every error in words for the user whose build it has stopped: a module for each kind of them.

mod archive;
mod classic;
mod download;
mod http;
mod release;
mod settings;

use std::fmt;
use std::io;

use bullet_stream::global::print;
use bytesize::ByteSize;
use indoc::formatdoc;

use crate::classic::ClassicError;
use crate::install::InstallError;
use crate::output::escape;
use crate::release::ReleaseError;
use crate::settings::SettingsError;
use crate::target::Target;

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
    /// A library has panicked, at this place of its source.
    Panic { place: String },
    /// This package of the buildpack is for another processor than the image; which one, if we know it.
    PackageArchitecture {
        package: Option<&'static str>,
        target: Target,
    },
    /// What is asked for names no release.
    Release(ReleaseError),
    /// The layer of an earlier build could not be made usable.
    RestoredLayer(io::Error),
    /// A variable cannot be used.
    Settings(SettingsError),
}

/// Tells a user what has stopped the build.
pub(crate) fn on_error(error: libcnb::Error<BackplaneError>) {
    print(&message(error));
}

/// Prints a message in the way of Cloud Native Buildpacks.
pub(crate) fn print(message: &ErrorMessage) {
    print::error(escape(&message.to_string()));
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
    use libcnb::Error;

    match error {
        Error::BuildpackError(error) => of_buildpack(error),
        Error::CannotDetermineTargetOs(_) | Error::CannotDetermineTargetArch(_) => ErrorMessage {
            id: "platform/target",
            header: "The platform doesn't tell what it builds for",
            body: formatdoc! {"
                CNB_TARGET_OS and CNB_TARGET_ARCH aren't set, so nothing says which
                agent to install. The lifecycle sets them for a platform of API 0.12
                or later: update pack (or what else builds) and the builder, whose
                lifecycle has to be 0.17 or later.
            "},
            details: None,
            closing: Closing::Nothing,
        },
        Error::CannotDetermineTargetDistroName(_)
        | Error::CannotDetermineTargetDistroVersion(_) => ErrorMessage {
            id: "platform/distribution",
            header: "The platform doesn't tell the image's distribution",
            body: formatdoc! {"
                CNB_TARGET_DISTRO_NAME and CNB_TARGET_DISTRO_VERSION aren't set. The
                lifecycle takes them from labels of the run image: use one that has
                io.buildpacks.base.distro.name and io.buildpacks.base.distro.version.
                A platform older than API 0.12 sets neither: update pack then.
            "},
            details: None,
            closing: Closing::Nothing,
        },
        Error::LayerError(error) => cannot_write(error.to_string()),
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
        BackplaneError::Panic { place } => ErrorMessage {
            id: "panic",
            header: "The buildpack has failed unexpectedly",
            body: "A part of it met a state that its authors took for impossible.".to_owned(),
            details: Some(place),
            closing: Closing::Report,
        },
        BackplaneError::PackageArchitecture { package, target } => {
            package_architecture(package, &target)
        }
        BackplaneError::Release(error) => release::message(error),
        BackplaneError::RestoredLayer(error) => ErrorMessage {
            id: "restored-layer",
            header: "Unable to use the layer of an earlier build",
            body: formatdoc! {"
                The layer that was restored for this build can't be changed: most often
                it belongs to another user than the one who builds. Build once without
                the cache (pack build --clear-cache), and the layer is made anew.
            "},
            details: Some(error.to_string()),
            closing: Closing::Nothing,
        },
        BackplaneError::Settings(error) => settings::message(&error),
    }
}

fn package_architecture(package: Option<&str>, target: &Target) -> ErrorMessage {
    let package = package.unwrap_or("another processor, or damaged");
    ErrorMessage {
        id: "package-architecture",
        header: "This buildpack is for another architecture",
        body: formatdoc! {"
            The programs of this package of the buildpack are for

            {package}

            and the image is built for

            {target}

            There, the launch program couldn't run, and no process would start. Use
            the buildpack's package for that architecture, or build for this one
            (pack build --platform).
        "},
        details: None,
        closing: Closing::Nothing,
    }
}

fn cannot_write(details: String) -> ErrorMessage {
    ErrorMessage {
        id: "write",
        header: "Unable to write the agent",
        body: formatdoc! {"
            The agent's files can't be written. Check that the machine that builds
            has free disk space.
        "},
        details: Some(details),
        closing: Closing::Report,
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
        InstallError::Staging(error) | InstallError::Folder(error) => {
            cannot_write(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
