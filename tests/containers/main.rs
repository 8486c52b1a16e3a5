//! Tier 3: the packaged buildpack in `pack build` and in containers, on a real Docker engine.
//!
//! They are ignored by a plain `cargo test`. `script/test` runs them, and `script/engine run cargo test --test containers --
//! --include-ignored NAME` one of them.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is test code, which clippy only sees of what is inside of a test function"
)]

#[path = "../support/containers/mod.rs"]
mod support;

mod build;
mod contents;
mod exec;
mod launch;
mod networks;
mod order;
mod other_agent;
mod packages;
mod pods;
mod rolling_deploy;
mod secrets;
mod served;
mod servers;
mod stopping;
mod subjects;
mod surroundings;
mod waits;
