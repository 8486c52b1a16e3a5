//! The build program alone, without the lifecycle around it: to kill it, to starve it, to run it often.

use super::command;
use super::workshop::workshop;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;
use tempfile::TempDir;

/// How long one run may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// A folder of layers, an app, and the program that builds the one for the other.
pub(crate) struct BuildProgram {
    folder: TempDir,
}

impl BuildProgram {
    pub(crate) fn new() -> Self {
        let folder = workshop().new_folder();
        for name in ["layers", "app", "platform/env"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("plan.toml"), "").unwrap();
        Self { folder }
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.folder.path().join("layers")
    }

    pub(crate) fn installed(&self) -> PathBuf {
        self.layers().join("agent/libexec/backplane")
    }

    /// A run as the lifecycle starts it
    /// (<https://github.com/buildpacks/spec/blob/buildpack/v0.10/buildpack.md#build>), with no other variables than its own.
    pub(crate) fn command(&self) -> Command {
        self.command_under(&[])
    }

    /// A run under another program, such as one that sets limits and then becomes this one.
    pub(crate) fn command_under(&self, wrapper: &[&str]) -> Command {
        let path = |name| self.folder.path().join(name);
        let buildpack = workshop().buildpack_under_test();
        let program = buildpack.join("bin/build").into_os_string();
        let mut words = wrapper.iter().map(Into::into).chain([program]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command
            .args(words)
            .args([path("layers"), path("platform"), path("plan.toml")])
            .current_dir(path("app"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("CNB_BUILDPACK_DIR", buildpack)
            .env("CNB_LAYERS_DIR", path("layers"))
            .env("CNB_PLATFORM_DIR", path("platform"))
            .env("CNB_BP_PLAN_PATH", path("plan.toml"))
            .env("CNB_TARGET_OS", "linux")
            .env(
                "CNB_TARGET_ARCH",
                if env::consts::ARCH == "aarch64" {
                    "arm64"
                } else {
                    "amd64"
                },
            )
            .env("CNB_TARGET_DISTRO_NAME", "ubuntu")
            .env("CNB_TARGET_DISTRO_VERSION", "24.04");
        command
    }

    /// Runs such a command to its end, and gives its status and all that it wrote.
    #[track_caller]
    pub(crate) fn run(mut command: Command) -> (ExitStatus, String) {
        command::run(&mut command, DEADLINE)
    }
}
