//! Tunnels that the buildpack installs by name: their releases and their servers.

use std::fs;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::port::free_port;
use crate::programs::Programs;
use crate::server_process::ServerProcess;
use crate::{ARCHITECTURE, DEADLINE, documented, eventually, http, read_toml, root};

/// How often the start of a server is tried on other ports.
const TRIES: u32 = 5;

/// The domain that the server routes to the agents of the tests.
pub const DOMAIN: &str = "myendpoint.test";

/// A tunnel that the buildpack has a table and a directory for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tunnel {
    Chisel,
    Frp,
}

impl Tunnel {
    pub const ALL: [Self; 2] = [Self::Chisel, Self::Frp];

    /// The value of `BACKPLANE_AGENT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chisel => "chisel",
            Self::Frp => "frp",
        }
    }

    /// The name of its program in an installation.
    pub fn program(self) -> &'static str {
        match self {
            Self::Chisel => "chisel",
            Self::Frp => "frpc",
        }
    }

    /// The token of an agent with this secret in it, in the form that the tunnel requires.
    pub fn token(self, secret: &str) -> String {
        match self {
            Self::Chisel => format!("agent:{secret}"),
            Self::Frp => secret.to_owned(),
        }
    }

    /// The name of a release, with placeholders, as in the URL of the buildpack's table.
    pub fn release_template(self) -> String {
        let url = self.table()["url"].as_str().unwrap().to_owned();
        url.rsplit_once('/').unwrap().1.to_owned()
    }

    /// The name of the release for this machine.
    pub fn release_name(self) -> String {
        let version = self.table()["version"].as_str().unwrap().to_owned();
        self.release_template()
            .replace("{version}", &version)
            .replace("{os}", "linux")
            .replace("{arch}", ARCHITECTURE)
    }

    /// That release, in the form in which the tunnel's project publishes it.
    pub(crate) fn release(self, programs: &Programs) -> Vec<u8> {
        let program = |name: &str| fs::read(programs.path(name)).unwrap();
        match self {
            Self::Chisel => {
                // Level 1: the archive's size does not matter, and the time of each test does.
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                gzip.write_all(&program("chisel")).unwrap();
                gzip.finish().unwrap()
            }
            Self::Frp => {
                let name = self.release_name();
                let directory = Path::new(name.strip_suffix(".tar.gz").unwrap());
                let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
                for (file, mode, content) in [
                    ("LICENSE", 0o644, b"license".to_vec()),
                    ("frpc", 0o755, program("frpc")),
                    ("frpc.toml", 0o644, b"serverPort = 1".to_vec()),
                    ("frps", 0o755, program("frps")),
                    ("frps.toml", 0o644, b"bindPort = 1".to_vec()),
                ] {
                    let mut header = tar::Header::new_ustar();
                    header.set_mode(mode);
                    header.set_size(content.len() as u64);
                    tar.append_data(&mut header, directory.join(file), &*content)
                        .unwrap();
                }
                tar.into_inner().unwrap().finish().unwrap()
            }
        }
    }

    /// The document's command for the server.
    fn server_command(self) -> String {
        match self {
            Self::Chisel => documented("docs/agents.md", "chisel server "),
            Self::Frp => documented("docs/agents.md", "frps "),
        }
    }

    /// The document's commands for the app: its build and its run, and a request.
    pub fn app_commands(self) -> [String; 2] {
        match self {
            Self::Chisel => [
                documented(
                    "docs/agents.md",
                    "pack build my-app --builder heroku/builder:24 --env BACKPLANE_AGENT=chisel ",
                ),
                documented("docs/agents.md", "curl http://chisel.example.com"),
            ],
            Self::Frp => [
                documented(
                    "docs/agents.md",
                    "pack build my-app --builder heroku/builder:24 --env BACKPLANE_AGENT=frp ",
                ),
                documented("docs/agents.md", "curl http://shop.example.com"),
            ],
        }
    }

    fn table(self) -> toml::Table {
        let mut descriptor: toml::Value = read_toml(&root().join("buildpack.toml")).into();
        let table = descriptor["metadata"]["agents"][self.name()].as_table_mut();
        std::mem::take(table.unwrap())
    }
}

/// The real server of a tunnel. It is killed when this is dropped.
pub struct TunnelServer {
    tunnel: Tunnel,
    programs: Programs,
    token: String,
    /// The address that agents connect to, without its port.
    host: String,
    /// The port for agents.
    pub port: u16,
    /// The port for requests, on this machine's loopback address.
    public_port: u16,
    process: Option<ServerProcess>,
}

impl TunnelServer {
    /// Starts a server for agents with this token. It cannot choose its ports itself, so another
    /// process may be quicker; then it ends.
    pub(crate) fn start(tunnel: Tunnel, programs: &Programs, host: &str, token: &str) -> Self {
        let start = |_| {
            let mut server = Self {
                tunnel,
                programs: programs.clone(),
                token: token.to_owned(),
                host: host.to_owned(),
                port: free_port(),
                public_port: free_port(),
                process: None,
            };
            server.try_start().then_some(server)
        };
        (0..TRIES)
            .find_map(start)
            .expect("of all the ports that were free, some still are")
    }

    /// Starts the process by the document's command, on addresses of its own. Returns whether it
    /// serves.
    fn try_start(&mut self) -> bool {
        let (port, public) = (self.port.to_string(), self.public_port.to_string());
        let host = self.host.as_str();
        // A later option replaces an earlier one.
        let (program, options, line) = match self.tunnel {
            Tunnel::Chisel => (
                "chisel",
                vec!["--host", host, "--port", &port],
                "Listening on ",
            ),
            Tunnel::Frp => (
                "frps",
                vec![
                    "--bind-addr",
                    host,
                    "--bind-port",
                    &port,
                    "--proxy-bind-addr",
                    "127.0.0.1",
                    "--vhost-http-port",
                    &public,
                ],
                "frps started successfully",
            ),
        };
        let documented = self.tunnel.server_command();
        let documented = documented.trim_end();
        // Both outputs are one, because each server has its log on another.
        let mut command = self.programs.shell(program);
        command
            .arg(format!(r#"exec {documented} "$@" 2>&1"#))
            .arg(program)
            .args(options)
            .env("TOKEN", &self.token);
        let process = ServerProcess::start(&mut command, drop);
        let ready = process.wait_for_line(|log| log.contains(line).then_some(()));
        self.process = Some(process);
        ready.is_some()
    }

    /// Kills the server. The port for agents refuses connections then.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the server again, on the same ports.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.kill();
        eventually(DEADLINE, "a server on the same ports", || {
            self.try_start().then_some(())
        });
    }

    /// The variables of an agent of this server, except the token.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        match self.tunnel {
            Tunnel::Chisel => vec![
                (
                    "BACKPLANE_CHISEL_SERVER",
                    format!("http://{}:{}", self.host, self.port),
                ),
                (
                    "BACKPLANE_CHISEL_REMOTE",
                    format!("127.0.0.1:{}", self.public_port),
                ),
            ],
            Tunnel::Frp => vec![
                ("BACKPLANE_FRP_SERVER", self.host.clone()),
                ("BACKPLANE_FRP_PORT", self.port.to_string()),
                ("BACKPLANE_FRP_DOMAIN", DOMAIN.to_owned()),
            ],
        }
    }

    /// The address for requests.
    pub fn public(&self) -> String {
        format!("127.0.0.1:{}", self.public_port)
    }

    /// The status of the answer to a request for `/` at this domain; `None` if there is no agent.
    pub fn status(&self, domain: &str) -> Option<u16> {
        // chisel listens for an agent as long as that is connected.
        TcpStream::connect(self.public()).ok()?;
        let status = http::try_get(&self.public(), domain, "/")?.0;
        // frp answers by itself.
        (self.tunnel == Tunnel::Chisel || status != 404).then_some(status)
    }

    /// Waits until the app answers, or, with `None`, until there is no agent.
    #[track_caller]
    pub fn wait_for_status(&self, status: Option<u16>) {
        eventually(DEADLINE, format_args!("status {status:?}"), || {
            (self.status(DOMAIN) == status).then_some(())
        });
    }

    /// Requests an answer of the sample app in ten lines over this time, and waits for the first.
    #[track_caller]
    pub fn open_slow(&self, time: Duration) -> BufReader<TcpStream> {
        http::open_slow(&self.public(), DOMAIN, time)
    }
}
