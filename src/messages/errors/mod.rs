//! The messages of errors that stop a build.

mod archive;
mod classic;
mod fetch;
pub(super) mod http;
mod message;
mod release;
mod settings;

use std::fmt::Display;

use bytesize::ByteSize;
use indoc::formatdoc;

pub(crate) use self::message::ErrorMessage;
use self::message::FREE_DISK_SPACE;
use super::file_kind::describe;
use crate::error::BackplaneError;
use crate::install::InstallError;
use crate::target::Target;

/// Why an installation failed, in one sentence, for the warnings of a build that continues.
pub(super) fn reason(error: &InstallError) -> String {
    match error {
        InstallError::Fetch { source, error } => {
            format!("{source} can't be fetched: {}.", fetch::clause(error))
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
        InstallError::Staging(error) | InstallError::Directory(error) => {
            format!("The agent can't be written ({error}).")
        }
    }
}

/// The message of an error of libcnb, which may wrap one of our own.
pub(crate) fn message(error: libcnb::Error<BackplaneError>) -> ErrorMessage {
    use libcnb::Error;

    match error {
        Error::BuildpackError(error) => message_of(error),
        Error::CannotDetermineTargetOs(_) | Error::CannotDetermineTargetArch(_) => {
            ErrorMessage::new(
                "platform/target",
                "The platform doesn't set the target of the build",
                "CNB_TARGET_OS and CNB_TARGET_ARCH aren't set, so the buildpack doesn't\n\
                 know which agent to install. The lifecycle sets them if the platform uses\n\
                 API 0.12 or later: update pack (or the platform that you use) and the\n\
                 builder, which needs lifecycle 0.17 or later.",
            )
        }
        Error::CannotDetermineTargetDistroName(_)
        | Error::CannotDetermineTargetDistroVersion(_) => ErrorMessage::new(
            "platform/distribution",
            "The platform doesn't set the image's distribution",
            "CNB_TARGET_DISTRO_NAME and CNB_TARGET_DISTRO_VERSION aren't set. The\n\
             lifecycle takes them from labels of the run image: use one that has\n\
             io.buildpacks.base.distro.name and io.buildpacks.base.distro.version.\n\
             A platform older than API 0.12 sets neither: in that case, update pack.",
        ),
        Error::LayerError(error) => cannot_write(error),
        error => ErrorMessage::new(
            "framework",
            "The buildpack framework failed",
            "An operation between the buildpack and the platform failed.",
        )
        .unexpected(error),
    }
}

/// The message of an error of our own, for either front end.
pub(crate) fn message_of(error: BackplaneError) -> ErrorMessage {
    match error {
        BackplaneError::Panic { location } => ErrorMessage::new(
            "panic",
            "The buildpack failed unexpectedly",
            "It reached a state that should be impossible.",
        )
        .unexpected(location),
        BackplaneError::Settings(error) => settings::message(&error),
        BackplaneError::Release(error) => release::message(error),
        BackplaneError::LaunchProgram(error) => ErrorMessage::new(
            "launch-program",
            "Unable to install the launch program",
            "The program that starts the agent at launch can't be put beside the agent.",
        )
        .unexpected(error),
        BackplaneError::Package(error) => ErrorMessage::new(
            "package",
            "This package of the buildpack is incomplete",
            "A file that belongs to the package is missing or damaged. Use the package\n\
             of a release, or make it again (script/package).",
        )
        .details(error),
        BackplaneError::PackageArchitecture { package, target } => {
            package_architecture(package, &target)
        }
        BackplaneError::Install(error) => on_install_error(&error),
        BackplaneError::LayerDescription(error) => ErrorMessage::new(
            "layer-record",
            "Unable to remove a damaged layer description",
            "The file that describes the cached layer is damaged and can't be removed.\n\
             Build once without the cache (pack build --clear-cache).",
        )
        .unexpected(error),
        BackplaneError::RestoredLayer(error) => ErrorMessage::new(
            "restored-layer",
            "Unable to change the layer of an earlier build",
            "The layer that was restored for this build can't be changed. Most often,\n\
             it belongs to another user than the one who builds. Build once without\n\
             the cache (pack build --clear-cache) to create the layer again.",
        )
        .details(error),
        BackplaneError::Arguments => classic::arguments(),
        BackplaneError::ConfigVars(error) => classic::config_vars(&error),
        BackplaneError::ConfigVar { name, error } => classic::config_var(name, &error),
        BackplaneError::BuildCache(error) => classic::build_cache(&error),
        BackplaneError::Slug(error) => classic::slug(&error),
    }
}

fn package_architecture(package: Option<&str>, target: &Target) -> ErrorMessage {
    let package = package.unwrap_or("another processor (or they are damaged)");
    ErrorMessage::new(
        "package-architecture",
        "This buildpack is for another architecture",
        formatdoc! {"
            This package of the buildpack contains programs for

            {package}

            but the image is built for

            {target}

            The launch program couldn't run there, and no process would start. Use
            the buildpack's package for that architecture, or build for this one
            (pack build --platform).
        "},
    )
}

fn cannot_write(details: impl Display) -> ErrorMessage {
    ErrorMessage::new(
        "write",
        "Unable to write the agent",
        format!("The agent's files can't be written.\n{FREE_DISK_SPACE}"),
    )
    .unexpected(details)
}

fn on_install_error(error: &InstallError) -> ErrorMessage {
    match error {
        InstallError::Fetch { source, error } => fetch::message(source, error),
        InstallError::Checksum {
            source,
            kind,
            mismatch,
        } => ErrorMessage::new(
            "checksum",
            "The agent's checksum isn't the pinned one",
            formatdoc! {"
                The download from

                {source}

                doesn't have the checksum in BACKPLANE_AGENT_SHA256 and isn't installed:

                expected {expected}
                actual   {actual}

                It is {found}, {size} in size.

                {advice}
            ",
                expected = mismatch.expected,
                actual = mismatch.actual,
                found = describe(mismatch.found),
                size = ByteSize(mismatch.bytes),
                advice = archive::advice_on_checksum(mismatch.found, *kind),
            },
        ),
        InstallError::Archive {
            source,
            kind,
            error,
        } => archive::message(source, *kind, error),
        InstallError::Staging(error) | InstallError::Directory(error) => cannot_write(error),
    }
}

#[cfg(test)]
mod tests;
