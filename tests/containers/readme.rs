//! The commands of the README, as a user types them, with the stand-in as Backplane.

use harness::containers::{Container, docker, test_env};
use harness::{DEADLINE, TOKEN, eventually};

use crate::fixtures::{published_image, sample_app};

const DOCUMENT: &str = include_str!("../../README.md");

/// What the user has set up: a default builder, a source of the agent, a name server and an account.
/// Runs the app in the background.
const SETTING: &str = r#"
    set -eu
    pack() {
        command pack "$@" --path "$APP" --builder "$BUILDER" --trust-builder --trust-extra-buildpacks \
            --pull-policy never --cache "type=build;format=volume;name=$IMAGE-build" \
            --cache "type=launch;format=volume;name=$IMAGE-launch" --env BACKPLANE_AGENT_URL=vendor/backplane
    }
    docker() {
        subcommand=$1
        shift
        case $subcommand in
            run)
                command docker run --detach --name "$CONTAINER" --label "$LABEL" \
                    --add-host host.docker.internal:host-gateway \
                    --env BACKPLANE_EDGE="host.docker.internal:${BACKPLANE_EDGE##*:}" "$@"
                ;;
            exec)
                shift
                command docker exec "$CONTAINER" "$@"
                ;;
        esac
    }
    backplane() {
        command "$STANDIN" "$@"
    }
"#;

/// The block of code that begins with this text.
fn block(start: &str) -> &'static str {
    let blocks = DOCUMENT.split("\n```").skip(1).step_by(2);
    blocks
        .filter_map(|block| Some(block.split_once('\n')?.1))
        .find(|block| block.starts_with(start))
        .expect("the document has such a block")
}

#[test]
fn commands_of_the_readme_serve_an_app() {
    let descriptor = block("[_]");
    let pack = block("pack build my-app --builder ");
    // pack takes no port after `docker://`, so the engine has the image under a name without one.
    let (_registry, image) = published_image();
    let buildpack = &test_env().new_name();
    docker(["pull", &image]);
    docker(["tag", &image, buildpack]);
    for (descriptor, pack) in [(None, pack), (Some(descriptor), "pack build my-app")] {
        let directory = test_env().new_directory();
        let app = directory.path().join("app");
        let published = "ghcr.io/backplane/backplane-heroku-buildpack:latest";
        let source = match descriptor {
            Some(descriptor) => {
                sample_app().file("project.toml", descriptor.replace(published, buildpack))
            }
            None => sample_app(),
        };
        source.write_to(&app);
        let edge = test_env().edge(TOKEN);
        let (image, container) = (test_env().new_name(), test_env().new_name());
        let container = Container { name: container };
        let run = |commands: &str| {
            let commands = commands
                .replace("--detach --name my-app ", "")
                .replace("my-app", &image)
                .replace(published, buildpack)
                .replace('…', TOKEN);
            let output = test_env()
                .shell()
                .arg(format!("{SETTING}{commands}"))
                .current_dir(&directory)
                .env("APP", &app)
                .env("BUILDER", &test_env().builder)
                .env("IMAGE", &image)
                .env("CONTAINER", &container.name)
                .env("LABEL", test_env().label())
                .env("STANDIN", test_env().program("backplane"))
                .env("BACKPLANE_EDGE", &edge.agents)
                .env("BACKPLANE_TOKEN", TOKEN)
                .output()
                .unwrap();
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
            assert!(output.status.success(), "{commands}{stdout}{stderr}");
            stdout
        };

        run(pack);
        run(block("docker run "));
        run(block("backplane route "));
        eventually(DEADLINE, "an answer", || {
            (edge.get("myendpoint.com", "/") == 200).then_some(())
        });
        let status = run(block("docker exec my-app "));
        assert!(status.starts_with("The agent is running"), "{status}");
        let line = "[backplane] The agent started: ";
        assert!(DOCUMENT.contains(&format!("`{line}`")));
        let log = container.stderr();
        assert!(log.contains(line), "{log}");
    }
}
