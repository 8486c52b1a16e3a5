//! Containers of an image.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::docker::{docker, try_docker};
use super::image::Image;
use super::test_env::test_env;
use crate::edge::Edge;
use crate::{DEADLINE, HOSTILE_AT_LAUNCH, TOKEN, eventually, our_lines};

/// The port of an app in a container, where it is free.
const PORT: u16 = 8080;

/// How a container reaches the machine that it runs on.
const HOST: &str = "host.docker.internal";

/// A `docker run` before its start, with variables of an app that our programs must not mind.
pub struct Run {
    image: String,
    options: Vec<OsString>,
    variables: BTreeMap<String, String>,
    command: Vec<OsString>,
    /// The container whose network it uses, instead of one of its own.
    network_of: Option<String>,
}

impl Image {
    /// A run of the image as it is: its default process.
    pub fn container(&self) -> Run {
        Run {
            image: self.id.clone(),
            options: Vec::new(),
            variables: HOSTILE_AT_LAUNCH
                .into_iter()
                .chain([("HOME", "/invalid")])
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            command: Vec::new(),
            network_of: None,
        }
    }

    /// A run of one of its process types.
    pub fn process(&self, process_type: &str) -> Run {
        self.container().options(["--entrypoint", process_type])
    }
}

impl Run {
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Adds options of `docker run`.
    pub fn options(mut self, options: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// Puts it into the network of another container, like the containers of a Kubernetes pod.
    pub fn in_network_of(mut self, other: &Container) -> Self {
        self.network_of = Some(other.name.clone());
        self
    }

    /// Sets the command for the entrypoint.
    pub fn command(mut self, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// Sets what an agent needs: a token, the label `some=label`, a port for the app, and the edge.
    pub fn connect(self, edge: &Edge) -> Self {
        let (_, port) = edge.agents.rsplit_once(':').expect("HOST:PORT");
        self.env("BACKPLANE_TOKEN", TOKEN)
            .env("BACKPLANE_LABELS", "some=label")
            .env("PORT", PORT.to_string())
            .env("BACKPLANE_EDGE", format!("{HOST}:{port}"))
    }

    /// Starts the container.
    #[track_caller]
    pub fn start(self) -> Container {
        let name = test_env().new_name();
        let mut arguments: Vec<OsString> =
            ["run", "--detach", "--name", &name].map(Into::into).into();
        arguments.extend(["--label", test_env().label()].map(Into::into));
        match &self.network_of {
            // With the network it has the other one's table of hosts.
            Some(other) => {
                arguments.extend(["--network", &format!("container:{other}")].map(Into::into));
            }
            None => {
                arguments.extend(["--add-host", &format!("{HOST}:host-gateway")].map(Into::into));
            }
        }
        for (name, value) in &self.variables {
            arguments.extend(["--env".into(), format!("{name}={value}").into()]);
        }
        arguments.extend(self.options);
        arguments.push(self.image.into());
        arguments.extend(self.command);
        // Before it is started, so that a failure to start removes it too.
        let container = Container { name };
        docker(arguments);
        container
    }
}

/// A container. It is removed, with all that runs in it, when this is dropped.
pub struct Container {
    pub name: String,
}

impl Container {
    /// The stdout of its processes so far.
    pub fn stdout(&self) -> String {
        self.logs().0
    }

    /// The stderr of its processes so far.
    pub fn stderr(&self) -> String {
        self.logs().1
    }

    /// The lines of our programs so far.
    pub fn our_lines(&self) -> Vec<String> {
        our_lines(&self.stderr())
    }

    fn logs(&self) -> (String, String) {
        let (code, stdout, stderr) = try_docker(["logs", &self.name]);
        assert_eq!(code, Some(0), "{stderr}");
        (stdout, stderr)
    }

    #[track_caller]
    pub fn wait_for_stdout(&self, text: &str) {
        self.eventually(&format!("{text:?} on stdout"), || {
            self.stdout().contains(text).then_some(())
        });
    }

    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str) {
        self.eventually(&format!("{text:?} on stderr"), || {
            self.stderr().contains(text).then_some(())
        });
    }

    /// Asks `question` until it has an answer; a failure shows the processes and the logs.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, question: impl FnMut() -> Option<T>) -> T {
        let what = fmt::from_fn(|f| {
            let (_, top, _) = try_docker(["top", &self.name]);
            let (stdout, stderr) = self.logs();
            write!(
                f,
                "{what} (processes: {top}; stdout: {stdout}; stderr: {stderr})"
            )
        });
        eventually(DEADLINE, what, question)
    }

    /// Runs a command by `docker exec`, and returns its exit code, stdout and stderr.
    #[track_caller]
    pub fn exec(&self, words: &[&str]) -> (Option<i32>, String, String) {
        try_docker(["exec", &self.name].iter().chain(words))
    }

    /// The output of `docker inspect` in this format.
    #[track_caller]
    pub fn inspect(&self, format: &str) -> String {
        docker(["container", "inspect", "--format", format, &self.name])
    }

    /// The command lines of its processes, process 1 first.
    #[track_caller]
    pub fn processes(&self) -> Vec<String> {
        let listing = docker(["top", &self.name, "-o", "pid,args"]);
        let rows = listing.lines().skip(1).map(str::trim_start);
        rows.map(|row| {
            row.split_once(' ')
                .expect("two columns")
                .1
                .trim()
                .to_owned()
        })
        .collect()
    }

    /// The states of its processes, as in ps(1): `Z` for a zombie.
    #[track_caller]
    pub fn states(&self) -> Vec<String> {
        let listing = docker(["top", &self.name, "-o", "pid,stat"]);
        let rows = listing.lines().skip(1);
        rows.filter_map(|row| row.split_whitespace().nth(1).map(str::to_owned))
            .collect()
    }

    /// Runs this command of docker, such as `pause`.
    #[track_caller]
    pub fn docker(&self, command: &str) {
        docker([command, &self.name]);
    }

    /// Stops it as `docker stop` does, with this many seconds of grace.
    #[track_caller]
    pub fn stop(&self, grace: u32) {
        docker(["stop", "--time", &grace.to_string(), &self.name]);
    }

    /// Sends a signal to process 1.
    #[track_caller]
    pub fn kill(&self, signal: &str) {
        docker(["kill", "--signal", signal, &self.name]);
    }

    /// Waits for its end, and returns its exit code.
    #[track_caller]
    pub fn wait(&self) -> i32 {
        self.eventually("the container's end", || {
            (self.inspect("{{.State.Running}}") == "false").then_some(())
        });
        self.inspect("{{.State.ExitCode}}").parse().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Also one that could not be started.
        let _ = try_docker(["rm", "--force", "--volumes", &self.name]);
    }
}
