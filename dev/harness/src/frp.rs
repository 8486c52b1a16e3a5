//! frp, a tunnel that is not Backplane's, as the README makes an agent of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use crate::command;
use crate::edge::{open, open_slow, status_of};
use crate::port::free_port;
use crate::programs::Programs;
use crate::{DEADLINE, eventually};

/// What people read; the files of the agent are taken from it.
const README: &str = include_str!("../../../README.md");

/// How often a server is started until the ports that were free are still so.
const TRIES: u32 = 5;

/// The domain that the server sends to the agents of the tests.
pub const DOMAIN: &str = "myendpoint.test";

/// The archive that the README's section makes: its files, by its command, with the real frpc.
pub(crate) fn agent_archive(programs: &Programs) -> &'static [u8] {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let section = section("## Use another agent");
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("backplane");
        fs::write(&script, block(section, "```sh\n#!/bin/sh\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(
            directory.path().join("frpc.toml"),
            block(section, "```toml\n"),
        )
        .unwrap();
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

/// What the README says below a headline.
fn section(headline: &str) -> &'static str {
    let (_, rest) = README
        .split_once(&format!("\n{headline}\n"))
        .expect("the README has it");
    rest.split("\n## ")
        .next()
        .expect("split gives one at least")
}

/// The block of code that begins so, without the fence.
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
    child: Child,
    /// The port for agents.
    pub port: u16,
    /// Where it takes requests.
    public: String,
}

impl FrpServer {
    /// Starts one that takes agents with this token at this address of the machine.
    pub(crate) fn start(programs: &Programs, host: &str, token: &str) -> Self {
        (0..TRIES)
            .find_map(|_| Self::try_start(programs, host, token))
            .expect("of all the ports that were free, some still are")
    }

    /// Starts one with two ports that are free now. It cannot choose them itself, so somebody else may be quicker; then there is none.
    fn try_start(programs: &Programs, host: &str, token: &str) -> Option<Self> {
        let (port, public) = (free_port(), free_port());
        let mut child = programs
            .command("frps")
            .args(["--bind-addr", host, "--proxy-bind-addr", "127.0.0.1"])
            .args(["--bind-port", &port.to_string()])
            .args(["--vhost-http-port", &public.to_string()])
            .args(["--token", token, "--disable-log-color"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let server = Self {
            child,
            port,
            public: format!("127.0.0.1:{public}"),
        };
        let (sender, started) = mpsc::channel();
        thread::spawn(move || {
            // To the end of its output: it must not meet a pipe that nobody reads.
            for line in stdout.lines().map_while(Result::ok) {
                if line.contains("frps started successfully") {
                    // The receiver may have given up.
                    let _ = sender.send(());
                }
            }
        });
        match started.recv_timeout(DEADLINE) {
            Ok(()) => Some(server),
            // It has ended.
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("frps did not start in {DEADLINE:?}"),
        }
    }

    /// Sends a GET request to the app behind it; its answer can be read.
    pub fn open(&self, path: &str) -> BufReader<TcpStream> {
        open(&self.public, DOMAIN, path)
    }

    /// Gets `/` of the app behind it: the status, and all of the answer.
    pub fn get(&self) -> (u16, String) {
        let mut answer = String::new();
        self.open("/").read_to_string(&mut answer).unwrap();
        let status = status_of(&answer);
        (
            status.unwrap_or_else(|| panic!("no HTTP answer: {answer:?}")),
            answer,
        )
    }

    /// Waits until the app's answer has this status; 404 is the server's own, where there is no agent.
    #[track_caller]
    pub fn wait_for_status(&self, status: u16) {
        eventually(DEADLINE, format_args!("status {status}"), || {
            (self.get().0 == status).then_some(())
        });
    }

    /// Asks for an answer of ten lines in this many milliseconds, and waits for the first of them.
    #[track_caller]
    pub fn open_slow(&self, milliseconds: u32) -> BufReader<TcpStream> {
        let time = Duration::from_millis(milliseconds.into());
        open_slow(&self.public, DOMAIN, time)
    }
}

impl Drop for FrpServer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
