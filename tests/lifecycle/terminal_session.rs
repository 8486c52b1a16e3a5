//! Launches with one thing changed at a time, and what became of them: for tables of cases.

use std::net::TcpListener;

use harness::lifecycle::{FrontEnd, Image, Launch, Running};
use harness::{ReservedPort, zombies_of};

use crate::fixtures::{APPS_OUTPUT, SCRIPT_AGENT, build_by};

/// What is to become of a launch.
pub(crate) enum Outcome {
    /// An agent with these labels, and on a dyno, with one more.
    Agent(&'static str),
    /// An agent with these labels, after these lines.
    AgentAfter(&'static str, &'static [&'static str]),
    /// No agent, and not a word of it.
    Silence,
    /// No agent, and these lines.
    Words(&'static [&'static str]),
}
use Outcome::{Agent, AgentAfter, Silence, Words};

/// How the process is started.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    Type(&'static str),
    /// By a command for once, which is of no type.
    Command,
    /// By this name, as by `--entrypoint`; of Cloud Native Buildpacks only.
    Name(&'static str),
}
use Start::{Command, Name, Type};

/// How it is started, the variables that make the case, and what is to become of it.
pub(crate) type Case = (Start, &'static [(&'static str, &'static str)], Outcome);

/// An image with an agent, and a port on which the app listens.
pub(crate) struct Stage {
    front_end: FrontEnd,
    image: Image,
    pub(crate) port: u16,
    _listener: TcpListener,
}

impl Stage {
    pub(crate) fn new(front_end: FrontEnd) -> Self {
        let port = ReservedPort::reserve();
        Self {
            front_end,
            image: build_by(front_end, SCRIPT_AGENT).run(),
            port: port.number,
            _listener: port.listen(),
        }
    }

    /// A launch with all that it takes to get an agent, changed by `variables`, of which empty ones are as good as unset.
    pub(crate) fn launch(&self, start: Start, variables: &[(&str, &str)]) -> Launch {
        let launch = match start {
            Type(process_type) => self.image.launch(process_type),
            Command => self.image.launch_once("echo the app is up; read -r _"),
            Name(name) => self.image.launch_as(name),
        };
        variables
            .iter()
            .fold(launch.connect(self.port), |launch, (name, value)| {
                launch.env(*name, *value)
            })
    }

    /// Runs every case as long as it takes to see its outcome.
    #[track_caller]
    pub(crate) fn run(&self, cases: &[Case]) {
        for (start, variables, outcome) in cases {
            let running = self.launch(*start, variables).start();
            running.wait_for_stdout(APPS_OUTPUT);
            match outcome {
                Agent(labels) => self.sees_agent(&running, variables, labels, &[]),
                AgentAfter(labels, lines) => self.sees_agent(&running, variables, labels, lines),
                Silence => {
                    sees_none(&running, variables, &[]);
                    // Debug explains every decision.
                    let running = self
                        .launch(*start, variables)
                        .env("BACKPLANE_LOG", "debug")
                        .start();
                    running.wait_for_stdout(APPS_OUTPUT);
                    let lines = running.our_lines();
                    let last = lines
                        .last()
                        .unwrap_or_else(|| panic!("{variables:?}: no word"));
                    assert!(
                        last.starts_with("[backplane] No agent for this process: "),
                        "{variables:?}: {lines:?}"
                    );
                }
                Words(lines) => sees_none(&running, variables, lines),
            }
        }
    }

    #[track_caller]
    fn sees_agent(
        &self,
        running: &Running,
        variables: &[(&str, &str)],
        labels: &str,
        lines: &[&str],
    ) {
        let agent = running.wait_for_agent();
        let arguments = agent.arguments();
        let url = format!("http://127.0.0.1:{}", self.port);
        let labels = self.front_end.labels(labels);
        assert_eq!(arguments[2..], ["connect", &labels, &url], "{variables:?}");
        running.wait_for_stderr("The agent started");
        let found = running.our_lines();
        assert_lines(&found[..found.len() - 1], lines);
    }
}

/// The decision is made, and a supervisor started, before the app is.
#[track_caller]
fn sees_none(running: &Running, variables: &[(&str, &str)], lines: &[&str]) {
    assert_eq!(running.supervisors().len(), 0, "{variables:?}");
    assert_eq!(zombies_of(running.id()), [0; 0], "{variables:?}");
    assert_lines(&running.our_lines(), lines);
}

/// Asserts that these are the lines, each by how it begins.
#[track_caller]
pub(crate) fn assert_lines(found: &[String], beginnings: &[&str]) {
    let is_line = |(line, beginning): (&String, &&str)| {
        line.strip_prefix("[backplane] ")
            .is_some_and(|line| line.starts_with(beginning))
    };
    let are_lines = found.len() == beginnings.len() && found.iter().zip(beginnings).all(is_line);
    assert!(are_lines, "{found:#?}, not {beginnings:#?}");
}

/// Asserts that the only line says that the kernel refused what a supervisor needs, for this error. Its words differ between C libraries, its
/// number does not.
#[track_caller]
pub(crate) fn assert_not_started(found: &[String], errno: i32) {
    assert_lines(found, &["No agent for this process: unable to "]);
    let reason = format!("(os error {errno})");
    assert!(found[0].contains(&reason), "{found:?}, not {reason}");
}
