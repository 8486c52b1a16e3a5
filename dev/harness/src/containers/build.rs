//! Builds by the real pack.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::docker::{docker, try_docker};
use super::image::Image;
use super::test_env::test_env;
use crate::HOSTILE_AT_BUILD;
use crate::app::App;
use crate::command;

/// How long one build may take, with all retries of a download.
const BUILD_DEADLINE: Duration = Duration::from_mins(5);

/// A build of an app by `pack build` before its run.
///
/// By default the buildpack under test comes behind the builder's own order, and the variables are
/// hostile; a build must not mind.
pub struct Build {
    app: App,
    variables: BTreeMap<String, String>,
    buildpacks: Vec<(&'static str, OsString)>,
    arguments: Vec<OsString>,
    pub(super) names: Names,
    directory: TempDir,
}

/// The image and caches of a build on the engine, removed when this is dropped.
pub(super) struct Names {
    pub(super) image: String,
    caches: [String; 2],
}

impl Build {
    pub fn new(app: App) -> Self {
        let name = test_env().new_name();
        Self {
            app,
            variables: HOSTILE_AT_BUILD
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            buildpacks: Vec::new(),
            arguments: Vec::new(),
            names: Names {
                caches: ["build", "launch"].map(|kind| format!("{name}-{kind}")),
                image: name,
            },
            directory: test_env().new_directory(),
        }
        .post_buildpack(test_env().buildpack_under_test())
    }

    /// Sets a variable as by `--env`.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Sets no variable: only those of the app's `project.toml` are left.
    pub fn without_env(mut self) -> Self {
        self.variables.clear();
        self
    }

    /// Names no buildpack: only those of the app's `project.toml` are left.
    pub fn without_buildpacks(mut self) -> Self {
        self.buildpacks.clear();
        self
    }

    /// One more buildpack in place of the builder's own order: its directory, or the id of one that
    /// the builder has.
    pub fn buildpack(mut self, buildpack: impl Into<OsString>) -> Self {
        self.buildpacks.push(("--buildpack", buildpack.into()));
        self
    }

    /// One more buildpack in front of the builder's own order.
    pub fn pre_buildpack(mut self, buildpack: impl Into<OsString>) -> Self {
        self.buildpacks.push(("--pre-buildpack", buildpack.into()));
        self
    }

    /// One more buildpack behind the builder's own order.
    pub fn post_buildpack(mut self, buildpack: impl Into<OsString>) -> Self {
        self.buildpacks.push(("--post-buildpack", buildpack.into()));
        self
    }

    /// One more argument of `pack build`.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Removes the image of the last build, as a machine that has never seen it.
    pub fn without_previous_image(self) -> Self {
        docker(["image", "rm", "--force", &self.names.image]);
        self
    }

    /// Removes the volume that the last build left its cached layers in.
    pub fn without_cache(self) -> Self {
        docker(["volume", "rm", &self.names.caches[0]]);
        self
    }

    /// Runs the build.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn run(self) -> Image {
        let previous = self.image_id();
        let log = self.build();
        let id = self.image_id().expect("it was built");
        if let Some(previous) = previous.filter(|previous| *previous != id) {
            // Without a name by now; a container may still use it.
            let _ = try_docker(["image", "rm", &previous]);
        }
        Image {
            build: self,
            id,
            log,
        }
    }

    fn image_id(&self) -> Option<String> {
        let format = ["image", "inspect", "--format", "{{.Id}}", &self.names.image];
        let (code, stdout, _) = try_docker(format);
        (code == Some(0)).then(|| stdout.trim().to_owned())
    }

    #[track_caller]
    fn build(&self) -> String {
        let app: PathBuf = self.directory.path().join("app");
        self.app.write_to(&app);
        let mut pack = Command::new("pack");
        pack.args(["build", &self.names.image, "--no-color"])
            .args(["--builder", &test_env().builder, "--trust-builder"])
            // Otherwise each build would need a lifecycle image of its own.
            .arg("--trust-extra-buildpacks")
            .args(["--pull-policy", "never"])
            // So that a build reaches the servers of its test on 127.0.0.1.
            .args(["--network", "host"])
            .arg("--path")
            .arg(app);
        for (kind, name) in ["build", "launch"].iter().zip(&self.names.caches) {
            pack.args(["--cache", &format!("type={kind};format=volume;name={name}")]);
        }
        for (option, buildpack) in &self.buildpacks {
            pack.arg(option).arg(buildpack);
        }
        for (name, value) in &self.variables {
            pack.args(["--env", &format!("{name}={value}")]);
        }
        pack.args(&self.arguments);
        let (status, log) = command::run(&mut pack, BUILD_DEADLINE);
        assert!(status.success(), "the build failed:\n{log}");
        log
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        // There may have been no build.
        let _ = try_docker(["image", "rm", "--force", &self.image]);
        let _ = try_docker(["volume", "rm", "--force", &self.caches[0], &self.caches[1]]);
    }
}
