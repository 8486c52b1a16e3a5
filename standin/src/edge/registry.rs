//! Which agents there are, which endpoints they serve, and which of them gets a request.

use crate::endpoint::Endpoint;
use crate::labels::Labels;
use crate::token::Token;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Display};
use tokio::sync::watch;

/// The edge's whole memory. `T` is the way to an agent.
#[derive(Debug)]
pub(super) struct Registry<T> {
    tokens: HashSet<Token>,
    routes: HashMap<Endpoint, Labels>,
    agents: BTreeMap<AgentId, Agent<T>>,
    agents_ever: u64,
    picks_ever: u64,
}

/// An agent's number, counted from 1 in the order of arrival and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AgentId(u64);

#[derive(Debug)]
struct Agent<T> {
    labels: Labels,
    tunnel: T,
    /// How many requests it has.
    in_flight: watch::Sender<usize>,
    /// Which pick of the registry was the last one of this agent; 0 before the first.
    last_pick: u64,
    /// Whether it takes no new requests; those in flight go on.
    draining: bool,
}

/// The agent that a request goes to.
#[derive(Debug)]
pub(super) struct Pick<T> {
    pub(super) id: AgentId,
    pub(super) tunnel: T,
    pub(super) in_flight: InFlight,
}

/// Counts a request as in flight at its agent until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(watch::Sender<usize>);

impl<T: Clone> Registry<T> {
    pub(super) fn new(tokens: impl IntoIterator<Item = Token>) -> Self {
        Registry {
            tokens: tokens.into_iter().collect(),
            routes: HashMap::new(),
            agents: BTreeMap::new(),
            agents_ever: 0,
            picks_ever: 0,
        }
    }

    pub(super) fn add_token(&mut self, token: Token) {
        self.tokens.insert(token);
    }

    pub(super) fn knows(&self, token: &Token) -> bool {
        self.tokens.contains(token)
    }

    /// Stores a route, and gives back the selector that the endpoint had before.
    pub(super) fn add_route(&mut self, endpoint: Endpoint, selector: Labels) -> Option<Labels> {
        self.routes.insert(endpoint, selector)
    }

    pub(super) fn selector(&self, endpoint: &Endpoint) -> Option<&Labels> {
        self.routes.get(endpoint)
    }

    pub(super) fn add_agent(&mut self, labels: Labels, tunnel: T) -> AgentId {
        self.agents_ever += 1;
        let id = AgentId(self.agents_ever);
        let agent = Agent {
            labels,
            tunnel,
            in_flight: watch::Sender::new(0),
            last_pick: 0,
            draining: false,
        };
        self.agents.insert(id, agent);
        id
    }

    /// Does not pick this agent any more; gives the count of its requests in flight, which go on.
    pub(super) fn drain_agent(&mut self, id: AgentId) -> Option<watch::Receiver<usize>> {
        let agent = self.agents.get_mut(&id)?;
        agent.draining = true;
        Some(agent.in_flight.subscribe())
    }

    pub(super) fn remove_agent(&mut self, id: AgentId) {
        self.agents.remove(&id);
    }

    /// Picks an agent for one request, none of `tried`: of those that the selector fits, one with the fewest requests
    /// in flight, and of these the one whose last pick is longest ago, so that idle agents take turns.
    pub(super) fn pick(&mut self, selector: &Labels, tried: &[AgentId]) -> Option<Pick<T>> {
        let (&id, agent) = self
            .agents
            .iter_mut()
            .filter(|(id, agent)| {
                !agent.draining && !tried.contains(id) && agent.labels.satisfy(selector)
            })
            .min_by_key(|(_, agent)| (*agent.in_flight.borrow(), agent.last_pick))?;
        self.picks_ever += 1;
        agent.last_pick = self.picks_ever;
        Some(Pick {
            id,
            tunnel: agent.tunnel.clone(),
            in_flight: InFlight::new(agent.in_flight.clone()),
        })
    }
}

impl InFlight {
    fn new(count: watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        InFlight(count)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.parse().unwrap()
    }

    /// A registry with agents of these labels; the way to each is its place in the list.
    fn registry(agents: &[&str]) -> Registry<usize> {
        let mut registry = Registry::new([]);
        for (place, agent) in agents.iter().enumerate() {
            registry.add_agent(labels(agent), place);
        }
        registry
    }

    #[test]
    fn pick_needs_a_fitting_agent() {
        let mut registry = registry(&["app=web", "app=api,zone=a", "app=api,zone=b"]);
        for (selector, expected) in [
            ("app=web", Some(0)),
            ("zone=b", Some(2)),
            ("app=api,zone=a", Some(1)),
            ("app=web,zone=a", None),
            ("app=other", None),
        ] {
            let pick = registry.pick(&labels(selector), &[]);
            assert_eq!(pick.map(|pick| pick.tunnel), expected, "{selector}");
        }
    }

    #[test]
    fn idle_agents_take_turns() {
        let mut registry = registry(&["app=web", "app=web", "app=web"]);
        let turns: Vec<_> = (0..6)
            .map(|_| registry.pick(&labels("app=web"), &[]).unwrap().tunnel)
            .collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn agent_with_fewer_requests_in_flight_goes_first() {
        let mut registry = registry(&["app=web", "app=web"]);
        let selector = labels("app=web");
        let slow = registry.pick(&selector, &[]).unwrap();
        assert_eq!(slow.tunnel, 0);
        for _ in 0..3 {
            assert_eq!(registry.pick(&selector, &[]).unwrap().tunnel, 1);
        }
        drop(slow);
        assert_eq!(registry.pick(&selector, &[]).unwrap().tunnel, 0);
    }

    #[test]
    fn agents_tried_draining_or_gone_are_not_picked() {
        let mut registry = registry(&["app=web", "app=web", "app=web"]);
        let selector = labels("app=web");
        let mut tried = vec![registry.pick(&selector, &[]).unwrap().id];
        let second = registry.pick(&selector, &tried).unwrap();
        let in_flight = registry.drain_agent(second.id).unwrap();
        assert_eq!(*in_flight.borrow(), 1);
        let third = registry.pick(&selector, &tried).unwrap();
        assert_eq!((second.tunnel, third.tunnel), (1, 2));
        registry.remove_agent(third.id);
        assert!(registry.pick(&selector, &tried).is_none());
        tried.clear();
        assert_eq!(registry.pick(&selector, &tried).unwrap().tunnel, 0);
    }

    #[test]
    fn route_replaces_the_one_before() {
        let mut registry = registry(&[]);
        let endpoint: Endpoint = "myendpoint.test".parse().unwrap();
        assert_eq!(registry.selector(&endpoint), None);
        assert_eq!(registry.add_route(endpoint.clone(), labels("a=1")), None);
        assert_eq!(
            registry.add_route(endpoint.clone(), labels("a=2")),
            Some(labels("a=1"))
        );
        assert_eq!(registry.selector(&endpoint), Some(&labels("a=2")));
    }

    #[test]
    fn tokens_are_those_given_and_those_added() {
        let [given, added, other] =
            ["given", "added", "other"].map(|token| Token::from(token.to_owned()));
        let mut registry = Registry::<()>::new([given.clone()]);
        assert!(registry.knows(&given) && !registry.knows(&added));
        registry.add_token(added.clone());
        assert!(registry.knows(&added) && !registry.knows(&other));
    }
}
