//! The commands of docs/agents.md, as a user types them, with the real tunnels.

use harness::containers::test_env;
use harness::release_server::ReleaseServer;
use harness::{DEADLINE, TOKEN, Tunnel, eventually, file, sha256};

use crate::documented::User;
use crate::fixtures::sample_app;

#[test]
fn commands_of_the_document_serve_an_app() {
    for tunnel in Tunnel::ALL {
        let token = tunnel.token(TOKEN);
        let server = test_env().tunnel_server(tunnel, &token);
        let content = test_env().tunnel_release(tunnel);
        let releases = ReleaseServer::http([file(&content)]);
        let release = releases.url(&format!("/{}", tunnel.release_template()));
        let package = test_env().package_file();
        let variables = server.variables();
        let value = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map_or("", |(_, value)| value)
        };
        let user = User::new(&sample_app())
            .env("BACKPLANE_AGENT_URL", release)
            .env("BACKPLANE_AGENT_SHA256", sha256(&content))
            .env("BACKPLANE_FRP_PORT", server.port.to_string())
            .env("PUBLIC", server.public())
            .env("TOKEN", &token)
            .instead_of(
                "docker://ghcr.io/backplane/backplane-heroku-buildpack:latest",
                package.to_str().unwrap(),
            )
            .instead_of("frps.example.com", value("BACKPLANE_FRP_SERVER"))
            .instead_of(
                "=http://chisel.example.com:8000",
                format!("={}", value("BACKPLANE_CHISEL_SERVER")),
            )
            .instead_of("0.0.0.0:9000", value("BACKPLANE_CHISEL_REMOTE"));
        let [build_and_run, request] = tunnel.app_commands();

        user.run(&build_and_run);
        let requests = releases.take_requests();
        let lines: Vec<_> = requests.iter().map(|request| &*request.line).collect();
        assert_eq!(lines, [format!("GET /{} HTTP/1.1", tunnel.release_name())]);
        let answer = eventually(DEADLINE, "the answer of the app", || {
            user.try_run(&request).ok()
        });
        assert!(answer.contains("Hello from the sample app"), "{answer}");
        let log = user.container.stderr();
        assert!(!log.contains(TOKEN), "{log}");
    }
}
