//! Constant load on the replicas of an app, while their agents are killed.

use std::thread;
use std::time::{Duration, Instant};

use harness::lifecycle::{FrontEnd, Image, Running, test_env};
use harness::{AgentNumber, Client, DEADLINE, Edge, Record, TOKEN, eventually, free_port, soak_or};
use rustix::process::Signal;

use crate::fixtures::{ENDPOINT, sample_image_by};

/// How long each app takes to listen, in milliseconds: far longer than a supervisor takes to start
/// an agent.
const LISTEN_AFTER: &str = "700";

/// How often an agent is killed.
const INTERVAL: Duration = Duration::from_secs(1);

/// With every third kill, the app is stopped at the same moment and launched again.
const RELAUNCH_EVERY: u32 = 3;

/// A launch of the app, which keeps its port and its label over its relaunches.
struct Replica {
    label: String,
    port: u16,
    running: Running,
}

/// The replicas, and the edge that spreads requests over them.
struct Replicas {
    // Before what it needs, as fields are dropped in this order.
    all: Vec<Replica>,
    /// The stderr of launches that have ended.
    ended: Vec<String>,
    image: Image,
    edge: Edge,
}

/// A kill of an agent.
#[derive(Debug)]
struct Kill {
    /// The label of the replica.
    label: String,
    /// The edge's number of the agent.
    agent: AgentNumber,
    /// The process of the app behind it.
    app: u32,
    /// Before the signal was sent.
    at: Instant,
    /// After the edge saw the end of the connection. Until then it may send requests to the agent.
    noticed: Instant,
}

impl Replicas {
    fn start(count: usize) -> Self {
        let edge = test_env().edge(TOKEN);
        edge.route(TOKEN, ENDPOINT, "app=replicated");
        let mut replicas = Self {
            all: Vec::new(),
            ended: Vec::new(),
            image: sample_image_by(FrontEnd::Cnb),
            edge,
        };
        for number in 0..count {
            let (label, port) = (format!("replica={number}"), free_port());
            let running = replicas.launch(&label, port);
            replicas.all.push(Replica {
                label,
                port,
                running,
            });
        }
        replicas.wait_until_all_are_connected();
        replicas
    }

    fn launch(&self, label: &str, port: u16) -> Running {
        let launch = self.image.launch("web").connect(port);
        launch
            .env("LISTEN_AFTER", LISTEN_AFTER)
            .env("BACKPLANE_EDGE", &self.edge.agents)
            .env("BACKPLANE_LABELS", format!("app=replicated,{label}"))
            .start()
    }

    #[track_caller]
    fn wait_until_all_are_connected(&self) {
        for replica in &self.all {
            self.edge.wait_for_connected(&replica.label);
        }
    }

    /// The replica whose last kill is longest ago, as soon as another one is connected, too.
    #[track_caller]
    fn next_victim(&self, kills: &[Kill]) -> usize {
        eventually(DEADLINE, "two connected agents", || {
            let is_connected = |index: &usize| {
                let label = &self.all[*index].label;
                self.edge.connected(label).is_some()
            };
            let connected: Vec<usize> = (0..self.all.len()).filter(is_connected).collect();
            let last_kill = |index: &usize| {
                let label = &self.all[*index].label;
                kills.iter().rposition(|kill| kill.label == *label)
            };
            let victim = connected.iter().copied().min_by_key(last_kill);
            victim.filter(|_| connected.len() > 1)
        })
    }

    /// Kills the agent of a replica, and waits until the edge has noticed.
    fn kill_agent(&self, index: usize) -> Kill {
        let replica = &self.all[index];
        let agent = self.edge.wait_for_connected(&replica.label);
        let process = replica.running.wait_for_agent();
        let at = Instant::now();
        process.signal(Signal::KILL);
        Kill {
            label: replica.label.clone(),
            agent,
            app: replica.running.id(),
            at,
            noticed: self.edge.wait_for_gone(agent),
        }
    }

    /// Kills an agent, stops its app before there can be another agent, and launches it again.
    fn kill_agent_with_app(&mut self, index: usize) -> Kill {
        let supervisor = self.all[index].running.wait_for_supervisor();
        // It must not be quicker than this test. A new agent would get requests after the app has
        // closed its port.
        supervisor.signal(Signal::STOP);
        eventually(DEADLINE, "the stop of the supervisor", || {
            (supervisor.stat().state == 'T').then_some(())
        });
        let kill = self.kill_agent(index);
        let replica = &mut self.all[index];
        replica.running.signal(Signal::TERM);
        let status = replica.running.wait();
        supervisor.signal(Signal::CONT);
        assert!(status.success());
        replica.running.wait_for_nothing_left();
        let (label, port) = (replica.label.clone(), replica.port);
        let running = self.launch(&label, port);
        let ended = std::mem::replace(&mut self.all[index].running, running);
        self.ended.push(ended.stderr());
        kill
    }
}

/// A request fails only if it is with an agent that is killed, and no agent is there before its app
/// listens.
///
/// An agent is killed only while another one is connected. Without any agent, the edge answers 503
/// at once, and no supervisor can be quicker than a kill. Each kill makes the supervisor wait
/// longer before it starts the next agent, so there are as many replicas as one kill a second
/// takes.
#[test]
fn only_what_is_in_flight_at_a_kill_is_lost() {
    let (seconds, count) = soak_or((60, 10), (10, 4));
    let mut replicas = Replicas::start(count);
    let load = replicas.edge.load(ENDPOINT, &Client::MIX);
    let mut kills: Vec<Kill> = Vec::new();
    let start = Instant::now();
    for second in 1..=seconds {
        thread::sleep((start + second * INTERVAL).saturating_duration_since(Instant::now()));
        let victim = replicas.next_victim(&kills);
        if second % RELAUNCH_EVERY == 0 {
            kills.push(replicas.kill_agent_with_app(victim));
        } else {
            kills.push(replicas.kill_agent(victim));
        }
    }
    replicas.wait_until_all_are_connected();
    let records = load.stop();

    let failed: Vec<&Record> = records.failed().collect();
    println!(
        "{} requests, {} kills, {} requests failed",
        records.sent(),
        kills.len(),
        failed.len()
    );
    let running = replicas.all.iter().map(|replica| replica.running.stderr());
    for log in running.chain(replicas.ended.iter().cloned()) {
        // The agent's line for a request of which it could not deliver a byte.
        assert!(!log.contains("cannot connect to the app"), "{log}");
    }
    for record in &failed {
        let is_explained = kills.iter().any(|kill| was_in_flight(record, kill));
        assert!(is_explained, "not in flight: {record:#?}\n{kills:#?}");
    }
    // Otherwise the kills have hit nothing, and nothing is proven.
    assert!(!failed.is_empty());
    assert!(records.sent() > 20 * kills.len(), "{}", records.sent());
}

/// Whether the kill explains the failure: the request was sent before it and lost after it, and was
/// with this agent.
fn was_in_flight(record: &Record, kill: &Kill) -> bool {
    let failure = record.failure.as_deref().unwrap_or_default();
    let lost = format!("The connection to agent {} was lost before", kill.agent);
    // Either the edge names the agent, or the answer had begun, and its header names the app. An
    // answer that breaks off while the edge still holds its header is none at all; then only the
    // time counts.
    let is_its = failure.contains(&lost) || record.app == Some(kill.app) || !record.has_begun;
    is_its && record.sent <= kill.noticed && record.answered >= kill.at
}
