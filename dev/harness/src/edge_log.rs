//! What the edge says of its agents, and when it said it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The number that the edge gives an agent's connection; it counts up.
pub type AgentNumber = u64;

/// The lines of an edge's log so far, each with the moment at which it was read.
#[derive(Clone, Default)]
pub(super) struct EdgeLog(Arc<Mutex<Vec<(Instant, String)>>>);

/// What a line says.
#[derive(Debug, PartialEq)]
enum Word<'a> {
    Connected(AgentNumber, &'a str),
    Gone(AgentNumber),
}

impl EdgeLog {
    pub(super) fn add(&self, line: String) {
        self.lines().push((Instant::now(), line));
    }

    /// The last connected agent that has this label and is not gone.
    pub(super) fn connected(&self, label: &str) -> Option<AgentNumber> {
        let lines = self.lines();
        let mut connected = None;
        for (_, line) in lines.iter() {
            match word(line) {
                Some(Word::Connected(agent, labels)) if labels.split(',').any(|l| l == label) => {
                    connected = Some(agent);
                }
                Some(Word::Gone(agent)) if connected == Some(agent) => connected = None,
                _ => {}
            }
        }
        connected
    }

    /// When this agent was gone for the edge.
    pub(super) fn gone(&self, agent: AgentNumber) -> Option<Instant> {
        self.lines()
            .iter()
            .find(|(_, line)| word(line) == Some(Word::Gone(agent)))
            .map(|(at, _)| *at)
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

fn word(line: &str) -> Option<Word<'_>> {
    let (agent, rest) = line
        .strip_prefix("backplane-edge: agent ")?
        .split_once(' ')?;
    let agent = agent.parse().ok()?;
    match rest.split_once(" with the labels ") {
        Some((_, labels)) => Some(Word::Connected(agent, labels)),
        None => rest.starts_with("is gone").then_some(Word::Gone(agent)),
    }
}
