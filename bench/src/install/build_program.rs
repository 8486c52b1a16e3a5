//! The build program alone, without the lifecycle around it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::target_architecture;
use crate::kit::{AGENT, BACKPLANE, Buildpack, Kit};
use crate::measure;
use crate::rounds::SubjectError;

/// A folder of layers, an app, and the program that builds the one for the other.
#[derive(Debug)]
pub(super) struct BuildProgram {
    folder: PathBuf,
    buildpack: Buildpack,
    variables: Vec<(&'static str, OsString)>,
}

impl BuildProgram {
    /// Makes the folder `name`, for builds with these variables.
    pub(super) fn new(
        kit: &Kit,
        name: &str,
        variables: &[(&'static str, OsString)],
    ) -> io::Result<Self> {
        let folder = kit.work(name);
        for name in ["layers", "app", "platform/env"] {
            fs_err::create_dir_all(folder.join(name))?;
        }
        fs_err::write(folder.join("plan.toml"), "")?;
        Ok(Self {
            folder,
            buildpack: kit.buildpack(BACKPLANE)?,
            variables: variables.to_vec(),
        })
    }

    /// Where a build installs the agent.
    pub(super) fn installed(&self) -> PathBuf {
        self.folder.join("layers/agent/libexec").join(AGENT)
    }

    /// Leaves nothing of earlier builds.
    pub(super) fn empty(&self) -> io::Result<()> {
        fs_err::remove_dir_all(self.folder.join("layers"))?;
        fs_err::create_dir(self.folder.join("layers"))
    }

    /// Leaves of an earlier build what the lifecycle brings back from its cache: the layer, and its metadata without its
    /// types (<https://github.com/buildpacks/spec/blob/buildpack/v0.10/buildpack.md#layer-types>).
    pub(super) fn restore(&self) -> io::Result<()> {
        let layers = self.folder.join("layers");
        fs_err::remove_file(layers.join("launch.toml"))?;
        without_types(&layers.join("agent.toml"))
    }

    /// A build as the lifecycle starts it
    /// (<https://github.com/buildpacks/spec/blob/buildpack/v0.10/buildpack.md#build>), with no other variables than its
    /// own.
    pub(super) fn command(&self) -> Command {
        let path = |name| self.folder.join(name);
        let mut command = Command::new(self.buildpack.folder.join("bin/build"));
        command
            .args([path("layers"), path("platform"), path("plan.toml")])
            .current_dir(path("app"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("CNB_BUILDPACK_DIR", &self.buildpack.folder)
            .env("CNB_LAYERS_DIR", path("layers"))
            .env("CNB_PLATFORM_DIR", path("platform"))
            .env("CNB_BP_PLAN_PATH", path("plan.toml"))
            .env("CNB_TARGET_OS", "linux")
            .env("CNB_TARGET_ARCH", target_architecture())
            .env("CNB_TARGET_DISTRO_NAME", "ubuntu")
            .env("CNB_TARGET_DISTRO_VERSION", "24.04")
            .envs(self.variables.iter().cloned());
        command
    }

    /// Builds for the first time, unless that is done; says whether it was to do.
    pub(super) fn install_once(&self, log: &Path, limit: Duration) -> Result<bool, SubjectError> {
        if self.installed().exists() {
            return Ok(false);
        }
        measure::run(&mut self.command(), log, limit)?;
        Ok(true)
    }
}

fn without_types(descriptor: &Path) -> io::Result<()> {
    let mut table: toml::Table =
        toml::from_str(&fs_err::read_to_string(descriptor)?).map_err(io::Error::other)?;
    table.remove("types");
    fs_err::write(
        descriptor,
        toml::to_string(&table).map_err(io::Error::other)?,
    )
}
