//! Builds and launches by the real CNB lifecycle, or by a stand-in for Heroku's classic API.
//!
//! An [`App`](crate::App) is built into an [`Image`] by the real detector and builder ([`Build`]),
//! and an image is launched by the real launcher ([`Launch`], [`Running`]): plain directories and
//! processes, no container. For a classic buildpack, [`FrontEnd::Classic`] plays Heroku's part. All
//! of it runs as an ordinary user, below one directory in `/tmp` that is removed when the test
//! program ends, however it ends.

mod build;
mod build_program;
mod front_end;
mod heroku;
mod launch;
mod output;
mod test_env;

pub use build::{Build, Image};
pub use build_program::BuildProgram;
pub use front_end::FrontEnd;
pub use launch::{Launch, Running};
pub use test_env::{TestEnv, test_env};
