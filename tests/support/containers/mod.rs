//! The harness of the tests on a Docker engine.
//!
//! An [`App`] is built into an [`Image`] by the real pack ([`Build`]), and an image is run in a [`Container`] ([`Run`]). `script/engine run`
//! gives the tests their engine and builder, and removes whatever they leave, even after they were killed; so a handle that is
//! dropped removes what it stands for only to keep the engine small.

#[expect(dead_code, reason = "the tests over the CNB lifecycle use more of it")]
#[path = "../app.rs"]
mod app;
mod build;
mod builder;
#[path = "../command.rs"]
mod command;
mod container;
mod docker;
#[path = "../edge_log.rs"]
mod edge_log;
#[path = "../frp.rs"]
mod frp;
mod image;
#[expect(dead_code, reason = "the tests over the CNB lifecycle use more of it")]
#[path = "../load.rs"]
mod load;
mod network;
#[expect(dead_code, reason = "the tests over the CNB lifecycle use more of it")]
#[path = "../port.rs"]
mod port;
#[path = "../preparation.rs"]
mod preparation;
#[path = "../release.rs"]
mod release;
#[expect(dead_code, reason = "the tests over the CNB lifecycle use more of it")]
#[path = "../server.rs"]
mod server;
#[path = "../soak.rs"]
mod soak;
#[path = "../waiting.rs"]
mod waiting;
mod workshop;

pub(crate) use app::App;
pub(crate) use build::Build;
pub(crate) use builder::Builder;
pub(crate) use container::{Container, Run, TOKEN};
pub(crate) use docker::docker;
pub(crate) use frp::{FrpServer, agent_archive};
pub(crate) use image::Image;
pub(crate) use load::{Client, Load, Record, Records};
pub(crate) use network::Network;
pub(crate) use release::{archive, assert_says, file, sha256};
pub(crate) use server::Edge;
pub(crate) use soak::soak_or;
pub(crate) use waiting::{DEADLINE, eventually, never_within};
pub(crate) use workshop::workshop;
