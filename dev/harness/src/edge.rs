//! The edge of the stand-in.

use std::io::BufReader;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::edge_log::{AgentNumber, EdgeLog};
use crate::load::{Client, Load};
use crate::programs::Programs;
use crate::server_process::ServerProcess;
use crate::{DEADLINE, eventually, http};

/// The edge of the stand-in. It is killed when this is dropped.
pub struct Edge {
    _process: ServerProcess,
    /// The address for requests.
    public: String,
    /// The address for agents.
    pub agents: String,
    log: EdgeLog,
    programs: Programs,
}

impl Edge {
    /// Starts an edge on this host that knows one token, by the stand-in's programs in a directory.
    pub fn run(programs: &Path, token: &str) -> Self {
        let programs = Programs {
            directories: vec![programs.to_owned()],
            mark: programs.to_owned(),
        };
        Self::start(&programs, "127.0.0.1", token)
    }

    /// Starts an edge that knows one token and listens for agents on this host.
    pub(crate) fn start(programs: &Programs, host: &str, token: &str) -> Self {
        let log = EdgeLog::default();
        let process = ServerProcess::start(
            programs
                .command("backplane-edge")
                .args(["--agents", &format!("{host}:0")])
                .args(["--token", token]),
            {
                let log = log.clone();
                move |line| log.add(line)
            },
        );
        let address = |name: &str| {
            let address = process.wait_for_line(|line| Some(line.strip_prefix(name)?.to_owned()));
            address.unwrap_or_else(|| panic!("the edge does not listen: {log}"))
        };
        Self {
            public: address("public "),
            agents: address("agents "),
            _process: process,
            log,
            programs: programs.clone(),
        }
    }

    /// Routes `endpoint` to the agents that `selector` selects.
    pub fn route(&self, token: &str, endpoint: &str, selector: &str) {
        let output = self
            .programs
            .command("backplane")
            .args(["route", endpoint, selector])
            .env("BACKPLANE_EDGE", &self.agents)
            .env("BACKPLANE_TOKEN", token)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Sends a GET request for `endpoint`; the answer can be read.
    pub fn open(&self, endpoint: &str, path: &str) -> BufReader<TcpStream> {
        http::open(&self.public, endpoint, path)
    }

    /// Requests an answer of the sample app in ten lines over this time, and waits for the first.
    #[track_caller]
    pub fn open_slow(&self, endpoint: &str, time: Duration) -> BufReader<TcpStream> {
        http::open_slow(&self.public, endpoint, time)
    }

    /// The status of the answer to a request.
    pub fn get(&self, endpoint: &str, path: &str) -> u16 {
        http::get(&self.public, endpoint, path).0
    }

    /// Waits until `endpoint` is answered with `status`.
    #[track_caller]
    pub fn wait_for_status(&self, endpoint: &str, status: u16) {
        http::wait_for_status(&self.public, endpoint, status);
    }

    /// Starts these clients on `endpoint`.
    pub fn load(&self, endpoint: &'static str, clients: &[Client]) -> Load {
        Load::start(&self.public, endpoint, clients)
    }

    /// The connected agent with this label.
    pub fn connected(&self, label: &str) -> Option<AgentNumber> {
        self.log.connected(label)
    }

    /// Waits until an agent with this label is connected.
    #[track_caller]
    pub fn wait_for_connected(&self, label: &str) -> AgentNumber {
        let what = format_args!("an agent with {label} at the edge:\n{}", self.log);
        eventually(DEADLINE, what, || self.connected(label))
    }

    /// Waits until the edge knows that this agent is gone, and returns the moment.
    #[track_caller]
    pub fn wait_for_gone(&self, agent: AgentNumber) -> Instant {
        let what = format_args!("the end of agent {agent} at the edge");
        eventually(DEADLINE, what, || self.log.gone(agent))
    }
}
