//! The whole exec.d program of a buildpack that runs `<layer>/bin/agent URL` beside each web
//! process.

use sidecar::{Arg, Decision, Drain, Environment, Process, Sidecar, Spec, Upstream, Verbosity};

struct Agent;

impl Sidecar for Agent {
    const NAME: &'static str = "agent";

    fn decide(&self, process: &Process<'_>) -> Decision {
        let is_web = process.launcher_type == Some("web");
        let start = self.upstream(process.environment).filter(|_| is_web);
        Decision {
            log: Vec::new(),
            verbosity: Verbosity::Info,
            start: start.zip(process.layer).map(|(upstream, layer)| Spec {
                program: layer.join("bin/agent"),
                args: vec![Arg::AppUrl],
                environment: Environment::default(),
                upstream,
                title: "agent".to_owned(),
                wait_for_app: true,
                drain: Drain::Keep,
                is_expected: true,
                info: Vec::new(),
            }),
        }
    }

    fn upstream(&self, environment: &Environment) -> Option<Upstream> {
        Upstream::from_port(environment.get("PORT")?)
    }
}

fn main() -> std::process::ExitCode {
    sidecar::main(&Agent)
}
