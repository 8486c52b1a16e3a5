//! The file that is published, in all the ways that users name it. What is in it is the affair of `tests/packages`.

use crate::subjects::{ENDPOINT, order, sample_build};
use crate::support::{Build, Builder, Edge, TOKEN, workshop};

/// Sees that the image of this build has these buildpacks, and serves through the edge until it is stopped.
#[track_caller]
fn serves(build: Build, buildpacks: [&str; 2]) {
    let image = build.run();
    assert_eq!(order(&image), buildpacks);
    let edge = Edge::start_for_agents_at(workshop().gateway(), TOKEN);
    edge.route(TOKEN, ENDPOINT, "some=label");
    edge.wait_for_status(ENDPOINT, 503);
    let container = image.container().connect(&edge).start();
    edge.wait_for_status(ENDPOINT, 200);
    container.stop(10);
    assert_eq!(container.wait(), 0, "{}", container.stderr());
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn package_file_serves_behind_the_builders_order() {
    let build = sample_build().without_buildpacks();
    serves(
        build.post_buildpack(workshop().package_file()),
        ["fixture/processes", "backplane/agent"],
    );
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn package_file_serves_in_an_order_by_hand() {
    let build = sample_build().without_buildpacks();
    serves(
        build
            .buildpack(workshop().package_file())
            .buildpack("fixture/processes@0.1.0"),
        ["backplane/agent", "fixture/processes"],
    );
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn package_file_serves_from_a_builders_own_order() {
    let builder = Builder::with(&workshop().package_file(), "backplane/agent");
    let build = sample_build().without_buildpacks();
    serves(
        build.builder(&builder),
        ["fixture/processes", "backplane/agent"],
    );
}
