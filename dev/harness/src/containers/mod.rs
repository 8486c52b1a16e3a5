//! Builds by the real pack, and containers on a Docker engine.
//!
//! An [`App`](crate::App) is built into an [`Image`] by the real pack ([`Build`]), and an image is
//! run in a [`Container`] ([`Run`]). `script/engine run` provides the engine and the builder, and
//! removes what the tests leave, even after they were killed. So a handle that is dropped removes
//! what it stands for only to keep the engine small.

mod build;
mod container;
mod docker;
mod image;
mod test_env;

pub use build::Build;
pub use container::{Container, Run};
pub use docker::docker;
pub use image::Image;
pub use test_env::{TestEnv, test_env};
