//! The whole exec.d program of a buildpack that runs `<layer>/bin/agent URL` beside each web
//! process.

use std::path::Path;

use sidecar::{Connection, Decision, Environment, Process, Sidecar, Spec, Upstream, Verbosity};

struct Agent;

impl Sidecar for Agent {
    const NAME: &'static str = "agent";

    fn decide(&self, process: &Process<'_>) -> Decision {
        let is_web = process.launcher_type == Some("web");
        let connection = self
            .connection(process.environment, process.layer)
            .filter(|_| is_web);
        let start = connection.zip(process.layer);
        Decision {
            log: Vec::new(),
            verbosity: Verbosity::Info,
            start: start.map(|(app, layer)| Spec::new(layer.join("bin/agent"), app.upstream)),
        }
    }

    fn connection(&self, environment: &Environment, _: Option<&Path>) -> Option<Connection> {
        Upstream::from_port(environment.get("PORT")?).map(Connection::new)
    }
}

fn main() -> std::process::ExitCode {
    sidecar::main(&Agent)
}
