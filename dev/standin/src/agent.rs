//! The agent, which dials the edge and forwards its requests to the app.

mod forward;
mod target;

use crate::labels::Labels;
use crate::wire::{self, Answer, Hello};
use crate::{log, net};
use anyhow::{Context as _, Result, bail};
use forward::App;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::pin::pin;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use target::Target;

/// The name that log lines of the agent begin with: that of its program.
pub const PROGRAM: &str = "backplane";

/// How long the edge may take to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The edge's agent listener, as `host:port`.
#[derive(Debug)]
pub struct EdgeAddress(pub String);

impl EdgeAddress {
    /// Connects with these labels and serves the edge's requests, until `stop` ends: then it asks
    /// the edge to send no more, and the requests in flight are finished.
    ///
    /// # Errors
    ///
    /// If the edge cannot be reached, refuses this agent, or is gone again. The agent does not dial
    /// anew: that is its supervisor's part.
    pub async fn connect(
        &self,
        token: String,
        labels: Labels,
        target: Target,
        stop: impl Future<Output = &'static str>,
    ) -> Result<()> {
        let mut stop = pin!(stop);
        let connected = format!(
            "connected to {} with the labels {labels}; the app is {target}",
            self.0
        );
        let hello = Hello::Connect { token, labels };
        let (_, connection) = tokio::select! {
            answer = self.dial(&hello) => answer?,
            _ = &mut stop => return Ok(()),
        };
        log::line(PROGRAM, connected);
        let mut connection = pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(wire::MAX_STREAMS)
                .initial_stream_window_size(wire::STREAM_WINDOW)
                .initial_connection_window_size(wire::CONNECTION_WINDOW)
                .keep_alive_interval(wire::PING_INTERVAL)
                .keep_alive_timeout(wire::PING_TIMEOUT)
                // Both limits guard a public server against hostile clients; here the one client is
                // the edge, which passes on that its own clients hang up, or that they send more to
                // an app that has refused them.
                .max_pending_accept_reset_streams(wire::MAX_STREAMS as usize)
                .max_local_error_reset_streams(None)
                .serve_connection(TokioIo::new(connection), App::new(target))
        );
        tokio::select! {
            ended = &mut connection => {
                ended.context("the connection to the edge is lost")?;
                bail!("the connection to the edge is lost: the edge closed it");
            }
            signal = &mut stop => log::line(
                PROGRAM,
                format_args!("{signal}: finishing the requests in flight"),
            ),
        }
        connection.as_mut().graceful_shutdown();
        connection
            .await
            .context("the connection to the edge is lost")
    }

    /// Has the edge send requests for `endpoint` to agents that `selector` fits, and to no others.
    ///
    /// # Errors
    ///
    /// If the edge cannot be reached, or refuses the token.
    pub async fn route(&self, token: String, endpoint: String, selector: Labels) -> Result<()> {
        let hello = Hello::Route {
            token,
            endpoint,
            selector,
        };
        self.dial(&hello).await.map(drop)
    }

    /// Has the edge make a new token.
    ///
    /// # Errors
    ///
    /// If the edge cannot be reached.
    pub async fn generate(&self) -> Result<String> {
        match self.dial(&Hello::Generate).await? {
            (Answer::Token(token), _) => Ok(token),
            (answer, _) => bail!("the edge's answer to `generate` is {answer:?}"),
        }
    }

    /// Dials, sends the hello, and returns the answer with the connection, which may hold bytes
    /// that came right behind the answer.
    async fn dial(&self, hello: &Hello) -> Result<(Answer, BufReader<TcpStream>)> {
        let edge = &self.0;
        let what = |what| format!("{what} the edge at {edge} (BACKPLANE_EDGE)");
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(edge)).await;
        let stream = stream
            .unwrap_or_else(|elapsed| Err(elapsed.into()))
            .with_context(|| what("cannot connect to"))?;
        net::send_at_once(&stream);
        let mut connection = BufReader::new(stream);
        wire::write(&mut connection, hello)
            .await
            .with_context(|| what("cannot write to"))?;
        match wire::read(&mut connection)
            .await
            .with_context(|| what("no answer from"))?
        {
            Answer::Refused(why) => bail!("refused by the edge at {edge}: {why}"),
            answer => Ok((answer, connection)),
        }
    }
}
