//! A release server that misbehaves on demand, over real sockets and real TLS.
//!
//! It panics where it cannot work: it is for tests only.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A certificate authority made for one test.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes an authority with a key of its own.
    ///
    /// # Panics
    ///
    /// When the machine has no randomness to give.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("the machine can do that");
        Self(CertifiedIssuer::self_signed(params, key).expect("the machine can do that"))
    }

    /// The certificate that a client must trust.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn server_config(&self, host: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("the machine can do that");
        let certificate = CertificateParams::new([host.to_owned()])
            .expect("the machine can do that")
            .signed_by(&key, &self.0)
            .expect("the machine can do that");
        let private_key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the machine can do that")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private_key)
            .expect("the machine can do that");
        Arc::new(config)
    }
}

/// How the server answers one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A file; with its entity tag, so that a conditional request for it is answered with 304.
    File(Vec<u8>),
    /// A status with headers and a body.
    Status {
        /// The status code.
        status: u16,
        /// Names and values of further headers.
        headers: Vec<(String, String)>,
        /// The content.
        body: Vec<u8>,
    },
    /// These bytes, whatever they are, and the end of the connection.
    Raw(Vec<u8>),
    /// What a proxy answers to CONNECT: a tunnel to where the client wants to go. Without TLS only.
    Tunnel,
    /// These bytes, and silence until the client goes.
    Stall(Vec<u8>),
}

impl Answer {
    /// A status with a body that is no file.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            headers: Vec::new(),
            body: b"an error page".to_vec(),
        }
    }

    /// A redirect to another URL.
    #[must_use]
    pub fn redirect(to: &str) -> Self {
        Self::status(302).header("Location", to)
    }

    /// A file of which only the first half arrives.
    #[must_use]
    pub fn cut(content: &[u8]) -> Self {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        Self::Raw([head.as_bytes(), &content[..content.len() / 2]].concat())
    }

    /// A file in chunks, without its size being told.
    #[must_use]
    pub fn chunked(content: &[u8]) -> Self {
        let mut raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in content.chunks(7) {
            raw.extend(format!("{:x}\r\n", chunk.len()).bytes());
            raw.extend(chunk);
            raw.extend(b"\r\n");
        }
        raw.extend(b"0\r\n\r\n");
        Self::Raw(raw)
    }

    /// With one more header, where the answer is a status.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, target and version.
    pub line: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// A header's value; names are told apart without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct Script {
    /// Answers to the next requests, one each; then the last one is given again and again.
    answers: VecDeque<Answer>,
    requests: Vec<Request>,
}

/// A server on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct ReleaseServer {
    address: SocketAddr,
    host: &'static str,
    is_tls: bool,
    script: Arc<Mutex<Script>>,
    is_over: Arc<AtomicBool>,
}

impl ReleaseServer {
    /// Starts a server without encryption, which gives the answers one after the other, and the last again and again.
    pub fn http(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start(None, answers)
    }

    /// Starts a server with a certificate of `authority` for `localhost`.
    pub fn https(authority: &Authority, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start(Some(authority.server_config("localhost")), answers)
    }

    fn start(tls: Option<Arc<ServerConfig>>, answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the machine can do that");
        let server = Self {
            address: listener.local_addr().expect("the machine can do that"),
            host: if tls.is_some() {
                "localhost"
            } else {
                "127.0.0.1"
            },
            is_tls: tls.is_some(),
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
                // A client that goes in the middle of an answer is part of what is tested.
                thread::spawn(move || drop(serve(stream, tls, &script)));
            }
        });
        server
    }

    /// Replaces what is left of the script.
    pub fn will_answer(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.script).answers = answers.into_iter().collect();
    }

    /// The address as `HOST:PORT`.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.address.port())
    }

    /// The URL of a path, which begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.authority())
    }

    /// The requests since the last time that this was asked.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.script).requests)
    }

    /// Lets go of the requests so far.
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

fn lock(script: &Mutex<Script>) -> std::sync::MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    script: &Mutex<Script>,
) -> io::Result<()> {
    // Bounds the life of a connection, and of its thread, whatever the client does.
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let socket = stream.try_clone()?;
    let mut connection: Box<dyn Connection> = match tls {
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(connection, stream))
        }
        None => Box::new(stream),
    };
    let request = read_request(&mut connection)?;
    let answer = {
        let mut script = lock(script);
        script.requests.push(request.clone());
        match script.answers.len() {
            0 | 1 => script.answers.front().cloned(),
            _ => script.answers.pop_front(),
        }
    };
    match answer {
        None => {}
        Some(Answer::File(content)) => write_file(&mut connection, &request, &content)?,
        Some(Answer::Status {
            status,
            headers,
            body,
        }) => write_response(&mut connection, status, &headers, &body)?,
        Some(Answer::Raw(bytes)) => {
            connection.write_all(&bytes)?;
            connection.flush()?;
        }
        Some(Answer::Tunnel) => {
            let target = request.line.split(' ').nth(1).unwrap_or_default();
            let upstream = TcpStream::connect(target)?;
            connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            join(&socket, &upstream)?;
        }
        Some(Answer::Stall(bytes)) => {
            connection.write_all(&bytes)?;
            connection.flush()?;
            // Until the client goes, or the read times out.
            connection.read_exact(&mut [0])?;
        }
    }
    socket.shutdown(Shutdown::Write)
}

/// Passes on what either side sends, until both have ended.
fn join(client: &TcpStream, upstream: &TcpStream) -> io::Result<()> {
    let pass_on = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            io::copy(&mut from, &mut to).and_then(|_| to.shutdown(Shutdown::Write))
        })
    };
    let onward = pass_on(client.try_clone()?, upstream.try_clone()?);
    let back = pass_on(upstream.try_clone()?, client.try_clone()?);
    // What is cut short is part of what is tested.
    drop((onward.join(), back.join()));
    Ok(())
}

fn read_request(connection: &mut dyn Connection) -> io::Result<Request> {
    let mut reader = BufReader::with_capacity(1, connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    Ok(Request {
        line: line.trim_end().to_owned(),
        headers,
    })
}

/// An entity tag that fits the content.
#[must_use]
pub fn etag(content: &[u8]) -> String {
    // Good enough to tell the files of a test apart.
    let sum = content.iter().fold(content.len() as u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    format!("\"{sum:x}\"")
}

fn write_file(
    connection: &mut dyn Connection,
    request: &Request,
    content: &[u8],
) -> io::Result<()> {
    let tag = etag(content);
    let headers = [("ETag".to_owned(), tag.clone())];
    if request.header("If-None-Match") == Some(&tag) {
        write_response(connection, 304, &headers, b"")
    } else {
        write_response(connection, 200, &headers, content)
    }
}

fn write_response(
    connection: &mut dyn Connection,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> io::Result<()> {
    write!(
        connection,
        "HTTP/1.1 {status} Status\r\nConnection: close\r\n"
    )?;
    if status != 304 {
        write!(connection, "Content-Length: {}\r\n", body.len())?;
    }
    for (name, value) in headers {
        write!(connection, "{name}: {value}\r\n")?;
    }
    connection.write_all(b"\r\n")?;
    connection.write_all(body)?;
    connection.flush()
}
