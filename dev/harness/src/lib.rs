//! The harness of the tests and benchmarks: platforms for apps, and servers around apps.
//!
//! - [`lifecycle`] builds and launches by the real CNB lifecycle, and by a stand-in for Heroku's
//!   classic API: plain directories and processes, no container.
//! - [`containers`] does it by the real pack and a Docker engine.
//! - [`cluster`] runs their images on a Kubernetes node.
//! - [`release_server`] serves agents and misbehaves on demand. [`Edge`] is the edge of the
//!   stand-in, [`TunnelServer`] the real server of a tunnel. [`registry`] has a real registry of
//!   images.
//!
//! Tests take commands and examples out of the documents by [`documented`].
//!
//! All of it panics where a test has to fail.

mod agent_release;
mod app;
pub mod cluster;
mod command;
pub mod containers;
mod documents;
mod edge;
mod edge_log;
mod http;
pub mod lifecycle;
mod load;
mod obstacles;
mod port;
mod prebuild;
mod process;
mod programs;
pub mod registry;
pub mod release_server;
mod server_process;
mod soak;
mod terminal;
mod tunnel;
mod waiting;

pub use agent_release::{archive, assert_logs, file, sha256};
pub use app::App;
pub use documents::{Block, blocks, documented, documents};
pub use edge::Edge;
pub use edge_log::AgentNumber;
pub use load::{Client, Load, Record, Records};
pub use obstacles::{STRANGE, assert_untouched, put_strange};
pub use port::{ReservedPort, free_port, listen};
pub use prebuild::make;
pub use process::{MARK, Process, processes_marked, zombies_of};
pub use soak::soak_or;
pub use terminal::{Key, Terminal};
pub use tunnel::{DOMAIN, Tunnel, TunnelServer};
pub use waiting::{DEADLINE, eventually, never_within};

use std::fs;
use std::path::Path;

/// The token of launches with an agent, unlike any other text of an image or a process.
pub const TOKEN: &str = "token-f3a9c1d7";

/// The architecture of this machine, by its name in the CNB specification.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// Variables of an app beside ours, which our programs must neither mind nor forward.
const HOSTILE_AT_LAUNCH: [(&str, &str); 4] = [
    ("DATABASE_URL", "postgres://user:secret@db/app"),
    ("RUST_BACKTRACE", "full"),
    ("RUST_LOG", "trace"),
    ("LANG", "xx_YY.invalid"),
];

/// Variables of each build by default, which it must not mind.
const HOSTILE_AT_BUILD: [(&str, &str); 9] = [
    // The lifecycle puts it in front of the PATH of the build.
    ("PATH", "/invalid"),
    ("HOME", "/invalid"),
    ("LANG", "xx_YY.invalid"),
    ("TMPDIR", "/invalid"),
    ("RUST_BACKTRACE", "full"),
    ("RUST_LOG", "trace"),
    // The app's, which the build does not need.
    ("DATABASE_URL", "postgres://user:secret@db/app"),
    ("BACKPLANE_TOKEN", "token-at-build"),
    ("BACKPLANE_LABELS", "label=at-build"),
];

/// The root of the repository.
fn root() -> &'static Path {
    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    Path::new(ROOT)
}

fn read_toml(path: &Path) -> toml::Table {
    toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The lines of a log that our programs wrote at launch.
fn our_lines(log: &str) -> Vec<String> {
    log.lines()
        .filter(|line| line.starts_with("[backplane]"))
        .map(str::to_owned)
        .collect()
}
