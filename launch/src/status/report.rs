//! What a supervisor reports of itself: lines of `name=value` between the two processes, words for people, JSON for programs.

use crate::log;
use std::fmt::{self, Display, Formatter, Write as _};

/// No report is longer, in bytes; its socket's buffer holds it whole, so that the supervisor never waits for its reader.
pub(crate) const LONGEST: usize = 16 * 1024;

/// The longest text in a report, except the labels, which get all the room that the others leave.
const LONGEST_TEXT: usize = 2 * 1024;

/// The state of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The app does not listen yet, or no longer, and there is no agent.
    Waiting,
    Running,
    /// It was asked to finish and end, because the app no longer listens.
    Draining,
    /// It has ended and is started again soon.
    Pausing,
    /// It has ended and is not started again.
    Resting,
    /// The app has exited, and the agent is being stopped.
    Stopping,
    /// The supervisor does not answer.
    Unknown,
}

const CONDITIONS: [(Condition, &str, &str); 7] = [
    (
        Condition::Waiting,
        "waiting",
        "The agent is waiting for the app to listen",
    ),
    (Condition::Running, "running", "The agent is running"),
    (
        Condition::Draining,
        "draining",
        "The agent is finishing its requests, because the app no longer listens",
    ),
    (
        Condition::Pausing,
        "restarting",
        "The agent has exited and restarts soon",
    ),
    (
        Condition::Resting,
        "ended",
        "The agent has exited and will not be restarted",
    ),
    (
        Condition::Stopping,
        "stopping",
        "The agent is being stopped, because the app has exited",
    ),
    (
        Condition::Unknown,
        "unknown",
        "The agent's supervisor does not answer",
    ),
];

impl Condition {
    pub(crate) fn is_running(self) -> bool {
        self == Self::Running
    }

    fn row(self) -> (Self, &'static str, &'static str) {
        CONDITIONS
            .into_iter()
            .find(|(condition, ..)| *condition == self)
            .expect("the table has a row for each condition")
    }

    fn word(self) -> &'static str {
        self.row().1
    }

    fn of_word(word: &str) -> Option<Self> {
        CONDITIONS
            .into_iter()
            .find_map(|(condition, other, _)| (other == word).then_some(condition))
    }
}

/// What a supervisor reports. Its fields are the ones of the JSON, which stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// `state`
    pub(crate) condition: Condition,
    /// How long the agent has been in this state.
    pub(crate) for_seconds: u64,
    /// How often the agent was started anew.
    pub(crate) restarts: u32,
    /// How it ended the last time.
    pub(crate) last_exit: Option<String>,
    /// When it is started again, if that is known.
    pub(crate) next_try_seconds: Option<u64>,
    pub(crate) process_type: String,
    pub(crate) labels: String,
    /// Without credentials.
    pub(crate) target: String,
    /// The SHA-256 checksum of the agent's download, as it would be pinned.
    pub(crate) agent_sha256: Option<String>,
    pub(crate) agent_pid: Option<u32>,
    pub(crate) supervisor_pid: Option<u32>,
}

impl Report {
    /// The report of a supervisor that gives none.
    pub(crate) fn unanswered(place: &str) -> Self {
        Self {
            condition: Condition::Unknown,
            for_seconds: 0,
            restarts: 0,
            last_exit: None,
            next_try_seconds: None,
            process_type: String::new(),
            labels: String::new(),
            target: place.to_owned(),
            agent_sha256: None,
            agent_pid: None,
            supervisor_pid: None,
        }
    }

    fn fields(&self) -> [(&'static str, Value); 11] {
        let number = |number: Option<u64>| number.map_or(Value::Null, Value::Number);
        let text = |text: &str| Value::Text(log::plain(text));
        let maybe = |maybe: &Option<String>| maybe.as_deref().map_or(Value::Null, text);
        [
            ("state", text(self.condition.word())),
            ("for_seconds", Value::Number(self.for_seconds)),
            ("restarts", Value::Number(self.restarts.into())),
            ("last_exit", maybe(&self.last_exit)),
            ("next_try_seconds", number(self.next_try_seconds)),
            ("process_type", text(&self.process_type)),
            (LABELS, text(&self.labels)),
            ("target", text(&self.target)),
            ("agent_sha256", maybe(&self.agent_sha256)),
            ("agent_pid", number(self.agent_pid.map(u64::from))),
            ("supervisor_pid", number(self.supervisor_pid.map(u64::from))),
        ]
    }

    /// The labels come last, and whatever is too long is cut.
    pub(crate) fn to_lines(&self) -> String {
        let mut lines = String::new();
        let (labels, others): (Vec<_>, Vec<_>) = self
            .fields()
            .into_iter()
            .partition(|(name, _)| *name == LABELS);
        for (name, value) in others.into_iter().chain(labels) {
            let room = if name == LABELS {
                LONGEST.saturating_sub(lines.len() + name.len() + "=\n".len())
            } else {
                LONGEST_TEXT
            };
            match value {
                Value::Text(text) => lines.extend([name, "=", &cut(text, room), "\n"]),
                Value::Number(number) => lines.extend([name, "=", &number.to_string(), "\n"]),
                Value::Null => {}
            }
        }
        lines
    }

    /// Reads what [`Report::to_lines`] wrote.
    pub(crate) fn from_lines(lines: &str) -> Option<Self> {
        let text = |name: &str| {
            lines
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        let number = |name| text(name).map(str::parse).transpose().ok();
        let pid = |name| text(name).map(str::parse).transpose().ok();
        Some(Self {
            condition: Condition::of_word(text("state")?)?,
            for_seconds: number("for_seconds")??,
            restarts: text("restarts")?.parse().ok()?,
            last_exit: text("last_exit").map(str::to_owned),
            next_try_seconds: number("next_try_seconds")?,
            process_type: text("process_type")?.to_owned(),
            labels: text(LABELS)?.to_owned(),
            target: text("target")?.to_owned(),
            agent_sha256: text("agent_sha256").map(str::to_owned),
            agent_pid: pid("agent_pid")?,
            supervisor_pid: pid("supervisor_pid")?,
        })
    }

    /// A JSON object (RFC 8259) on one line.
    pub(crate) fn to_json(&self) -> String {
        let members = self
            .fields()
            .map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", members.join(","))
    }
}

const LABELS: &str = "labels";

/// The text in at most `room` bytes, with a mark where it was cut.
fn cut(mut text: String, room: usize) -> String {
    const MARK: &str = "…";
    if text.len() > room {
        text.truncate(text.floor_char_boundary(room.saturating_sub(MARK.len())));
        text.push_str(MARK);
    }
    text
}

enum Value {
    Text(String),
    Number(u64),
    Null,
}

impl Display for Value {
    /// As in JSON.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Number(number) => write!(f, "{number}"),
            // Text is free of control characters already.
            Self::Text(text) => {
                f.write_char('"')?;
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        f.write_char('\\')?;
                    }
                    f.write_char(character)?;
                }
                f.write_char('"')
            }
        }
    }
}

impl Display for Report {
    /// Escaped: what holds the lock's name may be another program, and its user another than the reader.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (_, _, words) = self.condition.row();
        let target = log::plain(&self.target);
        if self.condition == Condition::Unknown {
            return write!(f, "{words} ({target}).");
        }
        write!(f, "{words} ({} s).", self.for_seconds)?;
        if let Some(seconds) = self.next_try_seconds {
            write!(f, " Next try in {seconds} s.")?;
        }
        write!(f, " Restarts: {}.", self.restarts)?;
        if let Some(exit) = &self.last_exit {
            write!(f, " Last time it {}.", log::plain(exit))?;
        }
        write!(
            f,
            " Process type {}, labels {}, target {target}.",
            log::plain(&self.process_type),
            log::plain(&self.labels),
        )?;
        match &self.agent_sha256 {
            Some(checksum) => {
                let checksum = log::plain(checksum);
                write!(f, " The agent's SHA-256 checksum: {checksum}.")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            condition: Condition::Pausing,
            for_seconds: 3,
            restarts: 7,
            last_exit: Some("exited with status 1".to_owned()),
            next_try_seconds: Some(4),
            process_type: "web".to_owned(),
            labels: "app=shop".to_owned(),
            target: "port 8080".to_owned(),
            agent_sha256: Some("0a1b".to_owned()),
            agent_pid: None,
            supervisor_pid: Some(12),
        }
    }

    #[test]
    fn report_is_read_back_as_it_was_written() {
        for (condition, ..) in CONDITIONS {
            let first = Report {
                condition,
                ..report()
            };
            let second = Report {
                condition,
                last_exit: None,
                next_try_seconds: None,
                agent_sha256: None,
                agent_pid: Some(13),
                ..report()
            };
            for report in [first, second] {
                assert_eq!(Report::from_lines(&report.to_lines()), Some(report));
            }
        }
    }

    #[test]
    fn anything_else_is_no_report() {
        let complete = report().to_lines();
        assert_eq!(Report::from_lines(""), None);
        assert_eq!(Report::from_lines("HTTP/1.1 400 Bad Request\r\n"), None);
        assert_eq!(
            Report::from_lines(&complete.replace("restarting", "dancing")),
            None
        );
        assert_eq!(
            Report::from_lines(&complete.replace("restarts=7", "restarts=many")),
            None
        );
        assert_eq!(
            Report::from_lines(&complete.replace("for_seconds=3\n", "")),
            None
        );
        assert_eq!(
            Report::from_lines(&complete.replace("seconds=4", "seconds=x")),
            None
        );
    }

    #[test]
    fn json_has_stable_fields() {
        assert_eq!(
            report().to_json(),
            "{\"state\":\"restarting\",\"for_seconds\":3,\"restarts\":7,\"last_exit\":\"exited with status 1\",\
             \"next_try_seconds\":4,\"process_type\":\"web\",\"labels\":\"app=shop\",\"target\":\"port 8080\",\
             \"agent_sha256\":\"0a1b\",\"agent_pid\":null,\"supervisor_pid\":12}"
        );
        let odd = Report {
            process_type: "a\"b\\c\nd=e".to_owned(),
            ..report()
        };
        assert!(
            odd.to_json().contains(r#""process_type":"a\"b\\c\\nd=e""#),
            "{}",
            odd.to_json()
        );
        let read = Report::from_lines(&odd.to_lines()).unwrap();
        assert_eq!(read.process_type, "a\"b\\c\\nd=e");
    }

    #[test]
    fn words_are_for_people() {
        for (report, expected) in [
            (
                report(),
                "The agent has exited and restarts soon (3 s). Next try in 4 s. Restarts: 7. Last time it exited with status 1. \
                 Process type web, labels app=shop, target port 8080. The agent's SHA-256 checksum: 0a1b.",
            ),
            (
                Report {
                    condition: Condition::Running,
                    last_exit: None,
                    next_try_seconds: None,
                    restarts: 0,
                    agent_sha256: None,
                    ..report()
                },
                "The agent is running (3 s). Restarts: 0. Process type web, labels app=shop, target port 8080.",
            ),
            (
                Report::unanswered("localhost:8080"),
                "The agent's supervisor does not answer (localhost:8080).",
            ),
        ] {
            assert_eq!(report.to_string(), expected);
        }
    }

    #[test]
    fn everything_is_escaped_for_people() {
        let hostile = "\u{1b}]0;x\u{7}\r\n\u{202e}".to_owned();
        let report = Report {
            last_exit: Some(hostile.clone()),
            process_type: hostile.clone(),
            labels: hostile.clone(),
            target: hostile.clone(),
            agent_sha256: Some(hostile.clone()),
            ..report()
        };
        for text in [
            report.to_string(),
            report.to_json(),
            Report::unanswered(&hostile).to_string(),
        ] {
            assert_eq!(text, log::plain(&text));
        }
    }

    #[test]
    fn report_that_is_too_long_is_cut_and_still_read() {
        for length in [LONGEST - 1, LONGEST, 100 * LONGEST] {
            for unit in ["x", "ü", "\n"] {
                let long = unit.repeat(length);
                let report = Report {
                    last_exit: Some(long.clone()),
                    process_type: long.clone(),
                    labels: long.clone(),
                    target: long.clone(),
                    ..report()
                };
                let lines = report.to_lines();
                assert!(lines.len() <= LONGEST, "{}", lines.len());
                let read = Report::from_lines(&lines).unwrap();
                assert!(read.labels.len() > LONGEST / 2, "{}", read.labels.len());
                assert!(read.labels.ends_with('…') && read.target.ends_with('…'));
                assert_eq!(read.condition, report.condition);
            }
        }
    }
}
