//! The edge, which takes requests from the public and has agents answer them.

mod agents;
mod public;
mod registry;

use crate::net;
use anyhow::Result;
use registry::Registry;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;

/// The name that log lines of the edge begin with.
pub const PROGRAM: &str = "backplane-edge";

/// An edge whose listeners are bound: from now on connections wait, and are served once it runs.
#[derive(Debug)]
pub struct Edge {
    /// Where requests are taken.
    pub public: TcpListener,
    /// Where agents are taken.
    pub agents: TcpListener,
    tokens: Vec<String>,
}

impl Edge {
    /// Binds both listeners. The tokens are known from the start, besides those that the edge makes
    /// when it is asked to.
    ///
    /// # Errors
    ///
    /// If one of the addresses cannot be listened on.
    pub async fn bind(public: SocketAddr, agents: SocketAddr, tokens: Vec<String>) -> Result<Self> {
        Ok(Edge {
            public: net::bind(public).await?,
            agents: net::bind(agents).await?,
            tokens,
        })
    }

    /// Serves until it is dropped.
    pub async fn run(self) -> Infallible {
        let registry = SharedRegistry(Arc::new(Mutex::new(Registry::new(self.tokens))));
        tokio::join!(
            public::serve(&self.public, &registry),
            agents::serve(&self.agents, &registry),
        )
        .0
    }
}

/// What all connections of the edge share.
#[derive(Clone)]
struct SharedRegistry(Arc<Mutex<Registry>>);

impl SharedRegistry {
    /// The registry, for as long as the guard lives: not over an await.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Each change of the registry is a single step, so that it is whole even after a panic in
        // between.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
