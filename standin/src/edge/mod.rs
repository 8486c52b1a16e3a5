//! The edge: it takes requests from the public and has agents answer them.

mod agents;
mod public;
mod registry;
mod replay;

use crate::net;
use crate::token::Token;
use registry::Registry;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

pub use crate::wire::KeepAlive;

/// The name that log lines of the edge begin with.
pub const PROGRAM: &str = "backplane-edge";

/// What the edge is started with.
#[derive(Debug)]
pub struct EdgeConfig {
    /// Where requests are taken; port 0 lets the system choose.
    pub public: SocketAddr,
    /// Where agents are taken; port 0 lets the system choose.
    pub agents: SocketAddr,
    /// Tokens that are known from the start, besides those that the edge makes when it is asked to.
    pub tokens: Vec<Token>,
    /// How long the edge waits for what.
    pub limits: EdgeLimits,
}

/// How long the edge waits for what.
#[derive(Debug, Clone, Copy)]
pub struct EdgeLimits {
    /// How long whoever dials the agent listener may take to say hello.
    pub hello: Duration,
    /// How an agent that is gone without a word is noticed.
    pub keep_alive: KeepAlive,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        EdgeLimits {
            hello: Duration::from_secs(5),
            keep_alive: KeepAlive::default(),
        }
    }
}

/// An edge whose listeners are bound: from now on connections wait, and are served once it runs.
#[derive(Debug)]
pub struct Edge {
    public: TcpListener,
    agents: TcpListener,
    state: Arc<State>,
}

impl Edge {
    /// Binds both listeners.
    ///
    /// # Errors
    ///
    /// One of the addresses cannot be listened on.
    pub async fn bind(config: EdgeConfig) -> io::Result<Self> {
        Ok(Edge {
            public: net::bind(config.public).await?,
            agents: net::bind(config.agents).await?,
            state: Arc::new(State {
                registry: Mutex::new(Registry::new(config.tokens)),
                limits: config.limits,
            }),
        })
    }

    /// Where requests are taken.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where agents are taken: what `BACKPLANE_EDGE` must say to them.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn agent_address(&self) -> io::Result<SocketAddr> {
        self.agents.local_addr()
    }

    /// Serves until it is dropped.
    pub async fn run(self) -> Infallible {
        tokio::join!(
            public::serve(&self.public, &self.state),
            agents::serve(&self.agents, &self.state),
        )
        .0
    }
}

/// What all connections of the edge share.
#[derive(Debug)]
struct State {
    registry: Mutex<Registry<agents::Tunnel>>,
    limits: EdgeLimits,
}

impl State {
    /// The registry, for as long as the guard lives: not over an await.
    fn registry(&self) -> MutexGuard<'_, Registry<agents::Tunnel>> {
        // Each change of the registry is a single step, so that it is whole even after a panic in between.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
