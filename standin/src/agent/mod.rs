//! The agent: it dials the edge, and gives the requests that come back over that connection to the app.

mod commands;
mod dial;
mod forward;
mod target;

use crate::labels::Labels;
use crate::log;
use crate::token::Token;
use crate::wire::{self, Hello, KeepAlive};
use forward::App;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::pin::pin;
use std::time::Duration;

pub use commands::{generate, route};
pub use dial::DialError;
pub use target::{Target, TargetError};

/// The name that log lines of the agent begin with: that of its program.
pub const PROGRAM: &str = "backplane";

/// What an agent is started with.
#[derive(Debug)]
pub struct AgentConfig {
    /// Where the edge's agent listener is, as `host:port`.
    pub edge: String,
    /// The token that the edge wants.
    pub token: Token,
    /// What routes select this agent by.
    pub labels: Labels,
    /// Where the app is.
    pub target: Target,
    /// How long the agent waits for what.
    pub limits: AgentLimits,
}

/// How long the agent waits for what.
#[derive(Debug, Clone, Copy)]
pub struct AgentLimits {
    /// How long the edge may take to accept the connection, and again to answer the hello.
    pub edge: Duration,
    /// How long the app may take to accept a connection.
    pub app: Duration,
    /// How an edge that is gone without a word is noticed.
    pub keep_alive: KeepAlive,
}

impl Default for AgentLimits {
    fn default() -> Self {
        AgentLimits {
            edge: Duration::from_secs(10),
            app: Duration::from_secs(5),
            keep_alive: KeepAlive::default(),
        }
    }
}

/// Connects to the edge and serves its requests, until `stop` ends: then the edge is told to send no more, and the
/// requests in flight are finished.
///
/// # Errors
///
/// The edge cannot be reached, refuses this agent, or is gone again. The agent does not dial anew: that is its
/// supervisor's part.
pub async fn connect(
    config: AgentConfig,
    stop: impl Future<Output = &'static str>,
) -> Result<(), AgentError> {
    let AgentConfig {
        edge,
        token,
        labels,
        target,
        limits,
    } = config;
    let mut stop = pin!(stop);
    let connected = format!("connected to {edge} with the labels {labels}; the app is {target}");
    let hello = Hello::Connect { token, labels };
    let connection = tokio::select! {
        connection = dial::done(&edge, &hello, limits.edge) => connection.map_err(AgentError::Dial)?,
        _ = &mut stop => return Ok(()),
    };
    log::line(PROGRAM, connected);

    let app = App::new(target, limits.app);
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(wire::MAX_STREAMS)
            .initial_stream_window_size(wire::STREAM_WINDOW)
            .initial_connection_window_size(wire::CONNECTION_WINDOW)
            .keep_alive_interval(limits.keep_alive.interval)
            .keep_alive_timeout(limits.keep_alive.timeout)
            // Both limits guard a public server against hostile clients; here the one client is the edge, which
            // passes on that its own clients hang up, or that they send more to an app that has refused them.
            .max_pending_accept_reset_streams(wire::MAX_STREAMS as usize)
            .max_local_error_reset_streams(None)
            .serve_connection(TokioIo::new(connection), app)
    );
    tokio::select! {
        ended = &mut connection => return Err(AgentError::edge_gone(ended)),
        signal = &mut stop => log::line(
            PROGRAM,
            format_args!("{signal}: finishing the requests in flight"),
        ),
    }
    connection.as_mut().graceful_shutdown();
    let drained = connection.await;
    drained.map_err(|error| AgentError::edge_gone(Err(error)))
}

/// Errors that can end an agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no connection to the edge.
    #[error(transparent)]
    Dial(DialError),
    /// The connection has ended, though nobody asked this agent to stop.
    #[error("the connection to the edge is lost: {0}")]
    EdgeGone(String),
}

impl AgentError {
    fn edge_gone(ended: Result<(), hyper::Error>) -> Self {
        AgentError::EdgeGone(match ended {
            Ok(()) => "the edge closed it".to_owned(),
            Err(error) => log::with_causes(&error),
        })
    }
}
