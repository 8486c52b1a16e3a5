//! One GET of HTTP/1.1 (RFC 9112) to a server on this host, without waiting for it: how the
//! supervisor asks an agent for its health, and an app whether it is ready.
//!
//! Only the status of the response counts. What comes after it is read and dropped, because many
//! servers log an error for a client that leaves.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::vec::IntoIter;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// How much of a response is read, in bytes, to come to its status: informational responses may
/// come before it.
const MAX_RESPONSE: usize = 16 * 1024;

/// Where to send a request, and for what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HttpTarget {
    /// Tried in this order until one does not refuse the connection.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The host and the port as the URL has them.
    pub(crate) authority: String,
    /// Begins with a slash, and may have a query.
    pub(crate) path: String,
}

/// A request on its way.
#[derive(Debug)]
pub(crate) struct HttpGet {
    socket: OwnedFd,
    /// To connect to if nothing listens at the present one.
    next_addresses: IntoIter<SocketAddr>,
    /// What is still to be sent.
    request: Vec<u8>,
    /// As much of the response as its status takes.
    response: Vec<u8>,
    verdict: Option<bool>,
}

impl HttpGet {
    /// Begins to connect.
    ///
    /// # Errors
    ///
    /// The one of the last address, such as that no descriptor is left.
    pub(crate) fn start(target: &HttpTarget) -> Result<Self, Errno> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: sidecar\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            target.path, target.authority
        );
        let mut next_addresses = target.addresses.clone().into_iter();
        Ok(Self {
            socket: connect_to_next(&mut next_addresses)?,
            next_addresses,
            request: request.into_bytes(),
            response: Vec::new(),
            verdict: None,
        })
    }

    /// What to poll for until [`advance`](Self::advance) can do more.
    pub(crate) fn poll(&self) -> PollFd<'_> {
        let events = if self.request.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::OUT
        };
        PollFd::from_borrowed_fd(self.socket.as_fd(), events)
    }

    /// Sends and reads what is possible now. Returns whether the response is good: its status is
    /// below 400. `None` if the response has not ended yet.
    pub(crate) fn advance(&mut self) -> Option<bool> {
        while !self.request.is_empty() {
            match rustix::net::send(&self.socket, &self.request, SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.request.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOTCONN) => return None,
                Err(_) => match connect_to_next(&mut self.next_addresses) {
                    Ok(socket) => self.socket = socket,
                    Err(_) => return Some(false),
                },
            }
        }
        loop {
            let mut buffer = [0; 4096];
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((count @ 1.., _)) if self.verdict.is_none() => {
                    self.response.extend(buffer.iter().take(count));
                }
                Ok((1.., _)) | Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return None,
                Ok((0, _)) | Err(_) => return Some(self.verdict()),
            }
            match status(&self.response) {
                Status::Known(status) => self.verdict = Some(status < 400),
                Status::NotHttp => return Some(false),
                Status::Unknown if self.response.len() > MAX_RESPONSE => return Some(false),
                Status::Unknown => {}
            }
        }
    }

    /// Whether the response is good, by what has come of it.
    pub(crate) fn verdict(&self) -> bool {
        self.verdict.unwrap_or(false)
    }
}

fn connect_to_next(addresses: &mut IntoIter<SocketAddr>) -> Result<OwnedFd, Errno> {
    let mut result = Err(Errno::CONNREFUSED);
    for address in addresses {
        result = connect(&address);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn connect(address: &SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Status {
    Known(u16),
    /// More of the response has to come.
    Unknown,
    NotHttp,
}

/// The status of a response that may not have arrived in full. Informational responses (RFC 9110,
/// section 15.2) come before it.
fn status(mut response: &[u8]) -> Status {
    const START: &[u8] = b"HTTP/1.";
    loop {
        let known = response.len().min(START.len());
        if response[..known] != START[..known] {
            return Status::NotHttp;
        }
        // The minor version, a space, three digits, and what ends them.
        let Some((line, [end, ..])) = response.split_at_checked(START.len() + 5) else {
            return Status::Unknown;
        };
        let digits = std::str::from_utf8(&line[START.len() + 2..]).unwrap_or_default();
        let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
        let is_complete = line[START.len() + 1] == b' ' && matches!(end, b' ' | b'\r' | b'\n');
        match digits.parse() {
            Ok(status) if is_number && is_complete && status >= 200 => {
                return Status::Known(status);
            }
            Ok(100..200) if is_number && is_complete => {}
            _ => return Status::NotHttp,
        }
        let Some(end) = response.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Status::Unknown;
        };
        response = &response[end + 4..];
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::event::{self, Timespec};

    use super::*;

    #[test]
    fn status_is_taken_from_as_little_as_possible() {
        for (response, expected) in [
            ("", Status::Unknown),
            ("HTT", Status::Unknown),
            ("HTTP/1.1 20", Status::Unknown),
            ("HTTP/1.1 200", Status::Unknown),
            ("HTTP/1.1 200 ", Status::Known(200)),
            ("HTTP/1.0 404\r\n", Status::Known(404)),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\n",
                Status::Known(503),
            ),
            ("HTTP/1.1 100 Continue\r\n", Status::Unknown),
            (
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
                Status::Unknown,
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\n\r\nHTTP/1.1 204 \r\n",
                Status::Known(204),
            ),
            ("HTTP/1.1 099 x", Status::NotHttp),
            ("HTTP/1.1 +20 x", Status::NotHttp),
            ("HTTP/1.1 2000 x", Status::NotHttp),
            ("HTTP/1.1\t200 x", Status::NotHttp),
            ("HTTP/2 200 x", Status::NotHttp),
            ("SSH-2.0-OpenSSH", Status::NotHttp),
            ("<html>", Status::NotHttp),
        ] {
            assert_eq!(status(response.as_bytes()), expected, "{response:?}");
        }
    }

    /// Runs a request until its end or a deadline.
    fn run(target: &HttpTarget) -> Option<bool> {
        let mut get = HttpGet::start(target).unwrap();
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            if let Some(verdict) = get.advance() {
                return Some(verdict);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let timeout = Timespec::try_from(left).unwrap();
            event::poll(&mut [get.poll()], Some(&timeout)).unwrap();
        }
    }

    fn target(addresses: Vec<SocketAddr>) -> HttpTarget {
        HttpTarget {
            addresses,
            authority: "localhost:80".to_owned(),
            path: "/healthz?x=1".to_owned(),
        }
    }

    /// Runs a request to a server that does this with its one connection, by the second address.
    fn get(serve: impl FnOnce(TcpStream) + Send + 'static) -> Option<bool> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = target(vec![closed(), listener.local_addr().unwrap()]);
        let server = thread::spawn(move || serve(listener.accept().unwrap().0));
        let verdict = run(&target);
        server.join().unwrap();
        verdict
    }

    /// An address at which nothing listens.
    fn closed() -> SocketAddr {
        TcpListener::bind("127.0.0.2:0")
            .unwrap()
            .local_addr()
            .unwrap()
    }

    fn read_request(stream: &mut TcpStream) -> String {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        String::from_utf8(request).unwrap()
    }

    #[test]
    fn response_is_good_by_its_status_alone() {
        for (response, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
                Some(true),
            ),
            ("HTTP/1.0 302 Found\r\n", Some(true)),
            ("HTTP/1.1 400 Bad\r\n\r\n", Some(false)),
            ("HTTP/1.1 503 x\r\n\r\n", Some(false)),
            ("SSH-2.0-x\r\n", Some(false)),
            ("HTTP/1.1 20", Some(false)),
            ("", Some(false)),
        ] {
            let found = get(move |mut stream| {
                let request = read_request(&mut stream);
                assert!(request.starts_with("GET /healthz?x=1 HTTP/1.1\r\nHost: localhost:80\r\n"));
                stream.write_all(response.as_bytes()).unwrap();
            });
            assert_eq!(found, expected, "{response:?}");
        }
    }

    #[test]
    fn response_in_pieces_is_put_together() {
        let found = get(|mut stream| {
            read_request(&mut stream);
            for byte in "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ".bytes() {
                stream.write_all(&[byte]).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        });
        assert_eq!(found, Some(true));
    }

    /// Many servers log an error for a client that leaves.
    #[test]
    fn response_is_read_to_its_end() {
        let found = get(|mut stream| {
            read_request(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            for _ in 0..512 {
                stream.write_all(&[b'x'; 8_192]).unwrap();
            }
        });
        assert_eq!(found, Some(true));
    }

    #[test]
    fn server_that_never_comes_to_the_point_is_not_good() {
        let found = get(|mut stream| {
            let line = format!("HTTP/1.1 102 x\r\n{}", "a: b\r\n".repeat(5_000));
            // The client leaves in the middle of it.
            let _ = stream.write_all(line.as_bytes());
        });
        assert_eq!(found, Some(false), "too much");
        let found = get(|mut stream| {
            // Until the client leaves.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert_eq!(found, None, "silence");
    }

    #[test]
    fn nothing_that_listens_is_not_good() {
        assert_eq!(run(&target(vec![closed(), closed()])), Some(false));
    }
}
