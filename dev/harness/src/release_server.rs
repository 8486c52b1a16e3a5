//! A release server that misbehaves on demand, over real sockets and real TLS.
//!
//! It panics where it cannot work: it is for tests only.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
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

    fn server_config(&self, flaw: Flaw) -> Arc<ServerConfig> {
        let host = match flaw {
            Flaw::WrongName => "elsewhere.example",
            _ => "localhost",
        };
        let key = KeyPair::generate().expect("the machine can do that");
        let mut params =
            CertificateParams::new([host.to_owned()]).expect("the machine can do that");
        match flaw {
            Flaw::Expired => params.not_after = date_time_ymd(2000, 1, 1),
            Flaw::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
            Flaw::None | Flaw::WrongName | Flaw::Authority => {}
        }
        let certificate = params
            .signed_by(&key, &self.0)
            .expect("the machine can do that");
        let (der, key) = match flaw {
            Flaw::Authority => (self.0.der().clone(), self.0.key().serialize_der()),
            _ => (certificate.der().clone(), key.serialize_der()),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the machine can do that")
            .with_no_client_auth()
            .with_single_cert(vec![der], PrivatePkcs8KeyDer::from(key).into())
            .expect("the machine can do that");
        Arc::new(config)
    }
}

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is for another host.
    WrongName,
    /// It is the authority's own.
    Authority,
}

/// How the server answers one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A file; with its entity tag, so that a conditional request for it is answered with 304.
    File(Vec<u8>),
    /// The file in this directory that the request names; with its entity tag, too.
    Directory(PathBuf),
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
    /// What a proxy answers: to CONNECT, a tunnel to where the client wants to go; to an absolute URL, what its server answers.
    Proxy,
    /// These bytes, and silence until the client goes.
    Stall(Vec<u8>),
    /// These bytes, and then one more every few milliseconds until the client goes.
    Drip(Vec<u8>),
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
        Self::https_with(authority, Flaw::None, answers)
    }

    /// Starts a server whose certificate of `authority` may have a flaw.
    pub fn https_with(
        authority: &Authority,
        flaw: Flaw,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Self {
        Self::start(Some(authority.server_config(flaw)), answers)
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
        Some(Answer::Directory(directory)) => {
            write_from_directory(&mut connection, &request, &directory)?;
        }
        Some(Answer::Status {
            status,
            headers,
            body,
        }) => write_response(&mut connection, status, &headers, &body)?,
        Some(Answer::Raw(bytes)) => {
            connection.write_all(&bytes)?;
            connection.flush()?;
        }
        Some(Answer::Proxy) => {
            let target = request.line.split(' ').nth(1).unwrap_or_default();
            if let Some(url) = target.strip_prefix("http://") {
                let (host, path) = url.split_once('/').unwrap_or((url, ""));
                let mut upstream = TcpStream::connect(host)?;
                write!(upstream, "GET /{path} HTTP/1.1\r\n")?;
                for (name, value) in &request.headers {
                    write!(upstream, "{name}: {value}\r\n")?;
                }
                upstream.write_all(b"\r\n")?;
                io::copy(&mut upstream, &mut connection)?;
                connection.flush()?;
            } else {
                let mut upstream = TcpStream::connect(target)?;
                connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                connection.flush()?;
                join(&socket, &mut connection, &mut upstream)?;
            }
        }
        Some(Answer::Stall(bytes)) => {
            connection.write_all(&bytes)?;
            connection.flush()?;
            // Until the client goes, or the read times out.
            connection.read_exact(&mut [0])?;
        }
        Some(Answer::Drip(bytes)) => {
            connection.write_all(&bytes)?;
            loop {
                connection.write_all(b"x")?;
                connection.flush()?;
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    socket.shutdown(Shutdown::Write)
}

/// Passes on what either side sends, in turn, until one has ended.
fn join(
    socket: &TcpStream,
    client: &mut dyn Connection,
    upstream: &mut TcpStream,
) -> io::Result<()> {
    let turn = Some(Duration::from_millis(1));
    socket.set_read_timeout(turn)?;
    upstream.set_read_timeout(turn)?;
    while pass_on(client, upstream)? && pass_on(upstream, client)? {}
    Ok(())
}

/// Passes on what there is now; whether there may be more.
fn pass_on(from: &mut dyn Connection, to: &mut dyn Connection) -> io::Result<bool> {
    let mut buffer = vec![0; 64 * 1024];
    match from.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(count) => to
            .write_all(&buffer[..count])
            .and_then(|()| to.flush())
            .map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// A SOCKS proxy (versions 4, 4a and 5) on a port of its own, which asks for a user and a password if it has some.
#[derive(Debug)]
pub struct SocksServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl SocksServer {
    /// Starts a proxy, which lives as long as the process.
    ///
    /// # Panics
    ///
    /// When the machine has no port to give.
    #[must_use]
    pub fn start(credentials: Option<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the machine can do that");
        let address = listener.local_addr().expect("the machine can do that");
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    let target = socks_target(&mut stream, credentials)?;
                    seen.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(target.clone());
                    let mut upstream = TcpStream::connect(target)?;
                    let socket = stream.try_clone()?;
                    join(&socket, &mut stream, &mut upstream)
                });
            }
        });
        Self { address, requests }
    }

    /// The address as `HOST:PORT`.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Where clients wanted to go since the last time that this was asked.
    #[must_use]
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes a request of a client and grants it; the result is the target as `HOST:PORT`.
fn socks_target(stream: &mut TcpStream, credentials: Option<(&str, &str)>) -> io::Result<String> {
    let version = take(stream, 1)?[0];
    if version == 4 {
        let request = take(stream, 7)?;
        take_text(stream)?;
        let mut host = request[3..]
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(".");
        if host.starts_with("0.0.0.") {
            host = take_text(stream)?;
        }
        stream.write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
        return Ok(format!(
            "{host}:{}",
            u16::from_be_bytes([request[1], request[2]])
        ));
    }
    let methods = take_counted(stream)?;
    let method = if credentials.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[5, 0xff])?;
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.write_all(&[5, method])?;
    if let Some((user, password)) = credentials {
        take(stream, 1)?;
        let given = (take_counted(stream)?, take_counted(stream)?);
        let is_right = given == (user.into(), password.into());
        stream.write_all(&[1, u8::from(!is_right)])?;
    }
    let host = match take(stream, 4)?[3] {
        1 => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(take(stream, 4)?).unwrap_or_default())
            .to_string(),
        _ => String::from_utf8_lossy(&take_counted(stream)?).into_owned(),
    };
    let port = take(stream, 2)?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(format!("{host}:{}", u16::from_be_bytes([port[0], port[1]])))
}

fn take(stream: &mut TcpStream, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn take_counted(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let count = take(stream, 1)?[0];
    take(stream, count.into())
}

fn take_text(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = String::new();
    loop {
        match take(stream, 1)?[0] {
            0 => return Ok(text),
            byte => text.push(byte.into()),
        }
    }
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

/// Streams the file, which may be larger than the memory; its size and its time are its entity tag.
fn write_from_directory(
    connection: &mut dyn Connection,
    request: &Request,
    directory: &Path,
) -> io::Result<()> {
    let target = request.line.split(' ').nth(1).unwrap_or_default();
    let path = Path::new(target.trim_start_matches('/'));
    let is_below = |component| matches!(component, Component::Normal(_));
    let file = File::open(directory.join(path));
    let (true, Ok(mut file)) = (path.components().all(is_below), file) else {
        return write_response(connection, 404, &[], b"");
    };
    let metadata = file.metadata()?;
    let tag = etag(format!("{} {:?}", metadata.len(), metadata.modified()?).as_bytes());
    if request.header("If-None-Match") == Some(&tag) {
        return write_response(connection, 304, &[("ETag".to_owned(), tag)], b"");
    }
    let mut writer = BufWriter::with_capacity(64 * 1024, connection);
    write!(
        writer,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\nETag: {tag}\r\n\r\n",
        metadata.len()
    )?;
    io::copy(&mut file, &mut writer)?;
    writer.flush()
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
