//! The whole exec.d program of a buildpack that runs `<layer>/bin/agent URL` beside each web
//! process.

use sidecar::{
    Arg, Connection, Decision, Drain, Environment, Process, Sidecar, Spec, Upstream, Verbosity,
};

struct Agent;

impl Sidecar for Agent {
    const NAME: &'static str = "agent";

    fn decide(&self, process: &Process<'_>) -> Decision {
        let is_web = process.launcher_type == Some("web");
        let start = self.connection(process.environment).filter(|_| is_web);
        Decision {
            log: Vec::new(),
            verbosity: Verbosity::Info,
            start: start.zip(process.layer).map(|(connection, layer)| Spec {
                program: layer.join("bin/agent"),
                args: vec![Arg::AppUrl],
                environment: Environment::default(),
                value_files: Vec::new(),
                upstream: connection.upstream,
                title: "agent".to_owned(),
                wait_for_app: true,
                drain: Drain::Keep,
                stop_timeout: connection.stop_timeout,
                is_expected: true,
                info: Vec::new(),
            }),
        }
    }

    fn connection(&self, environment: &Environment) -> Option<Connection> {
        let upstream = Upstream::from_port(environment.get("PORT")?).ok()?;
        Some(Connection::new(upstream))
    }
}

fn main() -> std::process::ExitCode {
    sidecar::main(&Agent)
}
