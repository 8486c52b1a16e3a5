//! The sample app: what it answers, and how it starts, stops listening and ends.

use crate::{log, net, signals};
use anyhow::Result;
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, InvalidHeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt::Write;
use std::future::ready;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use std::{io, process};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The name that log lines of the app begin with.
pub const PROGRAM: &str = "sample-app";

/// How many pieces `/slow` answers in.
const SLOW_CHUNKS: u32 = 10;

/// How long a client may take to send the header of its request: a connection without a request
/// delays the end this long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection takes to be made that a client has begun to make: on one machine, far
/// less.
const HANDSHAKE: Duration = Duration::from_millis(20);

/// How often the worker prints that it works.
const WORK_INTERVAL: Duration = Duration::from_secs(1);

type Body = BoxBody<Bytes, hyper::Error>;

/// How the web process listens.
#[derive(Debug)]
pub struct WebConfig {
    /// The address; with port 0 the system chooses one, once.
    pub listen: SocketAddr,
    /// How long after its start, as an app that takes its time to boot.
    pub listen_after: Duration,
    /// How long it lives on when the last request is done.
    pub linger: Duration,
    /// Whether SIGTERM and SIGINT end it at once.
    pub exit_at_once: bool,
    /// The `server` header of its answers; see [`server`].
    pub server: HeaderValue,
}

/// The `server` header of this process and this release of the app: `sample-app/RELEASE (process
/// PID)`.
///
/// # Errors
///
/// If the release's name cannot stand in a header.
pub fn server(release: Option<&str>) -> Result<HeaderValue, InvalidHeaderValue> {
    let release = release.map_or_else(String::new, |release| format!("/{release}"));
    HeaderValue::try_from(format!("{PROGRAM}{release} (process {})", process::id()))
}

/// Serves requests until SIGTERM or SIGINT, and then those in flight, unless it is to exit at once.
/// SIGUSR1 makes it stop listening, SIGUSR2 listen again. Each time that it listens it prints
/// `listening ADDRESS` to stdout.
///
/// # Errors
///
/// If the address cannot be listened on, or the signals cannot be caught.
pub async fn web(config: WebConfig) -> Result<()> {
    let mut stop = pin!(signals::stop()?);
    let mut close = signal(SignalKind::user_defined1())?;
    let mut reopen = signal(SignalKind::user_defined2())?;
    tokio::select! {
        () = sleep(config.listen_after) => {}
        _ = &mut stop => return Ok(()),
    }
    let (mut address, first) = listen(config.listen).await?;
    let mut listener = Some(first);
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            stream = accept(listener.as_ref()) => {
                requests.spawn(serve(stream, config.server.clone()));
            }
            Some(_) = requests.join_next() => {}
            _ = close.recv() => if let Some(listener) = listener.take() {
                close_listener(listener, &config.server, &mut requests).await?;
                log::line(PROGRAM, "SIGUSR1: listens no more, SIGUSR2 makes it listen again");
            },
            _ = reopen.recv() => if listener.is_none() {
                let again;
                (address, again) = listen(address).await?;
                listener = Some(again);
            },
            signal = &mut stop => {
                if config.exit_at_once {
                    return Ok(());
                }
                log::line(PROGRAM, format_args!("{signal}: finishing the requests in flight"));
                break;
            }
        }
    }
    if let Some(listener) = listener {
        close_listener(listener, &config.server, &mut requests).await?;
    }
    while requests.join_next().await.is_some() {}
    sleep(config.linger).await;
    Ok(())
}

/// Prints that it works, as all that can be seen of a worker, until SIGTERM or SIGINT.
///
/// # Errors
///
/// If the signals cannot be caught.
pub async fn worker() -> Result<()> {
    let mut stop = pin!(signals::stop()?);
    loop {
        announce("working");
        tokio::select! {
            () = sleep(WORK_INTERVAL) => {}
            signal = &mut stop => {
                log::line(PROGRAM, format_args!("{signal}: the worker ends"));
                return Ok(());
            }
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(SocketAddr, TcpListener)> {
    let listener = net::bind(address).await?;
    let address = listener.local_addr()?;
    announce(&format!("listening {address}"));
    Ok((address, listener))
}

/// Prints a line to stdout; a closed stdout is no reason to end.
fn announce(line: &str) {
    let _ = io::Write::write_all(&mut io::stdout(), format!("{line}\n").as_bytes());
}

/// The next connection; never, without a listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => net::accept(listener, PROGRAM).await.0,
        None => std::future::pending().await,
    }
}

/// Accepts all clients that have connected before the listener is closed, because closing it would
/// reset them: so no client loses a request that this process could have answered. Later clients
/// are ignored, and refused when the listener is closed.
async fn close_listener(
    listener: TcpListener,
    server: &HeaderValue,
    requests: &mut JoinSet<()>,
) -> io::Result<()> {
    // Without it, a client that connects just before the end would be reset: rare, and as with most
    // apps.
    let _best_effort = net::ignore_newcomers(&listener);
    let mut handshakes = pin!(sleep(HANDSHAKE));
    loop {
        tokio::select! {
            stream = accept(Some(&listener)) => {
                requests.spawn(serve(stream, server.clone()));
            }
            () = &mut handshakes => break,
        }
    }
    let listener = listener.into_std()?;
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        requests.spawn(serve(TcpStream::from_std(stream)?, server.clone()));
    }
    Ok(())
}

/// Serves one connection, which carries one request: so no client sends another one just when the
/// app ends.
async fn serve(stream: TcpStream, server: HeaderValue) {
    let service = service_fn(|request| ready(Ok::<_, Infallible>(answer(request, &server))));
    // An error is the client's, and is in the answer if there could be one.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Every answer names in its header the process and the release that it is from.
fn answer(request: Request<Incoming>, server: &HeaderValue) -> Response<Body> {
    let mut response = respond(request);
    response.headers_mut().insert(SERVER, server.clone());
    response
}

fn respond(request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    match (request.method(), path) {
        (&Method::GET | &Method::HEAD, "/") => text(format!(
            "Hello from the sample app, process {}.\n",
            process::id()
        )),
        (&Method::GET, "/headers") => text(headers(&request)),
        (&Method::POST, "/echo") => Response::new(request.into_body().boxed()),
        (&Method::GET, "/slow") => match number(request.uri().query(), "ms") {
            Some(ms) => slow(Duration::from_millis(ms.into())),
            None => bad_request("Say how slow, in milliseconds: /slow?ms=500\n"),
        },
        (&Method::GET, "/exit") => match number(request.uri().query(), "code") {
            Some(code) => process::exit(i32::from(code.to_le_bytes()[0])),
            None => bad_request("Say with what status: /exit?code=1\n"),
        },
        _ => status(StatusCode::NOT_FOUND, format!("There is no {path} here.\n")),
    }
}

/// The request line and the header, one field a line.
fn headers(request: &Request<Incoming>) -> String {
    let mut lines = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{name}: {value}");
    }
    lines
}

/// Answers at once, with a body that comes in pieces over this time.
fn slow(duration: Duration) -> Response<Body> {
    let (mut sender, body) = Channel::<Bytes, hyper::Error>::new(1);
    tokio::spawn(async move {
        for chunk in 1..=SLOW_CHUNKS {
            sleep(duration / SLOW_CHUNKS).await;
            let line = format!("{chunk}/{SLOW_CHUNKS}\n");
            if sender.send_data(line.into()).await.is_err() {
                return;
            }
        }
    });
    Response::new(body.boxed())
}

/// The number of this name in the query.
fn number(query: Option<&str>, name: &str) -> Option<u32> {
    query?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
}

fn text(text: String) -> Response<Body> {
    Response::new(Full::from(text).map_err(|never| match never {}).boxed())
}

fn status(status: StatusCode, sentence: String) -> Response<Body> {
    let mut response = text(sentence);
    *response.status_mut() = status;
    response
}

fn bad_request(sentence: &str) -> Response<Body> {
    status(StatusCode::BAD_REQUEST, sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_read_from_the_query() {
        for (query, expected) in [
            (None, None),
            (Some(""), None),
            (Some("ms"), None),
            (Some("ms=soon"), None),
            (Some("ms=-1"), None),
            (Some("s=1"), None),
            (Some("ms=500"), Some(500)),
            (Some("s=1&ms=500"), Some(500)),
        ] {
            assert_eq!(number(query, "ms"), expected, "{query:?}");
        }
    }
}
