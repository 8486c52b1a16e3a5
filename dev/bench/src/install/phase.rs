//! The whole build phase: the real builder of the CNB lifecycle with one buildpack.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use super::release::Release;
use super::target_architecture;
use crate::bundle::{AGENT, Buildpack, Bundle, escaped};
use crate::rounds::Subject;

/// The phase with one buildpack, on an empty directory of layers.
pub(super) struct Phase<'a> {
    name: &'static str,
    directory: PathBuf,
    bundle: &'a Bundle,
    buildpack: Buildpack,
    /// What it installs, pinned; `None` for a buildpack that does nothing.
    release: Option<&'a Release<'a>>,
}

impl<'a> Phase<'a> {
    pub(super) fn new(
        bundle: &'a Bundle,
        name: &'static str,
        id: &'static str,
        release: Option<&'a Release<'a>>,
    ) -> Result<Self> {
        let directory = bundle.make_work(name, &["app", "platform/env", "layers"])?;
        for (name, value) in release.iter().flat_map(|release| release.pinned()) {
            fs_err::write(directory.join("platform/env").join(name), value)?;
        }
        Ok(Self {
            name,
            directory,
            bundle,
            buildpack: bundle.buildpack(id)?,
            release,
        })
    }
}

impl Subject for Phase<'_> {
    fn name(&self) -> &str {
        self.name
    }

    /// Leaves in the directory of layers what the phases before this one would have left there.
    fn prepare(&mut self) -> Result<()> {
        let layers = self.directory.join("layers");
        fs_err::remove_dir_all(&layers)?;
        fs_err::create_dir(&layers)?;
        let Buildpack { id, version, .. } = &self.buildpack;
        let group = format!("[[group]]\nid = \"{id}\"\nversion = \"{version}\"\napi = \"0.10\"\n");
        let analyzed = format!(
            "[run-image]\nreference = \"run-image\"\n[run-image.target]\nos = \"linux\"\narch = \"{}\"\n\
             [run-image.target.distro]\nname = \"ubuntu\"\nversion = \"24.04\"\n",
            target_architecture()
        );
        fs_err::write(layers.join("group.toml"), group)?;
        fs_err::write(layers.join("plan.toml"), "")?;
        Ok(fs_err::write(layers.join("analyzed.toml"), analyzed)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.bundle.lifecycle("builder"));
        command
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("CNB_PLATFORM_API", "0.12")
            .args(["-no-color", "-app", "app", "-layers", "layers"])
            .args(["-platform", "platform", "-buildpacks"])
            .arg(self.bundle.buildpacks());
        command
    }

    fn check(&mut self, _output: &str) -> Result<()> {
        let layers = self.directory.join("layers");
        let metadata = fs_err::read_to_string(layers.join("config/metadata.toml"))?;
        let id = self.buildpack.id;
        ensure!(metadata.contains(id), "it did not build with {id}");
        let agent = layers.join(escaped(id)).join("agent/libexec").join(AGENT);
        self.release
            .map_or(Ok(()), |release| release.check(&agent, 1))
    }
}
