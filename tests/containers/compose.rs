//! The recipe for Docker Compose.

use std::fs;

use harness::containers::{docker, test_env};
use harness::{TOKEN, documented};
use indoc::formatdoc;

use crate::documented::User;
use crate::fixtures::{ENDPOINT, sample_app};

#[test]
fn recipe_of_compose_serves_with_the_token_in_a_file() {
    let edge = test_env().edge(TOKEN);
    edge.route(TOKEN, ENDPOINT, "app=shop");
    let user = User::new(&sample_app())
        .env("BACKPLANE_AGENT_URL", "vendor/backplane")
        .env("PACKAGE", test_env().buildpack_under_test());
    let name = &user.container.name;
    let recipe = documented("docs/recipes.md", "services:");
    // Compose adds to the recipe what the tests need.
    let addition = formatdoc! {"
        services:
          app:
            container_name: {name}
            labels: [{label}]
            environment:
              BACKPLANE_EDGE: {agents}
    ", label = test_env().label(), agents = edge.agents};
    for (file, content) in [
        ("compose.yaml", recipe.replace("my-app", name)),
        ("compose.override.yaml", addition),
        ("backplane_token", TOKEN.to_owned()),
    ] {
        fs::write(user.directory().join(file), content).unwrap();
    }
    user.run("pack build my-app --post-buildpack \"$PACKAGE\"");

    user.run(&documented("docs/recipes.md", "docker compose up "));
    user.container.eventually("an answer", || {
        (edge.get(ENDPOINT, "/") == 200).then_some(())
    });
    let description = docker(["container", "inspect", &user.container.name]);
    assert!(!description.contains(TOKEN), "{description}");
    user.run("docker compose stop");
    assert_eq!(user.container.wait(), 0, "{}", user.container.stderr());
    user.run("docker compose down");
}
