//! Programs under test, requests, and waiting.

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;

/// How long anything that should happen may take, on a machine that is busy with other things.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long a whole test may take, while all others run beside it.
const TEST_LIMIT: Duration = Duration::from_mins(3);

/// How often it is checked.
const INTERVAL: Duration = Duration::from_millis(5);

/// The token that the edge of every [`World`] knows.
const TOKEN: &str = "a-token-of-the-tests";

/// The endpoint that the tests send requests for.
const ENDPOINT: &str = "myendpoint.test";

/// Runs a test, for a bounded time.
pub(crate) fn bounded(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(TEST_LIMIT, test).await })
        .expect("the test takes too long");
}

/// Waits until `check` returns something.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(seen) = check().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "it never happened: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A program of the stand-in, as a process that is killed at the latest when this is dropped.
pub(crate) struct Program {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a process has printed up to now.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Program {
            stdout: Lines::collect(child.stdout.take().unwrap()),
            stderr: Lines::collect(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Waits for a line on stdout that begins with this, and returns the rest of it.
    pub(crate) async fn printed(&self, start: &str) -> String {
        self.stdout.find(|line| line.strip_prefix(start)).await
    }

    /// Waits for a line on stderr that has this in it, and returns all of it.
    pub(crate) async fn logged(&self, part: &str) -> String {
        self.stderr
            .find(|line| line.contains(part).then_some(line))
            .await
    }

    /// All lines on stderr up to now.
    pub(crate) fn log(&self) -> Vec<String> {
        self.stderr.0.lock().unwrap().clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually("the program ends", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill, and its status was or is taken
        // here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let lines = self.log().join("\n");
            eprintln!("--- stderr of process {}\n{lines}", self.id());
        }
    }
}

impl Lines {
    fn collect(output: impl Read + Send + 'static) -> Self {
        let lines = Lines::default();
        let collected = lines.clone();
        // It ends with the output, and so with the process.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                collected.0.lock().unwrap().push(line);
            }
        });
        lines
    }

    async fn find(&self, fits: impl Fn(&str) -> Option<&str>) -> String {
        eventually("a line that fits", async || {
            let lines = self.0.lock().unwrap();
            lines.iter().find_map(|line| fits(line)).map(str::to_owned)
        })
        .await
    }
}

/// An edge, and what is needed to put agents and apps behind it.
pub(crate) struct World {
    pub(crate) edge: Program,
    pub(crate) public: SocketAddr,
    agents: SocketAddr,
}

impl World {
    pub(crate) async fn start() -> Self {
        let edge = Program::start(
            Command::new(env!("CARGO_BIN_EXE_backplane-edge")).args(["--token", TOKEN]),
        );
        World {
            public: edge.printed("public ").await.parse().unwrap(),
            agents: edge.printed("agents ").await.parse().unwrap(),
            edge,
        }
    }

    /// The agent's program, with the address of the edge and a token.
    fn backplane(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backplane"));
        command
            .env("BACKPLANE_EDGE", self.agents.to_string())
            .env("BACKPLANE_TOKEN", TOKEN);
        command
    }

    /// An agent that is connected, for an app.
    pub(crate) async fn agent(&self, labels: &str, app: &App) -> Program {
        self.agent_for(labels, &app.url()).await
    }

    /// An agent that is connected, for an app at this URL.
    pub(crate) async fn agent_for(&self, labels: &str, url: &str) -> Program {
        let connected = || {
            let log = self.edge.log();
            log.iter()
                .filter(|line| line.contains(" connected from "))
                .count()
        };
        let before = connected();
        let agent = Program::start(self.backplane().args(["connect", labels, url]));
        // Asked of the edge: the agent knows that its hello was answered a moment before the edge
        // has it on its list.
        eventually("the agent is connected", async || {
            (connected() > before).then_some(())
        })
        .await;
        agent
    }

    /// Adds a route for [`ENDPOINT`].
    pub(crate) async fn route(&self, selector: &str) {
        let mut route = Program::start(self.backplane().args(["route", ENDPOINT, selector]));
        assert!(route.ended().await.success());
    }

    /// An app with an agent and a route to it.
    pub(crate) async fn with_app() -> (Self, App, Program) {
        let world = World::start().await;
        let app = App::start(&[]).await;
        let agent = world.agent("app=web", &app).await;
        world.route("app=web").await;
        (world, app, agent)
    }

    /// Sends a GET for [`ENDPOINT`].
    pub(crate) async fn get(&self, path: &str) -> Answer {
        get(self.public, path).await
    }

    /// Posts a body to the app's `/echo`.
    pub(crate) async fn echo(&self, body: impl Into<Bytes>) -> Answer {
        let body = http_body_util::Full::new(body.into());
        Answer::of(send(self.public, request("POST", "/echo", body)).await).await
    }
}

/// The sample app as a web process that listens.
pub(crate) struct App {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
}

impl App {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let program = Program::start(
            Command::new(env!("CARGO_BIN_EXE_sample-app"))
                .args(["--listen", "127.0.0.1:0"])
                .args(arguments),
        );
        App {
            address: program.printed("listening ").await.parse().unwrap(),
            program,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes the app refuse connections.
    pub(crate) async fn close(&self) {
        self.program.signal(Signal::SIGUSR1);
        self.program.logged("listens no more").await;
    }

    /// Whether this app gave the answer, rather than another one.
    pub(crate) fn greets_in(&self, answer: &Answer) -> bool {
        let process = self.program.id();
        let text = format!("Hello from the sample app, process {process}.\n");
        answer.status == StatusCode::OK && answer.text == text
    }
}

/// A whole answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response<Incoming>) -> Self {
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            text: String::from_utf8(body.into()).unwrap(),
        }
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    Answer::of(send(address, request("GET", path, Empty::<Bytes>::new())).await).await
}

/// A request for [`ENDPOINT`].
pub(crate) fn request<B>(method: &str, path: &str, body: B) -> Request<B> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("Host", ENDPOINT)
        .body(body)
        .unwrap()
}

/// Sends a request over a connection of its own, and waits for the header of the answer.
pub(crate) async fn send<B>(address: SocketAddr, request: Request<B>) -> Response<Incoming>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}
