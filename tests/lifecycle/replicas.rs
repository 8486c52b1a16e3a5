//! Several launches of one app behind one endpoint, as a platform scales it.

use std::time::Instant;

use harness::lifecycle::{Image, Running, test_env};
use harness::{AgentNumber, Client, Edge, Load, TOKEN, free_port};
use rustix::process::Signal;

use crate::fixtures::sample_image;

pub(crate) const ENDPOINT: &str = "myendpoint.test";

/// The replicas, and the edge that spreads requests over them.
pub(crate) struct Replicas {
    // Before what it needs, as fields are dropped in this order.
    all: Vec<Replica>,
    /// What the launches wrote that have ended.
    ended: Vec<String>,
    variables: &'static [(&'static str, &'static str)],
    image: Image,
    pub(crate) edge: Edge,
}

/// One of them, which keeps its port and its label over its launches.
pub(crate) struct Replica {
    pub(crate) label: String,
    pub(crate) running: Running,
    port: u16,
}

impl Replicas {
    /// Starts this many, all with these variables, and waits until the edge has their agents.
    pub(crate) fn start(count: usize, variables: &'static [(&'static str, &'static str)]) -> Self {
        let edge = test_env().edge(TOKEN);
        edge.route(TOKEN, ENDPOINT, "app=replicated");
        let mut replicas = Self {
            all: Vec::new(),
            ended: Vec::new(),
            variables,
            image: sample_image(),
            edge,
        };
        for number in 0..count {
            let (label, port) = (format!("replica={number}"), free_port());
            let running = replicas.launch(&label, port);
            replicas.all.push(Replica {
                label,
                running,
                port,
            });
        }
        replicas.wait_until_all_are_connected();
        replicas
    }

    fn launch(&self, label: &str, port: u16) -> Running {
        let launch = self
            .image
            .launch("web")
            .connect(port)
            .env("BACKPLANE_EDGE", &self.edge.agents)
            .env("BACKPLANE_LABELS", format!("app=replicated,{label}"));
        self.variables
            .iter()
            .fold(launch, |launch, (name, value)| launch.env(*name, *value))
            .start()
    }

    pub(crate) fn load(&self, clients: &[Client]) -> Load {
        self.edge.load(ENDPOINT, clients)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, index: usize) -> &Replica {
        &self.all[index]
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut Replica {
        &mut self.all[index]
    }

    pub(crate) fn connected(&self, index: usize) -> Option<AgentNumber> {
        self.edge.connected(&self.all[index].label)
    }

    pub(crate) fn wait_until_all_are_connected(&self) {
        for replica in &self.all {
            self.edge.wait_for_connected(&replica.label);
        }
    }

    /// Kills the agent of a replica, and waits until the edge has noticed.
    pub(crate) fn kill_agent(&self, index: usize) -> Kill {
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

    /// Waits for the end of a replica whose app was told to end, and launches it again.
    pub(crate) fn relaunch(&mut self, index: usize) {
        let replica = &mut self.all[index];
        assert!(replica.running.wait().success());
        replica.running.wait_for_nothing_left();
        let (label, port) = (replica.label.clone(), replica.port);
        let running = self.launch(&label, port);
        let ended = std::mem::replace(&mut self.all[index].running, running);
        self.ended.push(ended.stderr());
    }

    /// What each launch wrote to stderr so far, those that have ended included.
    pub(crate) fn logs(&self) -> Vec<String> {
        let running = self.all.iter().map(|replica| replica.running.stderr());
        self.ended.iter().cloned().chain(running).collect()
    }
}

/// A kill of an agent.
#[derive(Debug)]
pub(crate) struct Kill {
    /// The label of the replica.
    pub(crate) label: String,
    /// What the edge calls the agent.
    pub(crate) agent: AgentNumber,
    /// The process of the app behind it.
    pub(crate) app: u32,
    /// Before the signal was sent.
    pub(crate) at: Instant,
    /// After the edge saw the end of the connection. Until then it may give the dead agent requests.
    pub(crate) noticed: Instant,
}
