//! The agent listener: agents connect, routes are stored, tokens are made.

use super::{PROGRAM, SharedRegistry};
use crate::labels::Labels;
use crate::wire::{self, Answer, Hello};
use crate::{log, net};
use anyhow::{Context as _, Error, Result, bail};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};

/// Takes connections until it is dropped.
pub(super) async fn serve(listener: &TcpListener, registry: &SharedRegistry) -> Infallible {
    loop {
        let (stream, peer) = net::accept(listener, PROGRAM).await;
        let registry = registry.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(BufReader::new(stream), peer, &registry).await {
                log::line(PROGRAM, format_args!("refused {peer}: {error:#}"));
            }
        });
    }
}

/// Reads one hello and does what it asks for.
async fn converse(
    mut connection: BufReader<TcpStream>,
    peer: SocketAddr,
    registry: &SharedRegistry,
) -> Result<()> {
    let hello = wire::read(&mut connection).await;
    let answer = match hello.and_then(|hello| authorize(hello, registry)) {
        Ok(Hello::Connect { labels, .. }) => {
            wire::write(&mut connection, &Answer::Done).await?;
            return run_agent(connection, peer, labels, registry).await;
        }
        Ok(Hello::Route {
            endpoint, selector, ..
        }) => {
            log::line(PROGRAM, format_args!("route {endpoint} to {selector}"));
            registry.lock().routes.insert(endpoint, selector);
            Answer::Done
        }
        Ok(Hello::Generate) => {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).context("no token can be made")?;
            let token = format!("{:032x}", u128::from_ne_bytes(bytes));
            registry.lock().tokens.insert(token.clone());
            log::line(PROGRAM, format_args!("made a token for {peer}"));
            Answer::Token(token)
        }
        Err(refusal) => {
            // The peer may be gone; the refusal is logged either way.
            let _ = wire::write(&mut connection, &Answer::Refused(format!("{refusal:#}"))).await;
            return Err(refusal);
        }
    };
    wire::write(&mut connection, &answer).await
}

/// Fails unless the hello has a right to what it asks for.
fn authorize(hello: Hello, registry: &SharedRegistry) -> Result<Hello> {
    match &hello {
        Hello::Connect { token, .. } | Hello::Route { token, .. }
            if !registry.lock().tokens.contains(token) =>
        {
            bail!(
                "the token is not known to this edge; start the edge with it, or take one that `backplane generate env` prints"
            )
        }
        _ => Ok(hello),
    }
}

/// Reverses the roles, and has the agent serve requests for as long as its connection lasts.
async fn run_agent(
    connection: BufReader<TcpStream>,
    peer: SocketAddr,
    labels: Labels,
    registry: &SharedRegistry,
) -> Result<()> {
    let (tunnel, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(wire::STREAM_WINDOW)
        .initial_connection_window_size(wire::CONNECTION_WINDOW)
        .keep_alive_interval(wire::PING_INTERVAL)
        .keep_alive_timeout(wire::PING_TIMEOUT)
        .keep_alive_while_idle(true)
        // Clients that go away early leave answers half read; by default the 1024th of them would
        // end the connection.
        .max_local_error_reset_streams(None)
        .handshake(TokioIo::new(connection))
        .await?;
    let id = registry.lock().add_agent(labels.clone(), tunnel);
    log::line(
        PROGRAM,
        format_args!("{id} connected from {peer} with the labels {labels}"),
    );
    // It ends when the agent takes no more requests: it is then gone, or finishes those that it
    // has.
    let ended = connection.await;
    let in_flight = registry.lock().drain_agent(id);
    if let Some(mut in_flight) = in_flight {
        // An error means that nothing counts any more, so nothing is in flight either.
        let _ = in_flight.wait_for(|count| *count == 0).await;
    }
    registry.lock().remove_agent(id);
    let why = ended
        .err()
        .map(|error| format!(": {:#}", Error::from(error)));
    log::line(
        PROGRAM,
        format_args!("{id} is gone{}", why.unwrap_or_default()),
    );
    Ok(())
}
