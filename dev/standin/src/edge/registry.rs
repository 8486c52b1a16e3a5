//! The registry of agents, endpoints and routes.

use super::public::Body;
use crate::labels::Labels;
use hyper::client::conn::http2::SendRequest;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Display};
use tokio::sync::watch;

/// The edge's whole memory.
pub(super) struct Registry {
    pub(super) tokens: HashSet<String>,
    /// The selector of each endpoint.
    pub(super) routes: HashMap<String, Labels>,
    agents: BTreeMap<AgentId, Agent>,
    agents_ever: u64,
    picks_ever: u64,
}

/// An agent's number, counted from 1 in the order of arrival and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AgentId(u64);

struct Agent {
    labels: Labels,
    tunnel: SendRequest<Body>,
    /// How many requests it has.
    in_flight: watch::Sender<usize>,
    /// Which pick of the registry was the last one of this agent; 0 before the first.
    last_pick: u64,
    /// Whether it takes no new requests; those in flight go on.
    is_draining: bool,
}

/// The agent that a request goes to.
pub(super) struct Pick {
    pub(super) id: AgentId,
    pub(super) tunnel: SendRequest<Body>,
    pub(super) in_flight: InFlight,
}

/// Counts a request as in flight at its agent until it is dropped.
pub(super) struct InFlight(watch::Sender<usize>);

impl Registry {
    pub(super) fn new(tokens: Vec<String>) -> Self {
        Registry {
            tokens: tokens.into_iter().collect(),
            routes: HashMap::new(),
            agents: BTreeMap::new(),
            agents_ever: 0,
            picks_ever: 0,
        }
    }

    pub(super) fn add_agent(&mut self, labels: Labels, tunnel: SendRequest<Body>) -> AgentId {
        self.agents_ever += 1;
        let id = AgentId(self.agents_ever);
        let agent = Agent {
            labels,
            tunnel,
            in_flight: watch::Sender::new(0),
            last_pick: 0,
            is_draining: false,
        };
        self.agents.insert(id, agent);
        id
    }

    /// Picks this agent no more; returns the count of its requests in flight, which go on.
    pub(super) fn drain_agent(&mut self, id: AgentId) -> Option<watch::Receiver<usize>> {
        let agent = self.agents.get_mut(&id)?;
        agent.is_draining = true;
        Some(agent.in_flight.subscribe())
    }

    pub(super) fn remove_agent(&mut self, id: AgentId) {
        self.agents.remove(&id);
    }

    /// Picks an agent for one request, none of `tried`: of those that the selector fits, one with
    /// the fewest requests in flight, and of these the one whose last pick is longest ago, so that
    /// idle agents take turns.
    pub(super) fn pick(&mut self, selector: &Labels, tried: &[AgentId]) -> Option<Pick> {
        let fits = |id, agent: &Agent| {
            !agent.is_draining && !tried.contains(id) && agent.labels.satisfy(selector)
        };
        let agents = self.agents.iter_mut();
        let (&id, agent) = agents
            .filter(|(id, agent)| fits(id, agent))
            .min_by_key(|(_, agent)| (*agent.in_flight.borrow(), agent.last_pick))?;
        self.picks_ever += 1;
        agent.last_pick = self.picks_ever;
        agent.in_flight.send_modify(|count| *count += 1);
        Some(Pick {
            id,
            tunnel: agent.tunnel.clone(),
            in_flight: InFlight(agent.in_flight.clone()),
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Display for AgentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "agent {}", self.0)
    }
}
