//! A stand-in for the Backplane network, to try the buildpack on one machine: an edge, an agent with the real agent's
//! command line, an app to put behind them and a server to fetch the agent from.
//!
//! It is not for production, and what edge and agent say to one another is not Backplane's wire protocol: it copies
//! what a user of Backplane sees and nothing beneath that. The module `wire` says what they do say.

pub mod agent;
pub mod edge;
pub mod endpoint;
mod headers;
pub mod labels;
pub mod log;
mod net;
pub mod release_server;
pub mod sample_app;
pub mod signals;
pub mod token;
mod wire;
