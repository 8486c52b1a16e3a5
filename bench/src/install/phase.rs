//! The whole build phase: the real builder of the CNB lifecycle with one buildpack.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::archive::{Archive, check_installed};
use super::release_server::ReleaseServer;
use super::target_architecture;
use crate::kit::{AGENT, BACKPLANE, Buildpack, DO_NOTHING, Kit};
use crate::measure;
use crate::rounds::{Subject, SubjectError};

/// What the phases before the build phase leave in the folder of layers.
const DETECTED: [&str; 3] = ["analyzed.toml", "group.toml", "plan.toml"];

/// The phase with one buildpack, on an empty folder of layers.
#[derive(Debug)]
pub(super) struct Phase<'a> {
    name: &'static str,
    folder: PathBuf,
    kit: &'a Kit,
    buildpack: Buildpack,
    server: &'a ReleaseServer,
    /// What it installs; none for the floor.
    installs: Option<(&'a Archive, &'a Path)>,
}

impl<'a> Phase<'a> {
    /// With the Backplane buildpack, pinned.
    pub(super) fn with_agent(
        kit: &'a Kit,
        server: &'a ReleaseServer,
        archive: &'a Archive,
        agent: &'a Path,
        limit: Duration,
    ) -> Result<Self, SubjectError> {
        let phase = Self {
            name: "build phase",
            folder: kit.work("phase"),
            kit,
            buildpack: kit.buildpack(BACKPLANE)?,
            server,
            installs: Some((archive, agent)),
        };
        phase.detect(limit)?;
        Ok(phase)
    }

    /// With the buildpack that does nothing.
    pub(super) fn floor(
        kit: &'a Kit,
        server: &'a ReleaseServer,
        limit: Duration,
    ) -> Result<Self, SubjectError> {
        let phase = Self {
            name: "build phase, floor",
            folder: kit.work("floor"),
            kit,
            buildpack: kit.buildpack(DO_NOTHING)?,
            server,
            installs: None,
        };
        phase.detect(limit)?;
        Ok(phase)
    }

    /// Runs the detector, whose outcome all builds start with.
    fn detect(&self, limit: Duration) -> Result<(), SubjectError> {
        for name in ["app", "platform/env", "layers", "detected"] {
            fs_err::create_dir_all(self.folder.join(name))?;
        }
        if let Some((archive, _)) = self.installs {
            for (name, value) in archive.pinned(self.server) {
                let path = self.folder.join("platform/env").join(name);
                fs_err::write(path, value.as_encoded_bytes())?;
            }
        }
        let Buildpack { id, version, .. } = &self.buildpack;
        fs_err::write(
            self.folder.join("order.toml"),
            format!("[[order]]\n[[order.group]]\nid = \"{id}\"\nversion = \"{version}\"\n"),
        )?;
        // What the analyzer would have found out from a registry.
        fs_err::write(
            self.layers().join("analyzed.toml"),
            format!(
                "[run-image]\nreference = \"run-image\"\n[run-image.target]\nos = \"linux\"\narch = \"{}\"\n\
                 [run-image.target.distro]\nname = \"ubuntu\"\nversion = \"24.04\"\n",
                target_architecture()
            ),
        )?;
        let mut detector = self.program("detector");
        detector.arg("-order").arg(self.folder.join("order.toml"));
        measure::run(&mut detector, &self.kit.work("log"), limit)?;
        for name in DETECTED {
            fs_err::rename(
                self.layers().join(name),
                self.folder.join("detected").join(name),
            )?;
        }
        Ok(())
    }

    fn layers(&self) -> PathBuf {
        self.folder.join("layers")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.kit.lifecycle(name));
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("CNB_PLATFORM_API", "0.12")
            .args(["-no-color", "-app"])
            .arg(self.folder.join("app"))
            .arg("-buildpacks")
            .arg(self.kit.buildpacks())
            .arg("-layers")
            .arg(self.layers())
            .arg("-platform")
            .arg(self.folder.join("platform"));
        command
    }
}

impl Subject for Phase<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&mut self) -> Result<(), SubjectError> {
        fs_err::remove_dir_all(self.layers())?;
        fs_err::create_dir(self.layers())?;
        for name in DETECTED {
            fs_err::copy(
                self.folder.join("detected").join(name),
                self.layers().join(name),
            )?;
        }
        Ok(())
    }

    fn command(&self) -> Command {
        self.program("builder")
    }

    fn check(&mut self, _output: &str) -> Result<(), SubjectError> {
        let metadata = fs_err::read_to_string(self.layers().join("config/metadata.toml"))?;
        if !metadata.contains(self.buildpack.id) {
            let claim = format!("it did not build with {}", self.buildpack.id);
            return Err(SubjectError::Broken(claim));
        }
        let Some((archive, agent)) = self.installs else {
            return self.server.check_requests(&[]);
        };
        self.server.check_one_download(archive.file_name)?;
        let layers = self.layers().join(self.buildpack.escaped_id());
        check_installed(&layers.join("agent/libexec").join(AGENT), agent)
    }
}
