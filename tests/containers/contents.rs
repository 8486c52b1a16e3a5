//! The content of an image: labels, bill of materials, layers, no secrets.

use std::collections::BTreeSet;
use std::fs;

use harness::containers::Build;
use harness::{archive, sha256};

use crate::fixtures::{PATIENT_AGENT, app, pinned};

#[test]
fn labels_and_bill_of_materials_name_the_agent() {
    let (server, build) = pinned(PATIENT_AGENT);
    let image = build.run();
    let (url, sum) = (server.url("/agent.tgz"), sha256(&archive(PATIENT_AGENT)));

    let labels = image.labels();
    let own: BTreeSet<_> = labels
        .iter()
        .filter(|(name, _)| name.contains("backplane"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        own,
        BTreeSet::from([
            ("io.backplane.agent.name", "backplane"),
            ("io.backplane.agent.sha256", sum.as_str()),
            ("io.backplane.agent.source", url.as_str()),
        ])
    );

    let directory = image.bills_of_materials();
    let path = directory
        .path()
        .join("layers/sbom/launch/backplane_agent/agent/sbom.cdx.json");
    let bill: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let component = &bill["components"][0];
    assert_eq!(component["name"], "backplane");
    assert_eq!(component["hashes"][0]["content"], sum);
}

#[test]
fn no_layer_has_a_token() {
    let image = Build::new(app().executable("vendor/backplane", PATIENT_AGENT))
        .env("BACKPLANE_AGENT_URL", "vendor/backplane")
        .env("BACKPLANE_TOKEN", "t0ken-at-build")
        .run();
    let archive = image.archive();
    let has = |text: &str| memchr::memmem::find(&archive, text.as_bytes()).is_some();
    // The layers are in it as they are: the app's own, ours, the configuration.
    for expected in [
        "echo the app is up",
        PATIENT_AGENT,
        "agent.sha256",
        "io.backplane.agent.source",
    ] {
        assert!(has(expected), "{expected} is not in the image");
    }
    for secret in ["t0ken-at-build", "label=at-build", "postgres://user:secret"] {
        assert!(!has(secret), "{secret} is in the image");
    }
}

#[test]
fn two_builds_from_nothing_make_the_same_layer() {
    let (_server, build) = pinned(PATIENT_AGENT);
    let image = build.run();
    let first = image.checksum_of_layer();
    let again = image
        .into_build()
        .without_previous_image()
        .without_cache()
        .run();
    assert!(
        again.log.contains("Adding layer 'backplane/agent:agent'\n"),
        "{}",
        again.log
    );
    assert_eq!(again.checksum_of_layer(), first);
}
