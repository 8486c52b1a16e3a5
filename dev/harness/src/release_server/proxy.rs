//! HTTP and SOCKS proxies.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{Connection, Request, lock};

/// Answers a request to an HTTP proxy.
pub(super) fn forward(
    request: &Request,
    client: &mut dyn Connection,
    socket: &TcpStream,
) -> io::Result<()> {
    let Some(url) = request.target().strip_prefix("http://") else {
        let mut upstream = TcpStream::connect(request.target())?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        client.flush()?;
        return join(socket, client, &mut upstream);
    };
    let (host, path) = url.split_once('/').unwrap_or((url, ""));
    let mut upstream = TcpStream::connect(host)?;
    write!(upstream, "GET /{path} HTTP/1.1\r\n")?;
    for (name, value) in &request.headers {
        write!(upstream, "{name}: {value}\r\n")?;
    }
    upstream.write_all(b"\r\n")?;
    io::copy(&mut upstream, client).map(drop)
}

/// Forwards the bytes of each side to the other, in turn, until one has ended.
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

/// Forwards the bytes that are there now; returns whether there may be more.
fn pass_on(from: &mut dyn Connection, to: &mut dyn Connection) -> io::Result<bool> {
    let mut buffer = vec![0; 64 * 1024];
    match from.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(count) => {
            to.write_all(&buffer[..count])?;
            to.flush()?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// A SOCKS proxy (versions 4, 4a and 5), which may ask for a user and a password.
#[derive(Debug)]
pub struct SocksServer {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl SocksServer {
    /// Starts a proxy, which lives as long as the process.
    pub fn start(credentials: Option<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            targets: Arc::default(),
        };
        let targets = Arc::clone(&server.targets);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let targets = Arc::clone(&targets);
                thread::spawn(move || {
                    let target = accept(&mut stream, credentials)?;
                    lock(&targets).push(target.clone());
                    let mut upstream = TcpStream::connect(target)?;
                    let socket = stream.try_clone()?;
                    join(&socket, &mut stream, &mut upstream)
                });
            }
        });
        server
    }

    /// The address as `HOST:PORT`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The targets of clients since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        mem::take(&mut *lock(&self.targets))
    }
}

/// Accepts a client's request, and returns its target as `HOST:PORT`.
fn accept(stream: &mut TcpStream, credentials: Option<(&str, &str)>) -> io::Result<String> {
    let (host, port) = match take::<1>(stream)? {
        [4] => {
            let [_, high, low, address @ ..] = take::<7>(stream)?;
            take_text(stream)?;
            let host = match address {
                [0, 0, 0, _] => take_text(stream)?,
                _ => Ipv4Addr::from(address).to_string(),
            };
            stream.write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
            (host, [high, low])
        }
        _ => accept_version_5(stream, credentials)?,
    };
    Ok(format!("{host}:{}", u16::from_be_bytes(port)))
}

/// RFC 1928, and RFC 1929 for the password.
fn accept_version_5(
    stream: &mut TcpStream,
    credentials: Option<(&str, &str)>,
) -> io::Result<(String, [u8; 2])> {
    let methods = take_counted(stream)?;
    let method = if credentials.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[5, 0xff])?;
        return Err(ErrorKind::PermissionDenied.into());
    }
    stream.write_all(&[5, method])?;
    if let Some((user, password)) = credentials {
        take::<1>(stream)?;
        let given = (take_counted(stream)?, take_counted(stream)?);
        let is_right = given == (user.into(), password.into());
        stream.write_all(&[1, u8::from(!is_right)])?;
    }
    let host = match take(stream)? {
        [_, _, _, 1] => Ipv4Addr::from(take::<4>(stream)?).to_string(),
        _ => String::from_utf8_lossy(&take_counted(stream)?).into_owned(),
    };
    let port = take(stream)?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok((host, port))
}

fn take<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Bytes behind their count.
fn take_counted(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let [count] = take(stream)?;
    let mut bytes = vec![0; count.into()];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A text that ends with a zero.
fn take_text(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = String::new();
    while let [byte @ 1..=u8::MAX] = take(stream)? {
        text.push(byte.into());
    }
    Ok(text)
}
