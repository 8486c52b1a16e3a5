//! A stand-in for the Backplane network, to try the buildpack on one machine: an edge, an agent
//! with the real agent's command line, and an app to put behind them.
//!
//! It is not for production, and the protocol between edge and agent is not Backplane's: it copies
//! what a user of Backplane sees and nothing beneath that. The module `wire` describes the
//! protocol.

pub mod agent;
pub mod edge;
pub mod endpoint;
pub mod labels;
pub mod log;
mod net;
pub mod sample_app;
pub mod signals;
mod wire;
