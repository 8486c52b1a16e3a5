//! Tier 2: the packaged buildpack under the real CNB lifecycle, on plain directories and processes.
//!
//! One test program, so that its tests run side by side. A plain `cargo test` does not run it.
//! `script/test lifecycle` does, and `cargo test --test lifecycle NAME` runs one test.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is test code, which clippy only sees of what is inside of a test function"
)]

mod agents;
mod boot;
mod build;
mod build_settings;
mod cached_state;
mod decision;
mod dyno;
mod end_to_end;
mod fallbacks;
mod fixtures;
mod interrupted_builds;
mod kills_under_load;
mod resource_limits;
mod slug;
mod terminals;
