//! The launch program as real processes: a shell plays the CNB launcher (it runs the exec.d program and then becomes the app), a
//! script plays the agent, and the test itself listens on the app's port.
#![expect(clippy::unwrap_used, reason = "all of this is tests and their helpers")]

mod agents;
mod app_exits;
mod boots;
mod checks;
mod deadlocks;
mod run_and_drain;
mod stand_by;
mod statuses;
mod supervisors;
mod support;
