//! The edge's log of its agents, with the time of each line.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The edge's number of an agent's connection; it counts up.
pub type AgentNumber = u64;

/// The lines of an edge's log so far, each with the moment at which it was read.
#[derive(Clone, Default)]
pub(super) struct EdgeLog(Arc<Mutex<Vec<(Instant, String)>>>);

impl EdgeLog {
    pub(super) fn add(&self, line: String) {
        self.lines().push((Instant::now(), line));
    }

    /// The last agent with this label that has connected and is not gone.
    pub(super) fn connected(&self, label: &str) -> Option<AgentNumber> {
        let mut connected = None;
        for (_, line) in self.lines().iter() {
            match parse(line) {
                Some((agent, Some(labels))) if labels.split(',').any(|other| other == label) => {
                    connected = Some(agent);
                }
                Some((agent, None)) if connected == Some(agent) => connected = None,
                _ => {}
            }
        }
        connected
    }

    /// When this agent was gone for the edge.
    pub(super) fn gone(&self, agent: AgentNumber) -> Option<Instant> {
        let lines = self.lines();
        let gone = lines
            .iter()
            .find(|(_, line)| parse(line) == Some((agent, None)));
        gone.map(|(at, _)| *at)
    }

    fn lines(&self) -> MutexGuard<'_, Vec<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for EdgeLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines()
            .iter()
            .try_for_each(|(_, line)| writeln!(formatter, "{line}"))
    }
}

/// The agent of a line, and its labels if it has connected; without them it is gone.
fn parse(line: &str) -> Option<(AgentNumber, Option<&str>)> {
    let rest = line.strip_prefix("backplane-edge: agent ")?;
    let (agent, rest) = rest.split_once(' ')?;
    let labels = rest
        .split_once(" with the labels ")
        .map(|(_, labels)| labels);
    (labels.is_some() || rest.starts_with("is gone")).then_some((agent.parse().ok()?, labels))
}
