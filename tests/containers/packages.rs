//! What is published: the file, in an order by hand; and the image in a registry, by its name.

use harness::TOKEN;
use harness::containers::{Build, test_env};

use crate::fixtures::{ENDPOINT, order, published_image, sample_build};

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
fn package_file_serves_in_an_order_by_hand() {
    let build = sample_build().without_buildpacks();
    assert_serves(
        build
            .buildpack(test_env().package_file())
            .buildpack("fixture/processes@0.1.0"),
        ["backplane/agent", "fixture/processes"],
    );
}

/// pack takes the image of this machine out of the index: the other one has programs that cannot run
/// here.
#[test]
fn published_image_serves_behind_the_builders_order() {
    let (_registry, image) = published_image();
    let build = sample_build().without_buildpacks();
    assert_serves(
        build
            .argument("--pull-policy=if-not-present")
            .post_buildpack(image),
        ["fixture/processes", "backplane/agent"],
    );
}
