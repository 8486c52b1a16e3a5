//! What is published: the file, behind a builder's order and in an order by hand; and the image in
//! a registry, by its name.

use harness::TOKEN;
use harness::containers::{Build, docker, test_env};
use harness::registry::{Registry, packages_of_both_architectures};
use indoc::formatdoc;

use crate::fixtures::{ENDPOINT, order, sample_app, sample_build};

/// The order of a build that has our buildpack behind the builder's own.
const POST: [&str; 2] = ["fixture/processes", "backplane/agent"];

/// Asserts that the image of this build has these buildpacks, and serves through the edge.
#[track_caller]
fn assert_serves(build: Build, buildpacks: [&str; 2]) {
    let image = build.run();
    assert_eq!(order(&image), buildpacks);
    let edge = test_env().edge(TOKEN);
    edge.route(TOKEN, ENDPOINT, "some=label");
    edge.wait_for_status(ENDPOINT, 503);
    let container = image.container().connect(&edge).start();
    edge.wait_for_status(ENDPOINT, 200);
    container.stop(10);
    assert_eq!(container.wait(), 0, "{}", container.stderr());
}

#[test]
fn package_file_serves_behind_the_builders_order() {
    let build = sample_build().without_buildpacks();
    assert_serves(build.post_buildpack(test_env().package_file()), POST);
}

#[test]
fn package_file_serves_in_an_order_by_hand() {
    let build = sample_build().without_buildpacks();
    assert_serves(
        build
            .buildpack(test_env().package_file())
            .buildpack("fixture/processes@0.1.0"),
        ["backplane/agent", "fixture/processes"],
    );
}

/// A registry with the image, and the image's name: in this registry, and its last part.
fn published() -> (Registry, String, String) {
    let registry = Registry::start();
    // The engine keeps the image under this name until the end.
    let name = test_env().new_name();
    let tagged = format!("{name}:latest");
    registry.publish(packages_of_both_architectures().path(), &[&tagged]);
    let full_name = format!("{}/{name}", registry.address);
    (registry, full_name, name)
}

/// The other image of the index has programs that cannot run here.
#[test]
fn published_image_serves_behind_the_builders_order() {
    let (_registry, name, _) = published();
    let build = sample_build().without_buildpacks();
    assert_serves(
        build
            .argument("--pull-policy=if-not-present")
            .post_buildpack(name),
        POST,
    );
}

/// pack takes no port after `docker://`, so here the image has a name without a registry.
#[test]
fn published_image_serves_by_a_project_descriptor() {
    let (_registry, full_name, name) = published();
    docker(["pull", &full_name]);
    docker(["tag", &full_name, &name]);
    let descriptor = formatdoc! {r#"
        [_]
        schema-version = "0.2"

        [[io.buildpacks.post.group]]
        uri = "docker://{name}"

        [[io.buildpacks.build.env]]
        name = "BACKPLANE_AGENT_URL"
        value = "vendor/backplane"
    "#};
    assert_serves(
        Build::new(sample_app().file("project.toml", descriptor))
            .without_env()
            .without_buildpacks(),
        POST,
    );
}
