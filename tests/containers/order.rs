//! The buildpack among others, by pack's options and by `project.toml`.

use harness::containers::{Build, test_env};
use harness::{ARCHITECTURE, App, assert_logs};
use indoc::formatdoc;

use crate::fixtures::{PATIENT_AGENT, app, order, ours};

/// An app with an agent of its own.
fn vendored() -> App {
    app().executable("vendor/backplane", PATIENT_AGENT)
}

/// What an observer of this name saw: its variables, and its layers.
fn seen_by<'a>(name: &str, log: &'a str) -> (&'a str, &'a str) {
    let (_, rest) = log
        .split_once(&format!("fixture_{name} sees these variables:\n"))
        .unwrap_or_else(|| panic!("{name} took no part: {log}"));
    let (variables, rest) = rest
        .split_once(&format!("fixture_{name} sees these layers:\n"))
        .unwrap();
    let (layers, _) = rest
        .split_once(&format!("fixture_{name} has seen it all.\n"))
        .unwrap();
    (variables, layers)
}

#[test]
fn later_buildpack_sees_nothing_of_ours_but_the_layer() {
    let image = Build::new(vendored())
        .env("BACKPLANE_AGENT_URL", "vendor/backplane")
        .pre_buildpack(test_env().observer("before"))
        .post_buildpack(test_env().observer("after"))
        .run();
    assert_eq!(
        order(&image),
        [
            "fixture/before",
            "fixture/processes",
            "backplane/agent",
            "fixture/after"
        ]
    );

    let (variables, layers) = seen_by("before", &image.log);
    let (variables_after, layers_after) = seen_by("after", &image.log);
    assert!(
        variables.contains("\n  BACKPLANE_TOKEN=token-at-build\n"),
        "{variables}"
    );
    assert_eq!(variables, variables_after);
    assert_eq!(layers, "");
    assert_eq!(layers_after, "  /layers/backplane_agent/agent/\n");
    // In this order too.
    assert!(
        image.log.find("fixture_before has") < image.log.find("## Backplane")
            && image.log.find("## Backplane") < image.log.find("fixture_after sees")
    );
}

#[test]
fn project_descriptor_adds_ours_behind_the_builders_order_and_sets_its_variables() {
    let uri = test_env().buildpack_under_test();
    let descriptor = formatdoc! {r#"
        [_]
        schema-version = "0.2"

        [[io.buildpacks.post.group]]
        uri = "{}"

        [[io.buildpacks.build.env]]
        name = "BACKPLANE_AGENT_URL"
        value = "vendor/backplane"
    "#, uri.display()};
    let image = Build::new(vendored().file("project.toml", descriptor))
        .without_env()
        .without_buildpacks()
        .run();
    assert_eq!(order(&image), ["fixture/processes", "backplane/agent"]);
    assert_logs(
        ours(&image.log),
        &format!("\n  - Fetching vendor/backplane for linux/{ARCHITECTURE}\n"),
    );
}
