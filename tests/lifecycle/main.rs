//! Tier 2: the packaged buildpack under the real CNB lifecycle, on plain folders and processes.
//!
//! One test program, so that its tests run side by side. They are ignored by a plain `cargo test`, which stays quick and needs no tools;
//! `script/test` runs them.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is test code, which clippy only sees of what is inside of a test function"
)]

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod binding;
mod boot;
mod build;
mod build_faults;
mod cached_state;
mod decision;
mod dyno;
mod end_to_end;
mod fallbacks;
mod hostile_settings;
mod network;
mod other_agent;
mod releases;
mod replicas;
mod rolling_restart;
mod shortage;
mod slug;
mod sources;
mod stage;
mod subjects;
mod surroundings;
mod terminals;
mod under_fire;
