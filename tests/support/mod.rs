//! The harness of the tests over the real CNB lifecycle.
//!
//! An [`App`] is built into an [`Image`] by the real detector and builder ([`Build`]), and an image is launched by the real launcher
//! ([`Launch`], [`Running`]): plain folders and processes, no container. The same for classic buildpacks: there the parts of Heroku are
//! played ([`FrontEnd`]). All of it runs as an ordinary user, below one folder in `/tmp` that is gone when the test program is, whatever
//! ends that.

mod app;
mod build;
#[expect(dead_code, reason = "the tests on a Docker engine use more of it")]
mod command;
mod edge_log;
mod front_end;
mod frp;
mod heroku;
mod launch;
#[expect(dead_code, reason = "the tests on a Docker engine use more of it")]
mod load;
mod output;
mod port;
mod preparation;
mod process;
mod program;
mod release;
mod server;
mod soak;
mod strange;
mod terminal;
mod waiting;
mod workshop;

pub(crate) use app::App;
pub(crate) use build::{Build, Image, own_architecture};
pub(crate) use edge_log::AgentNumber;
pub(crate) use front_end::{FrontEnd, for_each_front_end};
pub(crate) use frp::{DOMAIN, FrpServer, agent_archive};
pub(crate) use launch::{Launch, Running, TOKEN};
pub(crate) use load::{Client, Load, Record, app_of};
pub(crate) use port::{ReservedPort, free_port};
pub(crate) use process::{MARK, Process, zombies_of};
pub(crate) use program::BuildProgram;
pub(crate) use release::{archive, assert_says, file, sha256};
pub(crate) use server::Edge;
pub(crate) use soak::soak_or;
pub(crate) use strange::{STRANGE, assert_untouched, put_strange};
pub(crate) use terminal::{Key, Terminal};
pub(crate) use waiting::{DEADLINE, eventually, never_within};
pub(crate) use workshop::workshop;
