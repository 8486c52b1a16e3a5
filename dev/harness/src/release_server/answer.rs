//! The answers of the release server, from a plain file to endless drops.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::net::TcpStream;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Connection, Request, proxy};

/// How the server answers one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A file with its entity tag. A conditional request for it is answered with 304.
    File(Vec<u8>),
    /// The file in this directory that the request names, in the same way.
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
    /// These bytes, and the end of the connection.
    Raw(Vec<u8>),
    /// A proxy's answer: a tunnel for CONNECT, the other server's answer for an absolute URL.
    Proxy,
    /// These bytes, and silence until the client closes the connection.
    Stall(Vec<u8>),
    /// These bytes, and then one more every few milliseconds until the client closes the
    /// connection.
    Drip(Vec<u8>),
}

impl Answer {
    /// A status with a body that is no file.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            headers: Vec::new(),
            body: b"an error page".to_vec(),
        }
    }

    /// A redirect to another URL.
    pub fn redirect(to: &str) -> Self {
        Self::status(302).header("Location", to)
    }

    /// A file of which only the first half arrives.
    pub fn cut(content: &[u8]) -> Self {
        let length = content.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        Self::Raw([head.as_bytes(), &content[..length / 2]].concat())
    }

    /// A file in chunks, without its size.
    pub fn chunked(content: &[u8]) -> Self {
        let mut raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in content.chunks(7).chain([&[][..]]) {
            raw.extend(format!("{:x}\r\n", chunk.len()).bytes());
            raw.extend(chunk);
            raw.extend(b"\r\n");
        }
        Self::Raw(raw)
    }

    /// Adds a header to an answer that is a status.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(super) fn send(
        self,
        request: &Request,
        connection: &mut dyn Connection,
        socket: &TcpStream,
    ) -> io::Result<()> {
        match self {
            Self::File(content) => {
                let (tag, length) = (etag(&content), content.len() as u64);
                send_file(connection, request, tag, length, &*content)?;
            }
            Self::Directory(directory) => match open(&directory, request.target()) {
                Some(file) => {
                    let metadata = file.metadata()?;
                    // The file may be larger than the memory.
                    let version = format!("{} {:?}", metadata.len(), metadata.modified()?);
                    let tag = etag(version.as_bytes());
                    send_file(connection, request, tag, metadata.len(), file)?;
                }
                None => send_response(connection, 404, &[], 0, io::empty())?,
            },
            Self::Status {
                status,
                headers,
                body,
            } => send_response(connection, status, &headers, body.len() as u64, &*body)?,
            Self::Raw(bytes) => connection.write_all(&bytes)?,
            Self::Proxy => proxy::forward(request, connection, socket)?,
            Self::Stall(bytes) => {
                connection.write_all(&bytes)?;
                connection.flush()?;
                // Until the client closes the connection, or the read times out.
                connection.read_exact(&mut [0])?;
            }
            Self::Drip(bytes) => {
                connection.write_all(&bytes)?;
                loop {
                    connection.write_all(b"x")?;
                    connection.flush()?;
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
        connection.flush()
    }
}

/// An entity tag for the content: good enough for the files of a test.
pub fn etag(content: &[u8]) -> String {
    let sum = content.iter().fold(content.len() as u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    format!("\"{sum:x}\"")
}

/// Opens a file below the directory.
fn open(directory: &Path, target: &str) -> Option<File> {
    let path = Path::new(target.trim_start_matches('/'));
    let is_below = |component| matches!(component, Component::Normal(_));
    let file = File::open(directory.join(path)).ok()?;
    path.components().all(is_below).then_some(file)
}

fn send_file(
    connection: &mut dyn Connection,
    request: &Request,
    tag: String,
    length: u64,
    content: impl Read,
) -> io::Result<()> {
    let is_known = request.header("If-None-Match") == Some(&tag);
    let status = if is_known { 304 } else { 200 };
    let headers = [("ETag".to_owned(), tag)];
    send_response(connection, status, &headers, length, content)
}

fn send_response(
    connection: &mut dyn Connection,
    status: u16,
    headers: &[(String, String)],
    length: u64,
    mut body: impl Read,
) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(64 * 1024, connection);
    write!(writer, "HTTP/1.1 {status} Status\r\nConnection: close\r\n")?;
    for (name, value) in headers {
        write!(writer, "{name}: {value}\r\n")?;
    }
    if status == 304 {
        writer.write_all(b"\r\n")?;
    } else {
        write!(writer, "Content-Length: {length}\r\n\r\n")?;
        io::copy(&mut body, &mut writer)?;
    }
    writer.flush()
}
