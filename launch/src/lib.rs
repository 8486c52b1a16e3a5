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
#[cfg(test)]
mod testing;

pub use crate::checksum::CHECKSUM_FILE;
pub use crate::settings::VARIABLES;

use std::path::Path;

use sidecar::{Arg, Connection, Decision, Environment, Hints, LogEntry, Process, Sidecar, Spec};

use crate::decision::{Inputs, Plan};
use crate::settings::Settings;

/// The Backplane agent: `<layer>/libexec/backplane connect LABELS URL`.
#[derive(Clone, Copy, Debug)]
pub struct Backplane;

impl Sidecar for Backplane {
    const NAME: &'static str = "backplane";

    const HINTS: Hints = Hints {
        quick_exits: "Usually BACKPLANE_TOKEN or the labels are wrong, or the edge cannot be reached",
        show_output: "To see the agent's own lines, which BACKPLANE_LOG=quiet drops, set BACKPLANE_LOG=info",
        upstream: "set PORT or BACKPLANE_PROXY_URL to where it listens",
    };

    fn decide(&self, process: &Process<'_>) -> Decision {
        let agent = process.layer.map(|layer| layer.join("libexec/backplane"));
        let decision = decision::decide(&Inputs {
            environment: process.environment,
            launcher_type: process.launcher_type,
            is_main: process.is_main,
            has_terminal: process.has_terminal,
            read_binding: &binding::read,
            read_token: &sidecar::read_value,
            agent: agent.as_deref(),
            is_file: &|path| path.is_file(),
        });
        let log = decision.log.iter().map(|entry| LogEntry {
            level: entry.level,
            text: entry.message.to_string(),
        });
        Decision {
            log: log.collect(),
            verbosity: decision.verbosity,
            start: decision.plan.map(|plan| spec(plan, process.layer)),
        }
    }

    fn connection(&self, environment: &Environment) -> Option<Connection> {
        let (settings, _) = Settings::read(environment);
        Some(Connection {
            upstream: settings.upstream()?.ok()?,
            drain: settings.drain,
            stop_timeout: settings.stop_timeout,
        })
    }
}

/// The variable of the agent that holds the token.
const TOKEN: &str = "BACKPLANE_TOKEN";

fn spec(plan: Plan, layer: Option<&Path>) -> Spec {
    let checksum = layer.and_then(checksum::read);
    Spec {
        program: plan.agent,
        args: vec![
            Arg::Text("connect".into()),
            Arg::Text(plan.labels.clone().into()),
            Arg::AppUrl,
        ],
        environment: plan.environment,
        upstream: plan.upstream,
        title: plan.labels.clone(),
        wait_for_app: plan.wait_for_app,
        drain: plan.drain,
        stop_timeout: plan.stop_timeout,
        value_files: plan
            .token_path
            .map(|path| (TOKEN.into(), path))
            .into_iter()
            .collect(),
        is_expected: plan.is_expected,
        info: vec![
            ("process_type".to_owned(), Some(plan.process_type)),
            ("labels".to_owned(), Some(plan.labels)),
            ("agent_sha256".to_owned(), checksum),
        ],
    }
}
