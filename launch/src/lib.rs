//! The Backplane buildpack at launch: which process of the app gets an agent, and which agent.
//!
//! What is the same for every agent is in the crate [`sidecar`]. This one has Backplane's rules,
//! its variables and its words.

mod agent_environment;
mod binding;
mod checksum;
mod decision;
mod labels;
mod messages;
mod process_type;
mod settings;
mod variables;

pub use crate::checksum::CHECKSUM_FILE;
pub use crate::settings::VARIABLES;
pub use crate::variables::VARIABLES_FILE;

use std::path::Path;
use std::process::ExitCode;

use sidecar::{Connection, Decision, Environment, Hints, Process, Sidecar};

use crate::decision::Inputs;
use crate::settings::Settings;
use crate::variables::Variables;

/// The launch program. This function is here because generic code is compiled with the profile of
/// the package that calls it, and the shipped program is in the package of the build.
#[must_use = "it is the exit status of the process"]
pub fn main() -> ExitCode {
    sidecar::main(&Backplane)
}

/// The Backplane agent: `<layer>/libexec/backplane connect LABELS URL`.
struct Backplane;

impl Sidecar for Backplane {
    const NAME: &'static str = "backplane";

    const HINTS: Hints = Hints {
        quick_exits: "Usually BACKPLANE_TOKEN or the labels are wrong, or the edge cannot be reached",
        show_output: "To see the agent's own lines, which BACKPLANE_LOG=quiet drops, set BACKPLANE_LOG=info",
        upstream: "set PORT or BACKPLANE_PROXY_URL to where it listens",
    };

    fn decide(&self, process: &Process<'_>) -> Decision {
        decision::decide(&Inputs {
            process,
            read_binding: &binding::read,
            read_token: &sidecar::read_nonempty_value,
            is_file: &|path| path.is_file(),
            read_checksum: &checksum::read,
            read_variables: &Variables::read,
        })
    }

    fn connection(&self, environment: &Environment, layer: Option<&Path>) -> Option<Connection> {
        let variables = layer.map(Variables::read).unwrap_or_default();
        let (settings, _) = Settings::read(&variables.complete(environment));
        Some(Connection {
            upstream: settings.upstream()?.ok()?,
            drain: settings.drain,
            stop_timeout: settings.stop_timeout,
        })
    }
}
