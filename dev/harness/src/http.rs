//! Requests to servers that send them on to an app.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::{DEADLINE, eventually};

/// Sends a GET request for `endpoint` to a server; the answer can be read.
pub(crate) fn send(address: &str, endpoint: &str, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let headers = format!("Host: {endpoint}\r\nConnection: close");
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}\r\n\r\n")?;
    Ok(stream)
}

/// The same, to a server that has to be there.
pub(crate) fn open(address: &str, endpoint: &str, path: &str) -> BufReader<TcpStream> {
    BufReader::new(send(address, endpoint, path).unwrap())
}

/// Requests an answer of the sample app in ten lines over this time, and waits for the first.
#[track_caller]
pub(crate) fn open_slow(address: &str, endpoint: &str, time: Duration) -> BufReader<TcpStream> {
    let mut answer = open(address, endpoint, &format!("/slow?ms={}", time.as_millis()));
    let mut line = String::new();
    while !line.contains("1/10") {
        line.clear();
        let length = answer.read_line(&mut line).unwrap();
        assert_ne!(length, 0, "the answer ended early");
    }
    answer
}

/// Returns the status of an answer, and all of it.
pub(crate) fn get(address: &str, endpoint: &str, path: &str) -> (u16, String) {
    try_get(address, endpoint, path).expect("the server answers by HTTP")
}

/// The same for a server that may not be there.
pub(crate) fn try_get(address: &str, endpoint: &str, path: &str) -> Option<(u16, String)> {
    let mut answer = String::new();
    let mut stream = send(address, endpoint, path).ok()?;
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer))
}

/// Waits until the answer to a request for `/` has this status.
#[track_caller]
pub(crate) fn wait_for_status(address: &str, endpoint: &str, status: u16) {
    eventually(DEADLINE, format_args!("status {status}"), || {
        (get(address, endpoint, "/").0 == status).then_some(())
    });
}
