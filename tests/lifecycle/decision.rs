//! Which processes get an agent, and what a user reads where one does not: the rules through the real launcher, in their order.

use crate::subjects::{APPS_OUTPUT, SCRIPT_AGENT, image_with_agent};
use crate::support::{Image, Launch, ReservedPort, Running};
use std::net::TcpListener;

/// What is to become of a launch.
enum Outcome {
    /// An agent with these labels.
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
enum Start {
    Type(&'static str),
    /// By a command after `--`, which hides the type.
    Command,
    /// By this name, as by `--entrypoint`.
    Name(&'static str),
}
use Start::{Command, Name, Type};

type Case = (Start, &'static [(&'static str, &'static str)], Outcome);

/// An image with an agent, and a port on which the app listens.
struct Stage {
    image: Image,
    port: u16,
    _listener: TcpListener,
}

impl Stage {
    fn new() -> Self {
        let port = ReservedPort::new();
        Self {
            image: image_with_agent(SCRIPT_AGENT),
            port: port.number,
            _listener: port.listen(),
        }
    }

    /// A launch with all that it takes to get an agent, changed by `variables`, of which empty ones are as good as unset.
    fn launch(&self, start: Start, variables: &[(&str, &str)]) -> Launch {
        let launch = match start {
            Type(process_type) => self.image.launch(process_type),
            Command => {
                self.image
                    .launch_command(&["--", "sh", "-c", "echo the app is up; read -r _"])
            }
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
    fn run(&self, cases: &[Case]) {
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
        assert_eq!(arguments[2..], ["connect", labels, &url], "{variables:?}");
        running.wait_for_stderr("The agent is started");
        let found = running.our_lines();
        assert_eq!(
            found[..found.len() - 1],
            with_prefix(lines),
            "{variables:?}"
        );
    }
}

/// The decision is made, and a supervisor started, before the app is.
#[track_caller]
fn sees_none(running: &Running, variables: &[(&str, &str)], lines: &[&str]) {
    assert_eq!(running.supervisors().len(), 0, "{variables:?}");
    assert_eq!(running.our_lines(), with_prefix(lines), "{variables:?}");
}

fn with_prefix(lines: &[&str]) -> Vec<String> {
    lines
        .iter()
        .map(|line| format!("[backplane] {line}"))
        .collect()
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn disabled_is_silence() {
    let stage = Stage::new();
    for yes in ["1", "true", "yes", "on", "TRUE", " true "] {
        let running = stage
            .launch(Type("web"), &[("BACKPLANE_DISABLED", yes)])
            .start();
        running.wait_for_stdout(APPS_OUTPUT);
        sees_none(&running, &[("BACKPLANE_DISABLED", yes)], &[]);
    }
    stage.run(&[
        (Type("web"), &[("BACKPLANE_DISABLED", "1")], Silence),
        (Type("web"), &[("BACKPLANE_DISABLED", "1"), ("BACKPLANE_TOKEN", "")], Silence),
        (Type("web"), &[("BACKPLANE_DISABLED", "1"), ("BACKPLANE_DRAIN", "what")], Silence),
        (Type("web"), &[("BACKPLANE_DISABLED", "0")], Agent("some=label")),
        (Type("web"), &[("BACKPLANE_DISABLED", "false")], Agent("some=label")),
        (Type("web"), &[("BACKPLANE_DISABLED", "")], Agent("some=label")),
        (
            Type("web"),
            &[("BACKPLANE_DISABLED", "maybe")],
            AgentAfter(
                "some=label",
                &["BACKPLANE_DISABLED is 'maybe', but should be one of true, false, 1, 0, yes, no, on, off. It is taken as false."],
            ),
        ),
    ]);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn process_type_is_found() {
    // Each type has a label of its own, which shows what it was taken for.
    const WEB: (&str, &str) = ("BACKPLANE_LABELS_WEB", "is=web");
    const WORKER: (&str, &str) = ("BACKPLANE_LABELS_WORKER", "is=worker");
    const TWO_PARTS: (&str, &str) = ("BACKPLANE_LABELS_TWO_PARTS", "is=two-parts");
    Stage::new().run(&[
        // By the launcher's name.
        (
            Type("web"),
            &[WEB, WORKER, TWO_PARTS],
            Agent("some=label,is=web"),
        ),
        (
            Type("worker"),
            &[WEB, WORKER, TWO_PARTS],
            Agent("some=label,is=worker"),
        ),
        (
            Type("two-parts"),
            &[WEB, WORKER, TWO_PARTS],
            Agent("some=label,is=two-parts"),
        ),
        (Name("/somewhere/web"), &[WEB], Silence),
        // No link of that name in /cnb/process here.
        (Name("web"), &[WEB], Silence),
        (Command, &[WEB], Silence),
        // By what Heroku says, whatever the launcher's name.
        (
            Command,
            &[WEB, ("DYNO", "web.1")],
            Agent("some=label,is=web,heroku=true"),
        ),
        (
            Type("web"),
            &[WEB, WORKER, ("DYNO", "worker.12")],
            Agent("some=label,is=worker,heroku=true"),
        ),
        (
            Command,
            &[WEB, ("DYNO", "web-12a34b56d-e78f9")],
            Agent("some=label,is=web,heroku=true"),
        ),
        (
            Command,
            &[TWO_PARTS, ("DYNO", "two-parts-12a34b56d-e78f9")],
            Agent("some=label,is=two-parts,heroku=true"),
        ),
        (Type("web"), &[WEB, ("DYNO", "run.4321")], Silence),
        (Type("web"), &[WEB, ("DYNO", "run-7f8d9c-x2z4")], Silence),
        (Type("web"), &[WEB, ("DYNO", "release.5521")], Silence),
        (Type("web"), &[WEB, ("DYNO", "scheduler.7")], Silence),
        // A name of no known shape says nothing.
        (
            Type("web"),
            &[WEB, ("DYNO", "something else")],
            Agent("some=label,is=web,heroku=true"),
        ),
        (Command, &[WEB, ("DYNO", "something else")], Silence),
        // By the user, above all.
        (
            Command,
            &[WEB, ("BACKPLANE_PROCESS_TYPE", "web")],
            Agent("some=label,is=web"),
        ),
        (
            Type("web"),
            &[WEB, WORKER, ("BACKPLANE_PROCESS_TYPE", "worker")],
            Agent("some=label,is=worker"),
        ),
        (Type("web"), &[("BACKPLANE_PROCESS_TYPE", "run")], Silence),
        (
            Type("web"),
            &[("BACKPLANE_PROCESS_TYPE", "run"), ("DYNO", "web.1")],
            Silence,
        ),
        (
            Type("web"),
            &[WEB, ("BACKPLANE_PROCESS_TYPE", "")],
            Agent("some=label,is=web"),
        ),
    ]);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn lists_choose_the_types() {
    const IGNORE: &str = "BACKPLANE_IGNORE_PROCESS_TYPE";
    const ALLOW: &str = "BACKPLANE_PROCESS_ALLOW";
    Stage::new().run(&[
        (Type("web"), &[(IGNORE, "web")], Silence),
        (Type("web"), &[(IGNORE, "worker,web")], Silence),
        (Type("web"), &[(IGNORE, "worker  web")], Silence),
        (Type("web"), &[(IGNORE, " , web , ")], Silence),
        (Type("worker"), &[(IGNORE, "web")], Agent("some=label")),
        // By whole word.
        (
            Type("web"),
            &[(IGNORE, "webby, we, two-web")],
            Agent("some=label"),
        ),
        (Type("web"), &[(IGNORE, "")], Agent("some=label")),
        (Type("web"), &[(IGNORE, " , ")], Agent("some=label")),
        (Type("web"), &[(ALLOW, "web")], Agent("some=label")),
        (Type("web"), &[(ALLOW, "worker, web")], Agent("some=label")),
        (Type("web"), &[(ALLOW, "worker")], Silence),
        (Type("web"), &[(ALLOW, "webby")], Silence),
        (Type("web"), &[(ALLOW, "")], Agent("some=label")),
        (Type("web"), &[(ALLOW, ",")], Agent("some=label")),
        (Command, &[(ALLOW, "web")], Silence),
        // Ignore wins over allow.
        (Type("web"), &[(ALLOW, "web"), (IGNORE, "web")], Silence),
        // Who allows a one-off type means it.
        (Type("release"), &[(ALLOW, "release")], Agent("some=label")),
        (
            Type("web"),
            &[(ALLOW, "run"), ("DYNO", "run.1")],
            Agent("some=label,heroku=true"),
        ),
        (
            Type("web"),
            &[(ALLOW, "web"), ("HEROKU_TEST_RUN_ID", "1")],
            Agent("some=label"),
        ),
    ]);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn one_offs_are_not_disturbed() {
    Stage::new().run(&[
        (Type("run"), &[], Silence),
        (Type("release"), &[], Silence),
        (Type("scheduler"), &[], Silence),
        (Command, &[], Silence),
        (Type("web"), &[("HEROKU_TEST_RUN_ID", "b5b7")], Silence),
        (
            Type("web"),
            &[("HEROKU_TEST_RUN_ID", "")],
            Agent("some=label"),
        ),
        // Not even by what would be warned of elsewhere.
        (Type("run"), &[("BACKPLANE_TOKEN", "")], Silence),
        (Type("run"), &[("BACKPLANE_LABELS", "-")], Silence),
        (Type("run"), &[("BACKPLANE_DRAIN", "what")], Silence),
    ]);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn missing_settings_are_told_where_they_are_missed() {
    const NO_TOKEN: Outcome = Words(&[
        "No agent for this process: it has no token. Set BACKPLANE_TOKEN, or bind a service of type backplane.",
    ]);
    const NO_TARGET: Outcome = Words(&[
        "No agent for this process: neither PORT nor BACKPLANE_PROXY_URL says where the app listens. \
         Set one, for example BACKPLANE_PROXY_URL=http://127.0.0.1:8080.",
    ]);
    let stage = Stage::new();
    stage.run(&[
        (Type("web"), &[("BACKPLANE_TOKEN", "")], NO_TOKEN),
        (Type("www"), &[("BACKPLANE_TOKEN", "")], NO_TOKEN),
        (Type("worker"), &[("BACKPLANE_TOKEN", "")], Silence),
        (
            Type("worker"),
            &[
                ("BACKPLANE_TOKEN", ""),
                ("BACKPLANE_PROCESS_ALLOW", "worker"),
            ],
            NO_TOKEN,
        ),
        (Type("web"), &[("PORT", "")], NO_TARGET),
        (Type("www"), &[("PORT", "")], NO_TARGET),
        (Type("worker"), &[("PORT", "")], Silence),
        (
            Type("worker"),
            &[("PORT", ""), ("BACKPLANE_PROCESS_ALLOW", "worker")],
            NO_TARGET,
        ),
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "")],
            Words(&[
                "No agent for this process: it has no labels, so no route could match it. \
                     Set BACKPLANE_LABELS or BACKPLANE_LABELS_WEB, for example to app=shop.",
            ]),
        ),
        // The type's own labels will do.
        (
            Type("web"),
            &[("BACKPLANE_LABELS", ""), ("BACKPLANE_LABELS_WEB", "a=b")],
            Agent("a=b"),
        ),
    ]);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn malformed_settings_are_told() {
    Stage::new().run(&[
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "some=label,--flag")],
            Words(&["No agent for this process: the label '--flag' starts with a dash, and the agent would take it for an option. \
                     Change it in BACKPLANE_LABELS, for example to app=shop."]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "some=la\u{7}bel")],
            Words(&["No agent for this process: the label 'some=la\\u{7}bel' has a control character in it. \
                     Change it in BACKPLANE_LABELS; labels are separated by commas."]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_LABELS", "some=label,shop")],
            AgentAfter(
                "some=label,shop",
                &["The label 'shop' has no value. A route matches key=value; write it so if no request comes through."],
            ),
        ),
        (
            Type("web"),
            &[("PORT", "http")],
            Words(&["No agent for this process: PORT is 'http', but should be a number from 1 to 65535."]),
        ),
        (
            // A malformed setting is told to workers too: it is no missing one.
            Type("worker"),
            &[("PORT", "0")],
            Words(&["No agent for this process: PORT is '0', but should be a number from 1 to 65535."]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_PROXY_URL", "127.0.0.1:80")],
            Words(&["No agent for this process: BACKPLANE_PROXY_URL is '127.0.0.1:80', but it should start with http:// or https://. \
                     Set it, for example, to http://127.0.0.1:8080, or unset it and let PORT tell."]),
        ),
        (
            Type("web"),
            &[("BACKPLANE_WAIT_FOR_APP", "later"), ("BACKPLANE_DRAIN", "what"), ("BACKPLANE_LOG", "loud")],
            AgentAfter(
                "some=label",
                &[
                    "BACKPLANE_WAIT_FOR_APP is 'later', but should be one of true, false, 1, 0, yes, no, on, off. It is taken as true.",
                    "BACKPLANE_DRAIN is 'what', but should be one of keep, stop. It is taken as keep.",
                    "BACKPLANE_LOG is 'loud', but should be one of info, quiet, debug. It is taken as info.",
                ],
            ),
        ),
    ]);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn proxy_url_goes_before_port() {
    let stage = Stage::new();
    let url = format!("http://localhost:{}/base?query", stage.port);
    let running = stage
        .launch(
            Type("worker"),
            &[("PORT", "1"), ("BACKPLANE_PROXY_URL", &url)],
        )
        .start();
    assert_eq!(
        running.wait_for_agent().arguments()[2..],
        ["connect", "some=label", &url]
    );
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn quiet_leaves_warnings_only() {
    let stage = Stage::new();
    let running = stage
        .launch(
            Type("web"),
            &[("BACKPLANE_LOG", "quiet"), ("BACKPLANE_LABELS", "shop")],
        )
        .start();
    running.wait_for_agent();
    assert_eq!(
        running.our_lines(),
        with_prefix(&[
            "The label 'shop' has no value. A route matches key=value; write it so if no request comes through."
        ])
    );
}
