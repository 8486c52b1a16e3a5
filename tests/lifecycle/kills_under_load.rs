//! Constant load, while agents are killed.

use std::thread;
use std::time::{Duration, Instant};

use harness::{Client, DEADLINE, Record, eventually, soak_or};
use rustix::process::Signal;

use crate::replicas::{Kill, Replicas};

const CLIENTS: [Client; 8] = [
    Client::Quick,
    Client::Quick,
    Client::Quick,
    Client::Quick,
    Client::Slow(300),
    Client::Slow(300),
    Client::Slow(300),
    Client::Slow(300),
];

/// How long each app takes from its start until it listens: far longer than the supervisor takes to start an agent.
const LATE: &[(&str, &str)] = &[("LISTEN_AFTER", "700")];

/// How often an agent is killed.
const BEAT: Duration = Duration::from_secs(1);

/// Every so many kills, the app ends in the same moment and is launched again.
const LAUNCH_AGAIN: u32 = 3;

/// A request fails only if it is with an agent that is killed, and no agent is there before its app listens.
///
/// An agent is killed only while another one is connected. What a request gets that finds none at all is the edge's affair: this one
/// answers 503 at once, and no supervisor can be quicker than a kill. Each kill makes the supervisor wait longer before it starts the
/// next agent, so there are as many replicas as it takes for one kill a second.
#[test]
fn only_what_is_in_flight_at_a_kill_is_lost() {
    let (seconds, count) = soak_or((60, 10), (10, 4));
    let mut replicas = Replicas::start(count, LATE);
    let load = replicas.load(&CLIENTS);
    let mut kills: Vec<Kill> = Vec::new();
    let start = Instant::now();
    for second in 1..=seconds {
        thread::sleep((start + second * BEAT).saturating_duration_since(Instant::now()));
        let victim = victim(&replicas, &kills);
        if second % LAUNCH_AGAIN == 0 {
            kills.push(kill_agent_with_app(&mut replicas, victim));
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
    for log in replicas.logs() {
        // The agent's words for a request of which it could not deliver a byte.
        assert!(!log.contains("cannot connect to the app"), "{log}");
    }
    for record in &failed {
        assert!(
            kills.iter().any(|kill| was_in_flight(record, kill)),
            "not in flight at a kill: {record:#?}\n{kills:#?}"
        );
    }
    // Otherwise the kills have hit nothing, and nothing is proven.
    assert!(!failed.is_empty());
    assert!(records.sent() > 20 * kills.len(), "{}", records.sent());
}

/// Of the replicas with a connected agent, the one whose last kill is longest ago, as soon as there is another one.
#[track_caller]
fn victim(replicas: &Replicas, kills: &[Kill]) -> usize {
    eventually(DEADLINE, "two connected agents", || {
        let connected: Vec<usize> = (0..replicas.len())
            .filter(|index| replicas.connected(*index).is_some())
            .collect();
        let last_kill = |index: &usize| {
            let label = &replicas.get(*index).label;
            kills.iter().rposition(|kill| kill.label == *label)
        };
        let victim = connected.iter().copied().min_by_key(last_kill);
        victim.filter(|_| connected.len() > 1)
    })
}

/// Kills an agent, has its app end before there could be another agent, and launches it again.
fn kill_agent_with_app(replicas: &mut Replicas, victim: usize) -> Kill {
    let supervisor = replicas.get(victim).running.wait_for_supervisor();
    // It must not be quicker than this test: an agent that it starts would be given requests when the app has closed its port.
    supervisor.signal(Signal::STOP);
    eventually(DEADLINE, "the stop of the supervisor", || {
        (supervisor.stat().state == 'T').then_some(())
    });
    let kill = replicas.kill_agent(victim);
    replicas.get(victim).running.signal(Signal::TERM);
    replicas.get_mut(victim).running.wait();
    supervisor.signal(Signal::CONT);
    replicas.relaunch(victim);
    kill
}

/// Whether the kill explains the failure: the request was sent before it and lost after it, and was with this agent.
fn was_in_flight(record: &Record, kill: &Kill) -> bool {
    let failure = record.failure.as_deref().unwrap_or_default();
    let lost = format!("The connection to agent {} was lost before", kill.agent);
    // Either the edge names the agent, or the answer had begun, and its header names the app. An answer that breaks off while the
    // edge still holds its header is none at all: there, the time alone tells.
    let is_its = failure.contains(&lost) || record.app == Some(kill.app) || !record.has_begun;
    is_its && record.sent <= kill.noticed && record.answered >= kill.at
}
