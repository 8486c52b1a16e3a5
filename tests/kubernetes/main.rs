//! Tier 4: images of the packaged buildpack on a real Kubernetes node.
//!
//! `script/test` runs it with `--kubernetes` only, and `script/cluster run cargo test --test
//! kubernetes NAME` runs one test.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is test code, which clippy only sees of what is inside of a test function"
)]

mod containers;
mod deployments;
mod jobs;
mod memory;
mod secrets;
mod shop;
