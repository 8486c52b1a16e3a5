//! Servers that an app talks to, or is talked to by.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::edge_log::{AgentNumber, EdgeLog};
use crate::load::{Client, Load};
use crate::programs::Programs;
use crate::{DEADLINE, eventually};

/// The edge of the stand-in. It is killed when this is dropped.
pub struct Edge {
    child: Child,
    /// Where it takes requests.
    public: String,
    /// Where it takes agents.
    pub agents: String,
    log: EdgeLog,
    programs: Programs,
}

impl Edge {
    /// Starts an edge that knows one token, and takes agents at this address of the machine.
    pub(crate) fn start(programs: &Programs, host: &str, token: &str) -> Self {
        let mut child = programs
            .command("backplane-edge")
            .args(["--agents", &format!("{host}:0")])
            .args(["--token", token])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = EdgeLog::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let sink = log.clone();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                sink.add(line);
            }
        });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The receiver has all that it wants after the first two.
                let _ = sender.send(line);
            }
        });
        let mut edge = Self {
            child,
            public: String::new(),
            agents: String::new(),
            log,
            programs: programs.clone(),
        };
        while edge.public.is_empty() || edge.agents.is_empty() {
            let line = lines.recv_timeout(DEADLINE).unwrap_or_else(|_| {
                panic!("the edge does not say where it listens, but: {}", edge.log)
            });
            match line.split_once(' ') {
                Some(("public", address)) => address.clone_into(&mut edge.public),
                Some(("agents", address)) => address.clone_into(&mut edge.agents),
                _ => panic!("unexpected line of the edge: {line}"),
            }
        }
        edge
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

    /// Sends a GET request for `endpoint` to the edge; its answer can be read.
    pub fn open(&self, endpoint: &str, path: &str) -> BufReader<TcpStream> {
        open(&self.public, endpoint, path)
    }

    /// Asks `endpoint` for an answer of the sample app in ten lines that take this long, and waits for the first of them.
    #[track_caller]
    pub fn open_slow(&self, endpoint: &str, time: Duration) -> BufReader<TcpStream> {
        open_slow(&self.public, endpoint, time)
    }

    /// Gets `path` of `endpoint` through the edge, and gives the status of the answer.
    pub fn get(&self, endpoint: &str, path: &str) -> u16 {
        let mut answer = String::new();
        self.open(endpoint, path)
            .read_to_string(&mut answer)
            .unwrap();
        status_of(&answer).unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"))
    }

    /// Puts these clients to work on `endpoint`.
    pub fn load(&self, endpoint: &'static str, clients: &[Client]) -> Load {
        Load::start(&self.public, endpoint, clients)
    }

    /// The agent with this label that is connected, if one is.
    pub fn connected(&self, label: &str) -> Option<AgentNumber> {
        self.log.connected(label)
    }

    /// Waits until an agent with this label is connected.
    #[track_caller]
    pub fn wait_for_connected(&self, label: &str) -> AgentNumber {
        let what = format_args!(
            "an agent with {label} at the edge, whose log is\n{}",
            self.log
        );
        eventually(DEADLINE, what, || self.connected(label))
    }

    /// Waits until the edge knows that this agent is gone, and gives the moment.
    #[track_caller]
    pub fn wait_for_gone(&self, agent: AgentNumber) -> Instant {
        eventually(
            DEADLINE,
            format_args!("the end of agent {agent} at the edge"),
            || self.log.gone(agent),
        )
    }

    /// Waits until `endpoint` is answered with `status`.
    #[track_caller]
    pub fn wait_for_status(&self, endpoint: &str, status: u16) {
        eventually(DEADLINE, format_args!("status {status}"), || {
            (self.get(endpoint, "/") == status).then_some(())
        });
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a GET request for `endpoint` to who listens at `address`; its answer can be read.
pub(super) fn open(address: &str, endpoint: &str, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    BufReader::new(stream)
}

#[track_caller]
pub(super) fn open_slow(address: &str, endpoint: &str, time: Duration) -> BufReader<TcpStream> {
    let mut answer = open(address, endpoint, &format!("/slow?ms={}", time.as_millis()));
    let mut line = String::new();
    while !line.contains("1/10") {
        line.clear();
        let length = answer.read_line(&mut line).unwrap();
        assert_ne!(length, 0, "the answer ended early");
    }
    answer
}

/// The status of an HTTP answer, if it is one.
pub(super) fn status_of(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}
