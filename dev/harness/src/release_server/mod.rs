//! A release server that misbehaves on demand, over real sockets and real TLS.

mod answer;
mod authority;
mod proxy;

pub use answer::{Answer, etag};
pub use authority::{Authority, Flaw};
pub use proxy::SocksServer;

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, target and version.
    pub line: String,
    headers: Vec<(String, String)>,
}

impl Request {
    fn read(connection: &mut dyn Connection) -> io::Result<Self> {
        let mut lines = BufReader::with_capacity(1, connection).lines();
        let mut next = || lines.next().unwrap_or_else(|| Ok(String::new()));
        let line = next()?;
        let mut headers = Vec::new();
        while let Some((name, value)) = next()?.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self { line, headers })
    }

    /// A header's value; the case of the name does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The path or URL that the client asks for.
    fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// The next answers, one for each request. The last one is repeated.
#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Answer>,
    requests: Vec<Request>,
}

impl Script {
    fn next(&mut self, request: &Request) -> Option<Answer> {
        self.requests.push(request.clone());
        match self.answers.len() {
            0 | 1 => self.answers.front().cloned(),
            _ => self.answers.pop_front(),
        }
    }
}

/// A server on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct ReleaseServer {
    address: SocketAddr,
    scheme: &'static str,
    host: &'static str,
    script: Arc<Mutex<Script>>,
    is_over: Arc<AtomicBool>,
}

impl ReleaseServer {
    /// Starts a server without encryption.
    pub fn http(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start("http", "127.0.0.1", None, answers)
    }

    /// Starts a server with a certificate of `authority` for `localhost`.
    pub fn https(authority: &Authority, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::https_with(authority, Flaw::None, answers)
    }

    /// Starts a server whose certificate of `authority` may have a flaw.
    pub fn https_with(
        authority: &Authority,
        flaw: Flaw,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Self {
        let config = authority.server_config(flaw);
        Self::start("https", "localhost", Some(config), answers)
    }

    fn start(
        scheme: &'static str,
        host: &'static str,
        tls: Option<Arc<ServerConfig>>,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            scheme,
            host,
            script: Arc::default(),
            is_over: Arc::default(),
        };
        server.will_answer(answers);
        let (script, is_over) = (Arc::clone(&server.script), Arc::clone(&server.is_over));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let (tls, script) = (tls.clone(), Arc::clone(&script));
                // Tests include clients that close the connection in the middle of an answer.
                thread::spawn(move || drop(serve(stream, tls, &script)));
            }
        });
        server
    }

    /// Replaces the rest of the script.
    pub fn will_answer(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.script).answers = answers.into_iter().collect();
    }

    /// The address as `HOST:PORT`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.address.port())
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.authority())
    }

    /// The requests since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        mem::take(&mut lock(&self.script).requests)
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        lock(&self.script).requests.clear();
    }
}

impl Drop for ReleaseServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection with or without TLS.
trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    script: &Mutex<Script>,
) -> io::Result<()> {
    // Bounds the life of a connection, and of its thread.
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let socket = stream.try_clone()?;
    let mut connection: Box<dyn Connection> = match tls {
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(connection, stream))
        }
        None => Box::new(stream),
    };
    let request = Request::read(&mut *connection)?;
    let answer = lock(script).next(&request);
    if let Some(answer) = answer {
        answer.send(&request, &mut *connection, &socket)?;
    }
    socket.shutdown(Shutdown::Write)
}
