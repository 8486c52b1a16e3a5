//! The agent listener: agents connect, routes are stored, tokens are made.

use super::replay::Attempt;
use super::{PROGRAM, State};
use crate::token::Token;
use crate::wire::{self, Answer, Hello, WireError};
use crate::{labels::Labels, log, net};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};

/// The way to an agent: where requests are handed in.
pub(super) type Tunnel = http2::SendRequest<Attempt<Incoming>>;

type Connection = BufReader<TcpStream>;

/// Takes connections until it is dropped.
pub(super) async fn serve(listener: &TcpListener, state: &Arc<State>) -> Infallible {
    loop {
        let (stream, peer) = net::accept(listener, PROGRAM).await;
        let state = Arc::clone(state);
        tokio::spawn(async move {
            if let Err(error) = converse(BufReader::new(stream), peer, &state).await {
                log::line(PROGRAM, format_args!("refused {peer}: {error}"));
            }
        });
    }
}

/// Hears one hello and does what it asks for.
async fn converse(
    mut connection: Connection,
    peer: SocketAddr,
    state: &State,
) -> Result<(), Refusal> {
    match hear(&mut connection, state).await {
        Ok(Hello::Connect { labels, .. }) => run_agent(connection, peer, labels, state).await,
        Ok(Hello::Route {
            endpoint, selector, ..
        }) => {
            let old = state
                .registry()
                .add_route(endpoint.clone(), selector.clone());
            let old = old.map_or_else(String::new, |old| format!(", before that to {old}"));
            log::line(PROGRAM, format_args!("route {endpoint} to {selector}{old}"));
            Ok(wire::write(&mut connection, &Answer::Done).await?)
        }
        Ok(Hello::Generate) => {
            let token = Token::random().map_err(Refusal::NoRandomBytes)?;
            state.registry().add_token(token.clone());
            log::line(PROGRAM, format_args!("made a token for {peer}"));
            Ok(wire::write(&mut connection, &Answer::Token(token)).await?)
        }
        Err(refusal) => {
            // The peer may be gone; what is logged is the refusal either way.
            let _ = wire::write(&mut connection, &Answer::Refused(refusal.to_string())).await;
            Err(refusal)
        }
    }
}

/// Hears a hello, and lets it pass if it has a right to what it asks for.
async fn hear(connection: &mut Connection, state: &State) -> Result<Hello, Refusal> {
    let hello = wire::read(connection, state.limits.hello).await?;
    match &hello {
        Hello::Connect { token, .. } | Hello::Route { token, .. }
            if !state.registry().knows(token) =>
        {
            Err(Refusal::UnknownToken)
        }
        _ => Ok(hello),
    }
}

/// Reverses the roles, and has the agent serve requests for as long as its connection lasts.
async fn run_agent(
    mut connection: Connection,
    peer: SocketAddr,
    labels: Labels,
    state: &State,
) -> Result<(), Refusal> {
    wire::write(&mut connection, &Answer::Done).await?;
    let keep_alive = state.limits.keep_alive;
    let (tunnel, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(wire::STREAM_WINDOW)
        .initial_connection_window_size(wire::CONNECTION_WINDOW)
        .keep_alive_interval(keep_alive.interval)
        .keep_alive_timeout(keep_alive.timeout)
        .keep_alive_while_idle(true)
        // Clients that go away early leave answers half read; by default the 1024th of them would end the connection.
        .max_local_error_reset_streams(None)
        .handshake(TokioIo::new(connection))
        .await
        .map_err(Refusal::NoHttp2)?;
    let id = state.registry().add_agent(labels.clone(), tunnel);
    log::line(
        PROGRAM,
        format_args!("{id} connected from {peer} with the labels {labels}"),
    );
    // It ends when the agent takes no more requests: it is then gone, or finishes those that it has.
    let ended = connection.await;
    let in_flight = state.registry().drain_agent(id);
    if let Some(mut in_flight) = in_flight {
        // An error means that nothing counts any more, so nothing is in flight either.
        let _ = in_flight.wait_for(|count| *count == 0).await;
    }
    state.registry().remove_agent(id);
    let why = ended.err().map_or_else(String::new, |error| {
        format!(": {}", log::with_causes(&error))
    });
    log::line(PROGRAM, format_args!("{id} is gone{why}"));
    Ok(())
}

/// Why a connection on the agent listener comes to nothing.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// No hello could be heard, or no answer given.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The token is not one of this edge.
    #[error(
        "the token is not known to this edge; start the edge with it, or take one that `backplane generate env` prints"
    )]
    UnknownToken,
    /// The system gives no random bytes to make a token of.
    #[error("no token can be made: {0}")]
    NoRandomBytes(getrandom::Error),
    /// The agent does not speak HTTP/2 after its hello.
    #[error("the agent does not speak HTTP/2: {0}")]
    NoHttp2(hyper::Error),
}
