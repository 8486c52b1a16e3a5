//! Tier 3: the packaged buildpack in `pack build` and in containers, on a real Docker engine.
//!
//! A plain `cargo test` does not run it. `script/test containers` does, and `script/engine run
//! cargo test --test containers NAME` runs one test.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is test code, which clippy only sees of what is inside of a test function"
)]

mod agents;
mod build;
mod compose;
mod contents;
mod documented;
mod exec;
mod fixtures;
mod inits;
mod networks;
mod order;
mod orderly_ends;
mod packages;
mod pods;
mod readme;
mod rolling_deploy;
mod sandboxes;
mod secrets;
mod served_app;
mod servers;
mod serves;
mod stopping;
mod waits;
mod without_agent;
