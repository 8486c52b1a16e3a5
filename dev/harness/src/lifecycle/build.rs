//! Builds by the real detector and builder, or by Heroku's classic buildpack API.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use super::front_end::FrontEnd;
use super::heroku::Heroku;
use super::test_env::test_env;
use crate::app::App;
use crate::command;
use crate::{ARCHITECTURE, DEADLINE, HOSTILE_AT_BUILD, read_toml};

/// How long one build may take, with all retries of a download.
const BUILD_DEADLINE: Duration = Duration::from_mins(2);

/// The directory of the layers of the buildpack under test.
const LAYERS: &str = "backplane_agent";

/// A build of an app before its run, with variables as of `pack build --env` or `heroku
/// config:set`.
///
/// The variables are hostile at first, and a build must not mind.
pub struct Build {
    pub(super) front_end: FrontEnd,
    app: App,
    variables: BTreeMap<OsString, OsString>,
    with_backplane: bool,
    directory: TempDir,
}

impl Build {
    pub fn by(front_end: FrontEnd, app: App) -> Self {
        let directory = test_env().new_directory();
        for name in ["platform", "layers"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        Self {
            front_end,
            app,
            variables: HOSTILE_AT_BUILD
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            with_backplane: true,
            directory,
        }
    }

    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Leaves the buildpack under test out, for comparison.
    pub fn without_backplane(mut self) -> Self {
        self.with_backplane = false;
        self
    }

    pub fn with_backplane(mut self) -> Self {
        self.with_backplane = true;
        self
    }

    pub fn layers(&self) -> PathBuf {
        self.directory.path().join("layers")
    }

    /// The layer that the buildpack under test makes; in a slug, the directory with the same
    /// layout.
    pub fn agent_layer(&self) -> PathBuf {
        match self.front_end {
            FrontEnd::Cnb => self.layers().join(LAYERS).join("agent"),
            FrontEnd::Classic => self.heroku().slug().join(".backplane"),
        }
    }

    /// The agent of the next build's cache: the layer itself, or a directory of Heroku's cache.
    pub fn kept_agent(&self) -> PathBuf {
        match self.front_end {
            FrontEnd::Cnb => self.agent_layer(),
            FrontEnd::Classic => self.heroku().cache().join("backplane"),
        }
    }

    /// All directories that a build writes to.
    pub fn written(&self) -> Vec<PathBuf> {
        match self.front_end {
            FrontEnd::Cnb => vec![self.layers()],
            FrontEnd::Classic => vec![self.heroku().slug(), self.heroku().cache()],
        }
    }

    /// The app's directory during a build.
    pub fn app_directory(&self) -> PathBuf {
        self.directory.path().join("app")
    }

    pub(super) fn heroku(&self) -> Heroku<'_> {
        Heroku {
            directory: self.directory.path(),
        }
    }

    /// Runs the build.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn run(self) -> Image {
        let (status, log) = self.attempt();
        assert!(status.success(), "the build failed:\n{log}");
        Image { build: self, log }
    }

    /// Runs a build that has to fail, and returns the log and the build, which can run again.
    ///
    /// # Panics
    ///
    /// When it does not fail.
    #[track_caller]
    pub fn run_to_failure(self) -> (String, Self) {
        let (status, log) = self.attempt();
        assert!(!status.success(), "the build did not fail:\n{log}");
        (log, self)
    }

    fn attempt(&self) -> (ExitStatus, String) {
        if self.front_end == FrontEnd::Classic {
            return self
                .heroku()
                .build(&self.app, &self.variables, BUILD_DEADLINE);
        }
        self.app.write_to(&self.app_directory());
        self.write_platform();
        let (detected, mut log) = self.run_phase("detector");
        if !detected.success() {
            return (detected, log);
        }
        let (built, build_log) = self.run_phase("builder");
        log.push_str(&build_log);
        (built, log)
    }

    fn run_phase(&self, phase: &str) -> (ExitStatus, String) {
        let mut command = Command::new(test_env().lifecycle(phase));
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("CNB_PLATFORM_API", "0.12")
            .arg("-no-color")
            .arg("-app")
            .arg(self.app_directory())
            .arg("-buildpacks")
            .arg(test_env().buildpacks())
            .arg("-layers")
            .arg(self.layers())
            .arg("-platform")
            .arg(self.directory.path().join("platform"));
        if phase == "detector" {
            command
                .arg("-order")
                .arg(self.directory.path().join("order.toml"));
        }
        command::run(&mut command, BUILD_DEADLINE)
    }

    /// Writes the platform's part: variables, the order of buildpacks, and the analyzer's result.
    fn write_platform(&self) {
        let variables = self.directory.path().join("platform/env");
        write_variables(&variables, &self.variables);

        let group = |id: &str, version: &str| {
            format!("[[order.group]]\nid = \"{id}\"\nversion = \"{version}\"\n")
        };
        let mut order = format!("[[order]]\n{}", group("fixture/processes", "0.1.0"));
        if self.with_backplane {
            order += &group("backplane/agent", env!("CARGO_PKG_VERSION"));
        }
        fs::write(self.directory.path().join("order.toml"), order).unwrap();

        let analyzed = format!(
            "[run-image]\nreference = \"run-image\"\n[run-image.target]\nos = \"linux\"\narch = \"{ARCHITECTURE}\"\n\
             [run-image.target.distro]\nname = \"ubuntu\"\nversion = \"24.04\"\n"
        );
        fs::write(self.layers().join("analyzed.toml"), analyzed).unwrap();
    }
}

/// Makes a directory with a file for each variable, as platforms do.
pub(super) fn write_variables<'a>(
    directory: &Path,
    variables: impl IntoIterator<Item = (&'a OsString, &'a OsString)>,
) {
    if directory.exists() {
        fs::remove_dir_all(directory).unwrap();
    }
    fs::create_dir(directory).unwrap();
    for (name, value) in variables {
        fs::write(directory.join(name), value.as_bytes()).unwrap();
    }
}

/// A successful build: the directories of an exporter's image, or the slug.
pub struct Image {
    pub(super) build: Build,
    /// The log of the build, as a user sees it.
    pub log: String,
}

impl Image {
    pub fn layers(&self) -> PathBuf {
        self.build.layers()
    }

    pub fn agent_layer(&self) -> PathBuf {
        self.build.agent_layer()
    }

    pub fn written(&self) -> Vec<PathBuf> {
        self.build.written()
    }

    /// The app's directory during a build.
    pub(super) fn app_directory(&self) -> PathBuf {
        self.build.app_directory()
    }

    /// The recorded source of the agent: in a label of the image, or in Heroku's cache.
    pub fn recorded_source(&self) -> Option<String> {
        match self.build.front_end {
            FrontEnd::Cnb => self.labels().remove("io.backplane.agent.source"),
            FrontEnd::Classic => {
                let path = self.build.kept_agent().join("agent.toml");
                let record = path.exists().then(|| read_toml(&path))?;
                Some(record["source"].as_str().unwrap().to_owned())
            }
        }
    }

    /// The recorded checksum of the agent's download: in a label of the image, or in the slug.
    pub fn recorded_checksum(&self) -> Option<String> {
        match self.build.front_end {
            FrontEnd::Cnb => self.labels().remove("io.backplane.agent.sha256"),
            FrontEnd::Classic => {
                let path = self.agent_layer().join("agent.sha256");
                let checksum = fs::read_to_string(path).unwrap();
                Some(checksum.trim().to_owned()).filter(|checksum| !checksum.is_empty())
            }
        }
    }

    /// The labels that the image would have.
    fn labels(&self) -> BTreeMap<String, String> {
        let metadata = read_toml(&self.layers().join("config/metadata.toml"));
        let labels = metadata.get("labels").and_then(toml::Value::as_array);
        labels
            .into_iter()
            .flatten()
            .map(|label| {
                let field = |name: &str| label[name].as_str().unwrap().to_owned();
                (field("key"), field("value"))
            })
            .collect()
    }

    /// The exit status and output of `backplane-status` for an app on this port.
    #[track_caller]
    pub fn status(&self, port: u16) -> (ExitStatus, String) {
        let mut program = Command::new(self.agent_layer().join("libexec/backplane-status"));
        program.env_clear().env("PORT", port.to_string());
        command::run(&mut program, DEADLINE)
    }

    /// Puts a script before the exec.d program, which is then `"$2"`, to be run by the name of
    /// `"$1"`: for limits that the launcher, a program of many threads, would not survive.
    pub fn before_exec_d(&self, script: &str) {
        let program = self.agent_layer().join("exec.d/launch");
        // The harness knows our processes by the end of this path.
        let moved = self.agent_layer().join("moved/exec.d/launch");
        fs::create_dir_all(moved.parent().unwrap()).unwrap();
        fs::rename(&program, &moved).unwrap();
        let script = format!(
            "#!/bin/bash\nset -- \"$0\" '{}' \"$@\"\n{script}\n",
            moved.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }

    /// Builds once more, with the cache of a platform.
    #[track_caller]
    pub fn rebuild(self) -> Self {
        self.restored().run()
    }

    /// The next build of the app, with the layers that the restorer would have put there. Heroku's
    /// cache stays as it is.
    ///
    /// That is, for each layer with `cache = true`, the layer and its metadata without its types;
    /// all else is gone. See the specification, "Phase #2: Analysis" and "Layer Types":
    /// <https://github.com/buildpacks/spec/blob/buildpack/v0.10/buildpack.md#layer-types>.
    pub fn restored(self) -> Build {
        if self.build.front_end == FrontEnd::Classic {
            return self.build;
        }
        for entry in fs::read_dir(self.layers()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            } else if path.ends_with("config") || path.ends_with("sbom") {
                fs::remove_dir_all(path).unwrap();
            } else {
                restore_layers(&path);
            }
        }
        self.build
    }
}

/// Keeps the cached ones of a buildpack's layers: their directories, descriptions and SBOMs.
fn restore_layers(directory: &Path) {
    let paths = || {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path())
    };
    // `NAME`, `NAME.toml` or `NAME.sbom.EXTENSION`.
    let layer_of = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.split('.').next().unwrap().to_owned()
    };
    let mut cached = BTreeSet::new();
    for path in paths().filter(|path| path.extension().is_some_and(|it| it == "toml")) {
        let mut description = read_toml(&path);
        let types = description.remove("types");
        if types.is_some_and(|types| types.get("cache") == Some(&true.into())) {
            fs::write(&path, description.to_string()).unwrap();
            cached.insert(layer_of(&path));
        }
    }
    for path in paths().filter(|path| !cached.contains(&layer_of(path))) {
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
}
