//! The status of an agent: the supervisor's side, which renders it, for programs as JSON and for
//! people.

pub(crate) mod program;
pub(crate) mod server;

use std::fmt::{self, Display, Formatter, Write as _};

use rustix::process::Pid;

use crate::limits;
use crate::log;
use crate::state_machine::{AgentState, AgentStatus, Health};

/// No report is longer, in bytes; its socket's buffer holds it whole, so that the supervisor never
/// waits for its reader.
pub(crate) const MAX_REPORT: usize = 64 * 1024;

/// Part of the JSON of a report while there is no agent.
pub(crate) const NO_AGENT: &str = "\"agent_pid\":null";

/// The longest text in a report, which has it twice. In JSON, some characters take two bytes.
const MAX_TEXT: usize = 4 * 1024;

/// The report of a supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Report<'a> {
    pub(crate) agent: AgentStatus,
    /// Without credentials.
    pub(crate) upstream: String,
    pub(crate) info: &'a [(String, Option<String>)],
    pub(crate) agent_pid: Option<Pid>,
}

/// How surely the agent runs: the first line of a report, which the exit status follows from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Running {
    No,
    /// Only since a moment ago, after an exit: it may exit again in the next moment.
    Again,
    /// Only since a moment ago, and it has not exited before.
    New,
    /// For [`limits::STEADY`] at least.
    Steady,
}

impl Running {
    const ALL: [Self; 4] = [Self::No, Self::Again, Self::New, Self::Steady];

    fn of(agent: &AgentStatus) -> Self {
        if agent.state != AgentState::Running || agent.health == Some(Health::Failing) {
            Self::No
        } else if agent.for_seconds >= limits::STEADY.as_secs() {
            Self::Steady
        } else if agent.last_exit.is_some() {
            Self::Again
        } else {
            Self::New
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Again => "again",
            Self::New => "new",
            Self::Steady => "steady",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|running| running.word() == word)
    }
}

/// The name of each state in JSON, which stays as it is, and the words for people.
fn words(state: AgentState) -> (&'static str, &'static str) {
    match state {
        AgentState::Waiting => ("waiting", "The agent is waiting for the app to listen"),
        AgentState::Running => ("running", "The agent is running"),
        AgentState::Draining => (
            "draining",
            "The agent is finishing its requests, because the app no longer listens or a client asked for it",
        ),
        AgentState::Restarting => ("restarting", "The agent is being restarted"),
        AgentState::Ended => ("ended", "The agent has exited and will not be restarted"),
        AgentState::Stopping => (
            "stopping",
            "The agent is being stopped, because the app has exited",
        ),
    }
}

/// The name of each health in JSON, which stays as it is, and for people.
fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Healthy => "healthy",
        Health::Failing => "failing",
    }
}

impl Report<'_> {
    /// The answer to a client: how surely the agent runs, the JSON and the words for people, each on a
    /// line of its own.
    pub(crate) fn render(&self) -> String {
        let running = Running::of(&self.agent).word();
        format!("{running}\n{}\n{self}\n", self.to_json())
    }

    /// A JSON object (RFC 8259) on one line.
    fn to_json(&self) -> String {
        let number = |number: Option<u64>| number.map_or_else(null, |number| number.to_string());
        let text = |text: Option<&str>| text.map_or_else(null, json_text);
        let fields = [
            ("state", text(Some(words(self.agent.state).0))),
            ("for_seconds", self.agent.for_seconds.to_string()),
            ("restarts", self.agent.restarts.to_string()),
            ("last_exit", text(self.agent.last_exit.as_deref())),
            ("health", text(self.agent.health.map(health_word))),
            ("next_try_seconds", number(self.agent.next_try_seconds)),
            ("target", text(Some(&self.upstream))),
            (
                "agent_pid",
                self.agent_pid.map_or_else(null, |pid| pid.to_string()),
            ),
            ("supervisor_pid", std::process::id().to_string()),
        ];
        let info = self.info.iter();
        let info = info.map(|(name, value)| (name.as_str(), text(value.as_deref())));
        let members: Vec<String> = fields
            .into_iter()
            .chain(info)
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

fn null() -> String {
    "null".to_owned()
}

fn json_text(text: &str) -> String {
    let mut json = String::from('"');
    for character in shortened(text).chars() {
        if matches!(character, '"' | '\\') {
            json.push('\\');
        }
        json.push(character);
    }
    json.push('"');
    json
}

/// The text without control characters, at most [`MAX_TEXT`] bytes long, with a mark if it was cut.
fn shortened(text: &str) -> String {
    const MARK: &str = "…";
    let mut text = log::plain(text);
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT - MARK.len()));
        text.push_str(MARK);
    }
    text
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let agent = &self.agent;
        write!(f, "{} ({} s).", words(agent.state).1, agent.for_seconds)?;
        if let Some(seconds) = agent.next_try_seconds {
            write!(f, " Next try in {seconds} s.")?;
        }
        if let Some(health) = agent.health {
            write!(f, " Health: {}.", health_word(health))?;
        }
        write!(f, " Restarts: {}.", agent.restarts)?;
        if let Some(exit) = &agent.last_exit {
            write!(f, " Last time it {}: see the app's log.", shortened(exit))?;
        }
        write!(f, " Target: {}", shortened(&self.upstream))?;
        for (name, value) in self.info {
            if let Some(value) = value {
                write!(f, ", {}: {}", name.replace('_', " "), shortened(value))?;
            }
        }
        f.write_char('.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> AgentStatus {
        AgentStatus {
            state: AgentState::Restarting,
            for_seconds: 3,
            restarts: 7,
            last_exit: Some("exited with status 1".to_owned()),
            health: None,
            next_try_seconds: Some(4),
        }
    }

    fn render(agent: AgentStatus, process_type: &str) -> String {
        let report = Report {
            agent,
            upstream: "port 8080".to_owned(),
            info: &[
                ("process_type".to_owned(), Some(process_type.to_owned())),
                ("agent_sha256".to_owned(), None),
            ],
            agent_pid: None,
        };
        report.render()
    }

    #[test]
    fn report_is_json_and_words() {
        let pid = std::process::id();
        assert_eq!(
            render(agent(), "web"),
            format!(
                "no\n\
                 {{\"state\":\"restarting\",\"for_seconds\":3,\"restarts\":7,\"last_exit\":\"exited with status 1\",\
                 \"health\":null,\"next_try_seconds\":4,\"target\":\"port 8080\",\"agent_pid\":null,\"supervisor_pid\":{pid},\
                 \"process_type\":\"web\",\"agent_sha256\":null}}\n\
                 The agent is being restarted (3 s). Next try in 4 s. Restarts: 7. Last time it exited with status 1: see the app's log. \
                 Target: port 8080, process type: web.\n"
            )
        );
        let running = AgentStatus {
            state: AgentState::Running,
            last_exit: None,
            next_try_seconds: None,
            ..agent()
        };
        let text = render(running, "web");
        assert!(text.starts_with("new\n{\"state\":\"running\","), "{text}");
        let words =
            "\nThe agent is running (3 s). Restarts: 7. Target: port 8080, process type: web.\n";
        assert!(text.ends_with(words), "{text}");
    }

    #[test]
    fn agent_that_fails_its_health_checks_does_not_count_as_running() {
        for (health, first, words) in [
            (Health::Unknown, "again\n", " Health: unknown."),
            (Health::Healthy, "again\n", " Health: healthy."),
            (Health::Failing, "no\n", " Health: failing."),
        ] {
            let agent = AgentStatus {
                state: AgentState::Running,
                health: Some(health),
                ..agent()
            };
            let text = render(agent, "web");
            assert!(text.starts_with(first), "{text}");
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn agent_runs_steadily_from_the_fifth_second_on() {
        for (for_seconds, last_exit, running) in [
            (4, None, Running::New),
            (4, Some("exited with status 1".to_owned()), Running::Again),
            (5, Some("exited with status 1".to_owned()), Running::Steady),
            (5, None, Running::Steady),
        ] {
            let agent = AgentStatus {
                state: AgentState::Running,
                for_seconds,
                last_exit,
                ..agent()
            };
            assert_eq!(Running::of(&agent), running, "{agent:?}");
            assert_eq!(Running::from_word(running.word()), Some(running));
            let restarting = AgentStatus {
                state: AgentState::Restarting,
                ..agent
            };
            assert_eq!(Running::of(&restarting), Running::No);
        }
    }

    #[test]
    fn no_text_spoils_a_line() {
        let text = render(agent(), "a\"b\\c\nd\u{1b}[2J");
        assert_eq!(text.lines().count(), 3);
        let escaped = r#""process_type":"a\"b\\c\\nd\\u{1b}[2J""#;
        assert!(text.contains(escaped), "{text}");
        assert!(text.lines().all(|line| line == log::plain(line)), "{text}");
    }

    #[test]
    fn report_is_never_too_long() {
        for unit in ["x", "ü", "\n", "\"", "\\"] {
            let long = unit.repeat(MAX_REPORT);
            let info = ["a", "b", "c"].map(|name| (name.to_owned(), Some(long.clone())));
            let report = Report {
                agent: AgentStatus {
                    last_exit: Some(long.clone()),
                    ..agent()
                },
                upstream: long.clone(),
                info: &info,
                agent_pid: None,
            };
            let text = report.render();
            assert!(text.len() <= MAX_REPORT, "{}", text.len());
            assert!(text.lines().skip(1).all(|line| line.contains('…')));
        }
    }
}
