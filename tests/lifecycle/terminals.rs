//! Launches from a terminal, whose keys are for the app. The agent runs as long as the app.

use std::net::TcpListener;
use std::time::Duration;

use harness::lifecycle::{FrontEnd, Image, Running};
use harness::{App, DEADLINE, Key, Process, Terminal, eventually, listen, never_within};
use indoc::indoc;
use rustix::process::Signal;

use crate::fixtures::{APPS_OUTPUT, build_with_agent};

/// An app that every signal ends, and one that goes on after those that a key sends.
const APPS: [(&str, &str); 3] = [
    ("web", "echo the app is up; exec sleep 1000"),
    (
        "below-run",
        r#"exec "$RUN" sh -c "trap 'echo a key was pressed' INT; echo the app is up; while :; do sleep 0.05; done""#,
    ),
    (
        "www",
        "trap 'echo a key was pressed' INT QUIT; echo the app is up; while :; do sleep 0.05; done",
    ),
];

/// An agent that logs its signals.
const LOGGING_AGENT: &str = indoc! {"
    #!/bin/sh
    for signal in HUP INT QUIT TSTP; do
        trap \"echo the agent got $signal\" $signal
    done
    trap 'echo the agent got TERM; exit' TERM
    echo the agent is ready
    while :; do sleep 0.05; done
"};

/// A launch in a terminal, with its agent.
struct TerminalSession {
    // Before the image, as fields are dropped in this order.
    running: Running,
    terminal: Option<Terminal>,
    supervisor: Process,
    agent: Process,
    app: Process,
    _listener: TcpListener,
    _image: Image,
}

impl TerminalSession {
    fn new(process_type: &str, prefix: &'static str) -> Self {
        let app = APPS.iter().fold(App::new(), |app, (name, command)| {
            app.process(name, command)
        });
        let image = build_with_agent(FrontEnd::Cnb, app, LOGGING_AGENT).run();
        let (listener, port) = listen();
        let run = image.agent_layer().join("libexec/backplane-run");
        let launch = image.launch(process_type).connect(port).env("RUN", run);
        let (running, terminal) = launch.start_in_terminal(prefix);
        running.wait_for_stdout(APPS_OUTPUT);
        running.wait_for_stderr("the agent is ready\n");
        Self {
            supervisor: running.wait_for_supervisor(),
            agent: running.wait_for_agent(),
            app: job_of(&running),
            running,
            terminal: Some(terminal),
            _listener: listener,
            _image: image,
        }
    }

    fn press(&self, key: Key) {
        let terminal = self.terminal.as_ref().expect("it is open");
        terminal.press(key);
    }

    fn close_terminal(&mut self) {
        self.terminal = None;
    }

    /// Kills the agent, and asserts that there is another one.
    #[track_caller]
    fn assert_agent_comes_back(&self) {
        self.agent.signal(Signal::KILL);
        eventually(DEADLINE, "another agent", || {
            let log = self.running.stderr();
            (log.matches("the agent is ready\n").count() == 2).then_some(())
        });
    }

    /// Asserts that the app ends, by an earlier event, and the agent after it, by SIGTERM alone.
    #[track_caller]
    fn assert_all_ends(&mut self) {
        eventually(DEADLINE, "the app's end", || {
            (!self.app.is_alive()).then_some(())
        });
        eventually(DEADLINE, "the agent's end", || {
            self.running.agents().is_empty().then_some(())
        });
        // A shell that has seen a stopped job waits for its user.
        self.close_terminal();
        self.running.wait_for_nothing_left();
        let log = self.running.stderr();
        let signals: Vec<&str> = log
            .lines()
            .filter_map(|line| line.strip_prefix("the agent got "))
            .collect();
        assert_eq!(signals, ["TERM"], "{log}");
    }
}

/// The app: the one child of the terminal's shell.
#[track_caller]
fn job_of(running: &Running) -> Process {
    let shell = i32::try_from(running.id()).unwrap();
    let mut jobs = running.processes();
    jobs.retain(|process| process.parent() == Some(shell));
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

#[test]
fn agent_ends_with_an_app_that_a_key_ends() {
    for key in [Key::CtrlC, Key::CtrlBackslash] {
        let mut session = TerminalSession::new("web", "");
        session.press(key);
        session.assert_all_ends();
    }
}

#[test]
fn agent_goes_on_with_an_app_that_handles_a_key() {
    for key in [Key::CtrlC, Key::CtrlBackslash] {
        let mut session = TerminalSession::new("www", "");
        session.press(key);
        session.running.wait_for_stdout("a key was pressed\n");
        assert!(session.agent.is_alive());
        session.assert_agent_comes_back();
        session.app.signal(Signal::TERM);
        session.assert_all_ends();
    }
}

/// The app below `backplane-run` is in the group that the terminal's keys are for, and gets none twice.
#[test]
fn key_reaches_an_app_below_run_once() {
    let mut session = TerminalSession::new("below-run", "");
    session.press(Key::CtrlC);
    session.running.wait_for_stdout("a key was pressed\n");
    let keys = || {
        let output = String::from_utf8(session.running.stdout()).unwrap();
        output.matches("a key was pressed\n").count()
    };
    never_within(Duration::from_millis(500), "a second key", || keys() > 1);
    assert!(session.agent.is_alive());
    session.app.signal(Signal::TERM);
    session.assert_all_ends();
}

#[test]
fn agent_goes_on_while_the_app_is_stopped_by_ctrl_z() {
    for process_type in ["web", "below-run"] {
        let mut session = TerminalSession::new(process_type, "");
        session.press(Key::CtrlZ);
        eventually(DEADLINE, "the stop of the app", || {
            (session.app.stat().state == 'T').then_some(())
        });
        // Longer than the supervisor's interval of two probes.
        never_within(Duration::from_millis(2_500), "the agent's end", || {
            !session.agent.is_alive() || session.agent.stat().state == 'T'
        });
        assert_ne!(session.supervisor.stat().state, 'T');
        session.app.signal(Signal::CONT);
        session.app.signal(Signal::TERM);
        session.assert_all_ends();
    }
}

#[test]
fn agent_ends_with_an_app_whose_terminal_closes() {
    let mut session = TerminalSession::new("web", "");
    session.close_terminal();
    session.assert_all_ends();
}

/// In both ways, everything below the shell ignores SIGHUP, the agent included.
#[test]
fn agent_goes_on_with_an_app_that_outlives_its_terminal() {
    for prefix in ["nohup", "trap '' HUP;"] {
        let mut session = TerminalSession::new("web", prefix);
        assert_ne!(session.app.stat().tty_nr, 0);
        session.close_terminal();
        eventually(DEADLINE, "an app without a terminal", || {
            (session.app.stat().tty_nr == 0).then_some(())
        });
        session.assert_agent_comes_back();
        assert!(
            session.app.is_alive() && session.supervisor.is_alive(),
            "{prefix}"
        );
        session.app.signal(Signal::TERM);
        session.assert_all_ends();
    }
}
