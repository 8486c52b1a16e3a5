//! Heroku's part for classic buildpacks: a build dyno that compiles, and dynos that run the slug.
//!
//! <https://devcenter.heroku.com/articles/buildpack-api> and
//! <https://devcenter.heroku.com/articles/dynos>.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::build::{Image, write_variables};
use super::launch::Launch;
use super::test_env::test_env;
use crate::app::App;
use crate::command;

/// How a dyno starts: the shell reads what buildpacks have left in `.profile.d`, and becomes the
/// process.
const DYNO_START: &str = r#"
    cd "$HOME"
    for script in .profile.d/*.sh; do
        [[ ! -e $script ]] || source "$script"
    done
    exec bash -c "$1"
"#;

/// The variables of a build that are the build dyno's, and no config vars.
const OF_BUILD_DYNO: [&str; 3] = ["HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"];

/// The directories of one app on Heroku, below a directory of the test. If no variable or URL names
/// them, their names have a space.
pub(super) struct Heroku<'a> {
    pub(super) directory: &'a Path,
}

impl Heroku<'_> {
    /// `BUILD_DIR`.
    pub(super) fn build_directory(&self) -> PathBuf {
        self.directory.join("app")
    }

    /// `CACHE_DIR`.
    pub(super) fn cache(&self) -> PathBuf {
        self.directory.join("build cache")
    }

    /// The app at run time: in another place than at its build.
    pub(super) fn slug(&self) -> PathBuf {
        self.directory.join("a dyno/app")
    }

    /// `ENV_DIR`.
    fn config_vars(&self) -> PathBuf {
        self.directory.join("config vars")
    }

    /// Builds the slug from the app; a failed build leaves the one before.
    pub(super) fn build(
        &self,
        app: &App,
        variables: &BTreeMap<OsString, OsString>,
        deadline: Duration,
    ) -> (ExitStatus, String) {
        app.write_to(&self.build_directory());
        let file = |name: &str| self.build_directory().join(name);
        fs::rename(file("processes"), file("Procfile")).unwrap();
        fs::create_dir_all(self.cache()).unwrap();
        let (process_variables, config_vars): (Vec<_>, Vec<_>) = variables
            .iter()
            .partition(|(name, _)| OF_BUILD_DYNO.iter().any(|ours| name == ours));
        write_variables(&self.config_vars(), config_vars);

        let call = |program: &str, arguments: &[&Path]| {
            let program = test_env().classic_buildpack().join("bin").join(program);
            let mut command = Command::new(program);
            command
                .args(arguments)
                .current_dir("/")
                .env_clear()
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env("HOME", "/app")
                .env("STACK", "heroku-24")
                .env("DYNO", "run.1")
                // Of the build dyno, and so without effect.
                .env("BACKPLANE_AGENT_URL", "of-the-build-dyno")
                .env("BACKPLANE_AGENT_SHA256", "of-the-build-dyno")
                .env("BACKPLANE_AGENT_SHA", "of-the-build-dyno")
                .envs(process_variables.iter().copied());
            command::run(&mut command, deadline)
        };
        let app = self.build_directory();
        let (detected, name) = call("detect", &[&app]);
        assert!(detected.success() && name == "Backplane\n", "{name}");
        let (compiled, log) = call("compile", &[&app, &self.cache(), &self.config_vars()]);
        if compiled.success() {
            self.make_slug();
        }
        (compiled, log)
    }

    fn make_slug(&self) {
        if self.slug().exists() {
            fs::remove_dir_all(self.slug()).unwrap();
        }
        fs::create_dir_all(self.slug().parent().unwrap()).unwrap();
        fs::rename(self.build_directory(), self.slug()).unwrap();
    }

    /// The command of a process type in the slug's Procfile.
    pub(super) fn command_of(&self, process_type: &str) -> String {
        let processes = fs::read_to_string(self.slug().join("Procfile")).unwrap();
        let mut processes = processes.lines().filter_map(|line| line.split_once(": "));
        let (_, command) = processes
            .find(|(name, _)| *name == process_type)
            .expect("the app has this process type");
        command.to_owned()
    }
}

impl Image {
    /// A launch of a command on a dyno of this name.
    pub fn launch_on_dyno(&self, dyno: &str, command: &str) -> Launch {
        Launch::of(
            "/bin/bash".into(),
            "bash".into(),
            ["-c", DYNO_START, "bash", command].map(Into::into).into(),
            [
                ("DYNO", dyno.into()),
                ("STACK", "heroku-24".into()),
                ("HOME", self.build.heroku().slug().into()),
                ("PATH", "/usr/local/bin:/usr/bin:/bin".into()),
            ],
        )
    }
}
