//! frp as another agent, made as in the README.

use std::fs;
use std::io::BufReader;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::port::free_port;
use crate::programs::Programs;
use crate::server_process::ServerProcess;
use crate::{DEADLINE, command, http};

/// Contains the files of the agent.
const README: &str = include_str!("../../../README.md");

/// How often the start of a server is tried on other ports.
const TRIES: u32 = 5;

/// The domain that the server routes to the agents of the tests.
pub const DOMAIN: &str = "myendpoint.test";

/// The archive of the README's section: its files, packed by its command, with the real frpc.
pub(crate) fn agent_archive(programs: &Programs) -> &'static [u8] {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let section = section("## Use another agent");
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("backplane");
        fs::write(&script, block(section, "```sh\n#!/bin/sh\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let configuration = block(section, "```toml\n");
        fs::write(directory.path().join("frpc.toml"), configuration).unwrap();
        fs::copy(programs.path("frpc"), directory.path().join("frpc")).unwrap();
        let mut lines = section.lines();
        let line = lines
            .find(|line| line.starts_with("tar "))
            .expect("the README packs them");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line]).current_dir(directory.path());
        let (status, output) = command::run(&mut shell, DEADLINE);
        assert!(status.success(), "{output}");
        fs::read(directory.path().join("agent.tgz")).unwrap()
    })
}

/// The README's section below a headline.
fn section(headline: &str) -> &'static str {
    let (_, rest) = README
        .split_once(&format!("\n{headline}\n"))
        .expect("the README has it");
    rest.split("\n## ")
        .next()
        .expect("split returns one at least")
}

/// The block of code with this beginning, without the fence.
fn block(section: &'static str, begin: &str) -> &'static str {
    let start = section.find(begin).expect("the section has it");
    let (_, code) = section[start..]
        .split_once('\n')
        .expect("a fence ends its line");
    let (code, _) = code.split_once("```\n").expect("a block has an end");
    code
}

/// A server of frp. It is killed when this is dropped.
pub struct FrpServer {
    _process: ServerProcess,
    /// The port for agents.
    pub port: u16,
    /// The address for requests.
    public: String,
}

impl FrpServer {
    /// Starts a server for agents with this token.
    pub(crate) fn start(programs: &Programs, token: &str) -> Self {
        (0..TRIES)
            .find_map(|_| Self::try_start(programs, token))
            .expect("of all the ports that were free, some still are")
    }

    /// Starts a server on two ports that are free now. It cannot choose them itself, so another
    /// process may be quicker; then it ends.
    fn try_start(programs: &Programs, token: &str) -> Option<Self> {
        let (port, public) = (free_port(), free_port());
        let process = ServerProcess::start(
            programs
                .command("frps")
                .args(["--bind-addr", "127.0.0.1", "--proxy-bind-addr", "127.0.0.1"])
                .args(["--bind-port", &port.to_string()])
                .args(["--vhost-http-port", &public.to_string()])
                .args(["--token", token, "--disable-log-color"]),
            drop,
        );
        process.wait_for_line(|line| line.contains("frps started successfully").then_some(()))?;
        Some(Self {
            _process: process,
            port,
            public: format!("127.0.0.1:{public}"),
        })
    }

    /// The status of the app's answer to a request for `/`, and all of the answer.
    pub fn get(&self) -> (u16, String) {
        http::get(&self.public, DOMAIN, "/")
    }

    /// Waits until the answer has this status; without an agent, the server answers 404.
    #[track_caller]
    pub fn wait_for_status(&self, status: u16) {
        http::wait_for_status(&self.public, DOMAIN, status);
    }

    /// Requests an answer of the sample app in ten lines over this time, and waits for the first.
    #[track_caller]
    pub fn open_slow(&self, time: Duration) -> BufReader<TcpStream> {
        http::open_slow(&self.public, DOMAIN, time)
    }
}
