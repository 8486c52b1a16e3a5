//! The commands of the README and the documents that explain it, with the stand-in as Backplane.

use harness::containers::{docker, test_env};
use harness::{TOKEN, documented};

use crate::documented::User;
use crate::fixtures::{published_image, sample_app};

const PUBLISHED: &str = "docker://ghcr.io/backplane/backplane-heroku-buildpack:latest";

#[test]
fn commands_of_the_documents_serve_an_app() {
    let readme =
        documented("README.md", "docker run ") + &documented("README.md", "backplane route ");
    let agents = documented("docs/agents.md", "docker run ");
    let packaged = documented("docs/installing.md", "script/bootstrap --without-tools && ");
    // The tests have begun with the first line.
    let (_, packaged) = packaged.split_once('\n').unwrap();
    let descriptor = documented("README.md", "[_]");
    // pack takes no port after `docker://`, so the engine has the image under a name without one.
    let (_registry, image) = published_image();
    let buildpack = test_env().new_name();
    docker(["pull", &image]);
    docker(["tag", &image, &buildpack]);
    let buildpack = format!("docker://{buildpack}");
    for (descriptor, pack, run) in [
        (None, &*documented("README.md", "pack build "), &readme),
        (Some(descriptor), "pack build my-app", &agents),
        (
            None,
            &*documented(
                "docs/installing.md",
                "pack build my-app --post-buildpack docker://",
            ),
            &readme,
        ),
        (None, packaged, &readme),
    ] {
        let app = match descriptor {
            Some(descriptor) => {
                sample_app().file("project.toml", descriptor.replace(PUBLISHED, &buildpack))
            }
            None => sample_app(),
        };
        let edge = test_env().edge(TOKEN);
        let package = test_env().package_file();
        let user = User::new(&app)
            .env("BACKPLANE_AGENT_URL", "vendor/backplane")
            .env("BACKPLANE_EDGE", &edge.agents)
            .env("BACKPLANE_TOKEN", TOKEN)
            .instead_of(PUBLISHED, &buildpack)
            .instead_of(
                "backplane_agent-VERSION-linux-amd64.cnb",
                package.to_str().unwrap(),
            )
            .instead_of(
                "path/to/target/package/backplane_agent",
                test_env().buildpack_under_test().to_str().unwrap(),
            )
            .instead_of("BACKPLANE_TOKEN=…", format!("BACKPLANE_TOKEN={TOKEN}"));

        user.run(pack);
        user.run(run);
        user.container.eventually("an answer", || {
            (edge.get("myendpoint.com", "/") == 200).then_some(())
        });
        let status = documented("README.md", "docker exec my-app ");
        let status = user.run(&status);
        assert!(status.starts_with("The agent is running"), "{status}");
        let look = documented("docs/troubleshooting.md", "docker logs --tail 50 my-app ");
        let seen = user.run(&format!("{{\n{look}\n}} 2>&1"));
        assert!(seen.contains("[backplane] The agent started: "), "{seen}");
        assert!(seen.contains("\nThe agent is running"), "{seen}");
        let source = user.run(&documented(
            "docs/troubleshooting.md",
            "docker image inspect ",
        ));
        assert_eq!(source, "vendor/backplane\n");
        user.run(&documented("docs/stopping.md", "docker exec my-app "));
        assert_eq!(user.container.wait(), 0, "{}", user.container.stderr());
    }
}
