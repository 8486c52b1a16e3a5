//! Constant load on containers that are replaced one by one with those of the next release.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harness::containers::{Build, Container, Image, test_env};
use harness::{Client, DEADLINE, Edge, Load, Record, Records, TOKEN, eventually, soak_or};

use crate::fixtures::{ENDPOINT, sample_app};
use crate::served_app::GRACE;

const REPLICAS: usize = 3;

/// How long an app lives on after its last answer, so that the agent can send it on.
const LINGER: Duration = Duration::from_secs(1);

/// Longer than a supervisor and an agent take to drain after the app no longer listens.
const LINGER_FOR_DRAINING: Duration = Duration::from_secs(4);

/// The replicas of an app, each in a container of its own.
struct Deployment {
    // Before what it needs, as fields are dropped in this order.
    replicas: Vec<Replica>,
    images: [Image; 2],
    edge: Edge,
    /// How many containers there were.
    started: usize,
    drain: &'static str,
}

struct Replica {
    container: Container,
    /// The name of the release in its answers.
    release: String,
    label: String,
}

/// The end of a replica.
#[derive(Debug)]
struct End {
    /// The edge's answer to a request that was lost with the agent.
    lost: String,
    /// When the edge knew.
    noticed: Instant,
}

impl Deployment {
    /// Starts containers of the first release, and waits until the edge has all their agents.
    fn start(drain: &'static str, linger: Duration) -> Self {
        let edge = test_env().edge(TOKEN);
        edge.route(TOKEN, ENDPOINT, "app=replicated");
        let images = ["1", "2"].map(|release| {
            let command = format!(
                "exec ./sample-app --release {release}.$HOSTNAME --linger {}",
                linger.as_millis()
            );
            Build::new(sample_app().process("web", &command))
                .env("BACKPLANE_AGENT_URL", "vendor/backplane")
                .run()
        });
        let mut deployment = Self {
            replicas: Vec::new(),
            images,
            edge,
            started: 0,
            drain,
        };
        for _ in 0..REPLICAS {
            let replica = deployment.run(0);
            deployment.replicas.push(replica);
        }
        deployment
    }

    /// Starts a container of one of the releases, and waits until the edge has its agent.
    fn run(&mut self, image: usize) -> Replica {
        self.started += 1;
        let host = format!("replica-{}", self.started);
        let label = format!("replica={}", self.started);
        let container = self.images[image]
            .container()
            .connect(&self.edge)
            .env("BACKPLANE_LABELS", format!("app=replicated,{label}"))
            .env("BACKPLANE_DRAIN", self.drain)
            .options(["--hostname", &host])
            .start();
        self.edge.wait_for_connected(&label);
        Replica {
            container,
            release: format!("{}.{host}", image + 1),
            label,
        }
    }

    /// Replaces each container by one of the other release, and returns the ends of those that were
    /// replaced.
    fn replace_all(&mut self, image: usize, load: &Load) -> Vec<End> {
        let mut ends = Vec::new();
        for index in 0..REPLICAS {
            let old = &self.replicas[index];
            wait_for_answer(load, &old.release);
            let agent = self.edge.wait_for_connected(&old.label);
            old.container.stop(GRACE);
            assert_eq!(old.container.wait(), 0, "{}", old.container.stderr());
            ends.push(End {
                lost: format!("The connection to agent {agent} was lost before"),
                noticed: self.edge.wait_for_gone(agent),
            });
            self.replicas[index] = self.run(image);
            wait_for_answer(load, &self.replicas[index].release);
        }
        ends
    }
}

/// Waits until the load has an answer of this release.
fn wait_for_answer(load: &Load, release: &str) {
    eventually(DEADLINE, format_args!("an answer of {release}"), || {
        load.records().releases().contains(release).then_some(())
    });
}

/// Deploys the other release, with `--soak` several times in turn; returns all requests and ends.
fn deploy(drain: &'static str, linger: Duration) -> (Records, Vec<End>) {
    let mut deployment = Deployment::start(drain, linger);
    let mut releases: BTreeSet<String> = BTreeSet::new();
    let load = deployment.edge.load(ENDPOINT, &Client::MIX);
    let mut ends = Vec::new();
    let names = |deployment: &Deployment| -> Vec<String> {
        let replicas = deployment.replicas.iter();
        replicas.map(|replica| replica.release.clone()).collect()
    };
    for round in 0..soak_or(6, 1) {
        releases.extend(names(&deployment));
        ends.extend(deployment.replace_all((round + 1) % 2, &load));
    }
    releases.extend(names(&deployment));
    let records = load.stop();

    // Every container has answered.
    let answering: BTreeSet<String> = records.releases().into_iter().map(str::to_owned).collect();
    assert_eq!(answering, releases);
    // Each replacement takes seconds, and so it is under load.
    assert!(records.sent() > 50 * ends.len(), "{}", records.sent());
    println!(
        "{} requests, {} containers replaced, {} requests failed",
        records.sent(),
        ends.len(),
        records.failed().count()
    );
    (records, ends)
}

/// The agent is drained while the app still lives, so even a request at the app's end is served.
#[test]
fn no_request_fails_while_containers_are_replaced_if_agents_are_drained() {
    let (records, _) = deploy("stop", LINGER_FOR_DRAINING);
    let failed: Vec<&Record> = records.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The kernel ends the agent with the app, while a request may find the port closed.
#[test]
fn no_request_fails_that_an_app_has_accepted_while_containers_are_replaced() {
    let (records, ends) = deploy("keep", LINGER);
    for record in records.failed() {
        // In the second half of what the app lives on it has long closed its port, and accepts
        // nothing.
        let was_not_accepted = ends.iter().any(|end| {
            let failure = record.failure.as_deref().unwrap_or_default();
            failure.contains(&end.lost)
                && record.release.is_none()
                && record.sent + LINGER / 2 > end.noticed
        });
        assert!(was_not_accepted, "{record:#?}\n{ends:#?}");
    }
}
