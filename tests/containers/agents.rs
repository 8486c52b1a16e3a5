//! The commands of docs/agents.md, as a user types them, with the real tunnels.

use std::fs;

use harness::containers::{Container, test_env};
use harness::release_server::ReleaseServer;
use harness::{App, DEADLINE, TOKEN, Tunnel, eventually, file, sha256};

/// What the user of the document has set up: a default builder, and a name server. Runs its commands
/// with that, and in the background.
const SETTING: &str = r#"
    set -eu
    pack() {
        command pack "$@" --path "$APP" --builder "$BUILDER" --trust-builder --trust-extra-buildpacks \
            --pull-policy never --network host --cache "type=build;format=volume;name=$IMAGE-build" \
            --cache "type=launch;format=volume;name=$IMAGE-launch" \
            --env BACKPLANE_AGENT_URL="$RELEASE" --env BACKPLANE_AGENT_SHA256="$CHECKSUM"
    }
    docker() {
        subcommand=$1
        shift
        command docker "$subcommand" --detach --name "$CONTAINER" --label "$LABEL" \
            --env BACKPLANE_FRP_PORT="$AGENT_PORT" "$@"
    }
    curl() {
        command curl --silent --show-error --fail --connect-to "::$PUBLIC" "$@"
    }
"#;

#[test]
fn commands_of_the_document_serve_an_app() {
    for tunnel in Tunnel::ALL {
        let token = tunnel.token(TOKEN);
        let server = test_env().tunnel_server(tunnel, &token);
        let content = test_env().tunnel_release(tunnel);
        let releases = ReleaseServer::http([file(&content)]);
        let directory = test_env().new_directory();
        let app = directory.path().join("app");
        App::new()
            .process("web", "exec ./sample-app")
            .executable(
                "sample-app",
                fs::read(test_env().program("sample-app")).unwrap(),
            )
            .write_to(&app);
        let (image, container) = (test_env().new_name(), test_env().new_name());
        let container = Container { name: container };

        let package = test_env().package_file();
        let variables = server.variables();
        let value = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map_or("", |(_, value)| value)
        };
        let run = |word: &str| {
            let commands = tunnel
                .documented(word)
                .replace("--detach --name my-app ", "")
                .replace("my-app", &image)
                .replace(
                    "docker://ghcr.io/backplane/backplane-heroku-buildpack:latest",
                    package.to_str().unwrap(),
                )
                .replace(
                    "=frps.example.com",
                    &format!("={}", value("BACKPLANE_FRP_SERVER")),
                )
                .replace(
                    "=http://chisel.example.com:8000",
                    &format!("={}", value("BACKPLANE_CHISEL_SERVER")),
                )
                .replace(
                    "=0.0.0.0:9000",
                    &format!("={}", value("BACKPLANE_CHISEL_REMOTE")),
                );
            let output = test_env()
                .shell()
                .arg(format!("{SETTING}{commands}"))
                .current_dir(&directory)
                .env("APP", &app)
                .env("BUILDER", &test_env().builder)
                .env("IMAGE", &image)
                .env(
                    "RELEASE",
                    releases.url(&format!("/{}", tunnel.release_template())),
                )
                .env("CHECKSUM", sha256(&content))
                .env("CONTAINER", &container.name)
                .env("LABEL", test_env().label())
                .env("AGENT_PORT", server.port.to_string())
                .env("PUBLIC", server.public())
                .env("TOKEN", &token)
                .output()
                .unwrap();
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
            (output.status.success(), stdout, stderr)
        };

        let (succeeded, stdout, stderr) = run("pack");
        assert!(succeeded, "{stdout}{stderr}");
        let requests = releases.take_requests();
        let lines: Vec<_> = requests.iter().map(|request| &*request.line).collect();
        assert_eq!(lines, [format!("GET /{} HTTP/1.1", tunnel.release_name())]);
        let answer = eventually(DEADLINE, "the answer of the app", || {
            let (succeeded, stdout, _) = run("curl");
            succeeded.then_some(stdout)
        });
        assert!(answer.contains("Hello from the sample app"), "{answer}");
        let log = container.stderr();
        assert!(!log.contains(TOKEN), "{log}");
    }
}
