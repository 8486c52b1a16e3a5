//! The build program alone, without the lifecycle.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use super::front_end::FrontEnd;
use super::test_env::test_env;
use crate::ARCHITECTURE;
use crate::command;
use crate::prebuild::copy;

/// How long one run may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// An app, a directory of layers or a cache, and the program that builds.
pub struct BuildProgram {
    front_end: FrontEnd,
    /// The package of the buildpack that contains the program.
    package: PathBuf,
    directory: TempDir,
    /// The app's directory during a build.
    pub app: PathBuf,
    /// The directory of layers, or Heroku's cache.
    pub cache: PathBuf,
    /// The agent's file at launch.
    pub installed: PathBuf,
    /// The agent's file in the cache of the next build.
    pub kept: PathBuf,
}

impl BuildProgram {
    pub fn new(front_end: FrontEnd) -> Self {
        let directory = test_env().new_directory();
        let path = |name: &str| directory.path().join(name);
        for name in ["layers", "app", "platform/env", "an app", "a cache"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("plan.toml"), "").unwrap();
        let (app, cache, installed, kept) = match front_end {
            FrontEnd::Cnb => ("app", "layers", "layers/agent", "layers/agent"),
            FrontEnd::Classic => (
                "an app",
                "a cache",
                "an app/.backplane",
                "a cache/backplane",
            ),
        };
        let package = match front_end {
            FrontEnd::Cnb => test_env().buildpack_under_test(),
            FrontEnd::Classic => test_env().classic_buildpack(),
        };
        Self {
            front_end,
            package,
            app: path(app),
            cache: path(cache),
            installed: path(installed).join("libexec/backplane"),
            kept: path(kept).join("libexec/backplane"),
            directory,
        }
    }

    /// Asserts that a build has left no other files in its cache.
    #[track_caller]
    pub fn assert_nothing_is_left(&self) {
        let (directory, allowed): (_, &[&str]) = match self.front_end {
            FrontEnd::Cnb => (
                "layers",
                &["agent", "agent.sbom.cdx.json", "agent.toml", "launch.toml"],
            ),
            FrontEnd::Classic => ("a cache/backplane", &["agent.toml", "libexec"]),
        };
        for entry in fs::read_dir(self.directory.path().join(directory)).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(
                allowed.iter().any(|allowed| name == *allowed),
                "{} is left",
                name.display()
            );
        }
    }

    /// Removes the types from the layer's description, as the restorer does.
    pub fn restore(&self) {
        let description = self.directory.path().join("layers/agent.toml");
        if let Ok(text) = fs::read_to_string(&description)
            && let Ok(mut table) = text.parse::<toml::Table>()
        {
            table.remove("types");
            fs::write(description, table.to_string()).unwrap();
        }
    }

    /// Copies the package for the next builds, which may change it, and returns its directory.
    pub fn own_package(&mut self) -> PathBuf {
        let copied = self.directory.path().join("package");
        copy(&self.package, &copied).unwrap();
        self.package.clone_from(&copied);
        copied
    }

    /// Sets a variable for the next builds, as a user does.
    pub fn set(&self, name: &str, value: &str) {
        fs::write(self.directory.path().join("platform/env").join(name), value).unwrap();
    }

    /// A run as the lifecycle starts it
    /// (<https://github.com/buildpacks/spec/blob/buildpack/v0.10/buildpack.md#build>), with no
    /// other variables than its own.
    pub fn command(&self) -> Command {
        self.command_under(&[])
    }

    /// A run under another program, such as one that sets limits and then becomes this one.
    pub fn command_under(&self, wrapper: &[&str]) -> Command {
        let path = |name| self.directory.path().join(name);
        let (program, arguments) = match self.front_end {
            FrontEnd::Cnb => ("bin/build", ["layers", "platform", "plan.toml"]),
            FrontEnd::Classic => ("bin/compile", ["an app", "a cache", "platform/env"]),
        };
        let program = self.package.join(program).into_os_string();
        let mut words = wrapper.iter().map(Into::into).chain([program]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command
            .args(words)
            .args(arguments.map(path))
            .current_dir(path("app"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        if self.front_end == FrontEnd::Classic {
            return command;
        }
        // The lifecycle makes variables of the platform's files.
        for entry in fs::read_dir(path("platform/env")).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_name().map(OsStr::to_owned);
            command.env(name.unwrap(), fs::read_to_string(file).unwrap());
        }
        command
            .env("CNB_BUILDPACK_DIR", &self.package)
            .env("CNB_LAYERS_DIR", path("layers"))
            .env("CNB_PLATFORM_DIR", path("platform"))
            .env("CNB_BP_PLAN_PATH", path("plan.toml"))
            .env("CNB_TARGET_OS", "linux")
            .env("CNB_TARGET_ARCH", ARCHITECTURE)
            .env("CNB_TARGET_DISTRO_NAME", "ubuntu")
            .env("CNB_TARGET_DISTRO_VERSION", "24.04");
        command
    }

    /// Runs such a command to its end, and returns its status and output.
    #[track_caller]
    pub fn run(mut command: Command) -> (ExitStatus, String) {
        command::run(&mut command, DEADLINE)
    }
}
