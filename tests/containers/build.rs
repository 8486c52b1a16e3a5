//! Builds by pack, and what it keeps between them.

use harness::release_server::etag;
use harness::{archive, assert_logs, sha256};

use crate::fixtures::{PATIENT_AGENT, agent_of, conditions, ours, pinned, served};

/// How the log of a build without a cached agent begins.
const FIRST_INSTALL: &str = "\n- Agent\n  - Installing the agent: no agent is cached\n";

#[test]
fn pinned_rebuild_makes_no_request() {
    let (server, build) = pinned(PATIENT_AGENT);
    let image = build.run();
    assert_eq!(conditions(&server), [None]);

    let rebuilt = image.rebuild();
    let sum = sha256(&archive(PATIENT_AGENT));
    assert_logs(
        ours(&rebuilt.log),
        &format!("has the pinned checksum {sum}\n- Done (finished in "),
    );
    assert_eq!(conditions(&server), [] as [Option<String>; 0]);
    assert_eq!(agent_of(&rebuilt), PATIENT_AGENT);
}

#[test]
fn unchanged_release_is_kept_by_a_conditional_request() {
    let (server, build) = served(PATIENT_AGENT);
    let image = build.run();
    assert_eq!(conditions(&server), [None]);

    let layer = image.checksum_of_layer();
    let rebuilt = image.rebuild();
    assert_logs(ours(&rebuilt.log), "it is unchanged\n- Done (finished in ");
    // The server answers 304 to its own entity tag.
    let tag = etag(&archive(PATIENT_AGENT));
    assert_eq!(conditions(&server), [Some(tag)]);
    assert_eq!(rebuilt.checksum_of_layer(), layer);
    assert!(
        rebuilt
            .log
            .contains("Reusing layer 'backplane/agent:agent'\n"),
        "{}",
        rebuilt.log
    );
}

/// From Platform API 0.14, the cache restores the layer without the image. The image without the
/// cache never does.
#[test]
fn cache_outlives_the_image_and_a_lost_cache_is_a_first_build() {
    let (server, build) = pinned(PATIENT_AGENT);
    let image = build.run();
    assert_eq!(conditions(&server), [None]);
    let image = image.into_build().without_previous_image().run();
    assert_logs(ours(&image.log), "it has the pinned checksum");
    assert_eq!(conditions(&server), [] as [Option<String>; 0]);
    assert_eq!(agent_of(&image), PATIENT_AGENT);

    let image = image.into_build().without_cache().run();
    assert!(ours(&image.log).starts_with(FIRST_INSTALL), "{}", image.log);
    assert_eq!(conditions(&server), [None]);
    assert_eq!(agent_of(&image), PATIENT_AGENT);
}
