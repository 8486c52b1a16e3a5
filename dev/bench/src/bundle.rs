//! The directory of all programs that are measured, as script/bench makes it. A run writes there, too.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The id of the buildpack that is measured, and of the one that does nothing.
pub(crate) const BACKPLANE: &str = "backplane/agent";
pub(crate) const DO_NOTHING: &str = "backplane/do-nothing";

/// The name of the agent in an archive, and where it is installed.
pub(crate) const AGENT: &str = "backplane";

/// The directory, by its absolute path.
#[derive(Debug)]
pub(crate) struct Bundle(PathBuf);

/// A buildpack of the bundle.
#[derive(Debug)]
pub(crate) struct Buildpack {
    pub(crate) id: &'static str,
    pub(crate) version: String,
    pub(crate) directory: PathBuf,
}

impl Bundle {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        Ok(Self(fs_err::canonicalize(directory)?))
    }

    /// A program of this repository.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// A program of the CNB lifecycle.
    pub(crate) fn lifecycle(&self, name: &str) -> PathBuf {
        self.0.join("lifecycle").join(name)
    }

    /// All buildpacks, in directories `ID/VERSION/` as the lifecycle wants them.
    pub(crate) fn buildpacks(&self) -> PathBuf {
        self.0.join("buildpacks")
    }

    /// A packaged buildpack, of which the bundle has one version.
    pub(crate) fn buildpack(&self, id: &'static str) -> Result<Buildpack> {
        let versions = self.buildpacks().join(escaped(id));
        let version = fs_err::read_dir(&versions)?
            .next()
            .context("there is no version")??;
        Ok(Buildpack {
            id,
            version: version.file_name().to_string_lossy().into_owned(),
            directory: version.path(),
        })
    }

    /// A path for something that a run makes.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.0.join("work").join(name)
    }

    /// Makes a directory with these directories in it.
    pub(crate) fn make_work(&self, name: &str, directories: &[&str]) -> Result<PathBuf> {
        let path = self.work(name);
        for directory in directories {
            fs_err::create_dir_all(path.join(directory))?;
        }
        Ok(path)
    }
}

impl Buildpack {
    /// A program of the buildpack's package other than the buildpack's own, where libcnb looks for it.
    pub(crate) fn additional_program(&self, name: &str) -> PathBuf {
        self.directory
            .join(format!(".libcnb-cargo/additional-bin/{name}"))
    }
}

/// A buildpack's id as the name of a directory.
pub(crate) fn escaped(id: &str) -> String {
    id.replace('/', "_")
}
