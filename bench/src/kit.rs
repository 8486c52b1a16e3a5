//! The folder of all programs that are measured, as script/bench makes it: readable by the user that this program runs
//! as, and writable, as everything that a run makes goes there.

use std::io;
use std::path::{Path, PathBuf};

/// The id of the buildpack that is measured, and of the one that is the floor.
pub(crate) const BACKPLANE: &str = "backplane/agent";
pub(crate) const DO_NOTHING: &str = "backplane/do-nothing";

/// The name of the agent in an archive, and where it is installed.
pub(crate) const AGENT: &str = "backplane";

/// The folder, by its absolute path.
#[derive(Clone, Debug)]
pub(crate) struct Kit(PathBuf);

/// A buildpack of the kit.
#[derive(Clone, Debug)]
pub(crate) struct Buildpack {
    pub(crate) id: &'static str,
    pub(crate) version: String,
    pub(crate) folder: PathBuf,
}

impl Buildpack {
    /// The buildpack's id as a name of a folder: of its own one, and of its layers.
    pub(crate) fn escaped_id(&self) -> String {
        self.id.replace('/', "_")
    }
}

impl Kit {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs_err::canonicalize(folder).map(Self)
    }

    /// A program of this repository.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// A program of the CNB lifecycle.
    pub(crate) fn lifecycle(&self, name: &str) -> PathBuf {
        self.0.join("lifecycle").join(name)
    }

    /// All buildpacks, in folders `ID/VERSION/` as the lifecycle wants them.
    pub(crate) fn buildpacks(&self) -> PathBuf {
        self.0.join("buildpacks")
    }

    /// A packaged buildpack; the kit has one version of it.
    pub(crate) fn buildpack(&self, id: &'static str) -> io::Result<Buildpack> {
        let versions = self.buildpacks().join(id.replace('/', "_"));
        let mut entries = fs_err::read_dir(&versions)?;
        let version = entries.next().transpose()?.ok_or_else(|| {
            let message = format!("{} is empty", versions.display());
            io::Error::new(io::ErrorKind::NotFound, message)
        })?;
        Ok(Buildpack {
            id,
            version: version.file_name().to_string_lossy().into_owned(),
            folder: version.path(),
        })
    }

    /// A path for something that a run makes.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.0.join("work").join(name)
    }
}
