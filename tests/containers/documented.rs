//! A user of the documents, who types their commands.

use std::ffi::OsString;
use std::path::Path;

use harness::App;
use harness::containers::{Container, test_env};
use tempfile::TempDir;

/// What the user has set up: a default builder, a source of the agent, and a name server.
const SET_UP: &str = r#"
    set -eu
    pack() {
        command pack "$@" --path "$APP" --builder "$BUILDER" --trust-builder --trust-extra-buildpacks \
            --pull-policy never --network host --cache "type=build;format=volume;name=$NAME-build" \
            --cache "type=launch;format=volume;name=$NAME-launch" \
            --env BACKPLANE_AGENT_URL --env BACKPLANE_AGENT_SHA256
    }
    docker() {
        [ "$1" != run ] || {
            shift
            set -- run --label "$LABEL" --env BACKPLANE_EDGE --env BACKPLANE_FRP_PORT "$@"
        }
        command docker "$@"
    }
    curl() {
        command curl --silent --show-error --fail --connect-to "::$PUBLIC" "$@"
    }
"#;

pub(crate) struct User {
    directory: TempDir,
    /// It has the name of its image.
    pub(crate) container: Container,
    variables: Vec<(&'static str, OsString)>,
    words: Vec<(&'static str, String)>,
}

impl User {
    /// A user with the source of this app.
    pub(crate) fn new(app: &App) -> Self {
        let directory = test_env().new_directory();
        app.write_to(&directory.path().join("app"));
        let name = test_env().new_name();
        Self {
            directory,
            words: vec![("my-app", name.clone())],
            container: Container { name },
            variables: Vec::new(),
        }
    }

    /// The directory in which the user types.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A variable of the user's shell.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Types `value` where a command has this example.
    pub(crate) fn instead_of(mut self, example: &'static str, value: impl Into<String>) -> Self {
        self.words.push((example, value.into()));
        self
    }

    /// Types commands that succeed, and returns what they print on stdout.
    #[track_caller]
    pub(crate) fn run(&self, commands: &str) -> String {
        self.try_run(commands)
            .unwrap_or_else(|output| panic!("{commands}: {output}"))
    }

    /// Types commands, and returns what they print: on stdout, or all if they fail.
    pub(crate) fn try_run(&self, commands: &str) -> Result<String, String> {
        let words = self.words.iter();
        let commands = words.fold(commands.to_owned(), |commands, (example, value)| {
            commands.replace(example, value)
        });
        let output = test_env()
            .shell()
            .arg(format!("{SET_UP}{commands}"))
            .current_dir(&self.directory)
            .env("APP", "app")
            .env("BUILDER", &test_env().builder)
            .env("NAME", &self.container.name)
            .env("COMPOSE_PROJECT_NAME", &self.container.name)
            .env("LABEL", test_env().label())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        if output.status.success() {
            Ok(stdout)
        } else {
            Err(stdout + &stderr)
        }
    }
}
