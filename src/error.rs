//! Errors that stop a build.

use std::io;

use crate::install::InstallError;
use crate::release::ReleaseError;
use crate::settings::SettingsError;
use crate::target::Target;

/// Errors that can stop a build of either front end.
#[derive(Debug)]
pub(crate) enum BackplaneError {
    /// A library panicked, at this location in its source.
    Panic { location: String },
    /// A variable has an invalid value.
    Settings(SettingsError),
    /// The settings ask for a release that does not exist.
    Release(ReleaseError),
    /// The launch program cannot be installed.
    LaunchProgram(io::Error),
    /// This package of the buildpack lacks a file.
    Package(io::Error),
    /// This package of the buildpack is for another architecture than the image; `package` is its
    /// architecture, if known.
    PackageArchitecture {
        package: Option<&'static str>,
        target: Target,
    },
    /// The agent cannot be installed.
    Install(InstallError),

    /// The damaged description of the restored layer cannot be removed.
    LayerDescription(io::Error),
    /// The restored layer cannot be changed.
    RestoredLayer(io::Error),

    /// The classic buildpack was called without its directories.
    Arguments,
    /// The config vars cannot be listed.
    ConfigVars(io::Error),
    /// A config var cannot be read.
    ConfigVar {
        name: &'static str,
        error: io::Error,
    },
    /// The build cache of the classic buildpack cannot be written.
    BuildCache(io::Error),
    /// The agent cannot be copied into the app, or the app's start script cannot be written.
    Slug(io::Error),
}

impl From<BackplaneError> for libcnb::Error<BackplaneError> {
    fn from(error: BackplaneError) -> Self {
        Self::BuildpackError(error)
    }
}
