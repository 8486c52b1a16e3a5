//! Builds by pack, and what it keeps between them.

use harness::containers::{Image, test_env};
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

    let layer = image.checksum_of_layer("backplane/agent", "agent");
    let rebuilt = image.rebuild();
    assert_logs(ours(&rebuilt.log), "it is unchanged\n- Done (finished in ");
    // The server answers 304 to its own entity tag.
    let tag = etag(&archive(PATIENT_AGENT));
    assert_eq!(conditions(&server), [Some(tag)]);
    assert_eq!(rebuilt.checksum_of_layer("backplane/agent", "agent"), layer);
    assert!(
        rebuilt
            .stdout
            .contains("Reusing layer 'backplane/agent:agent'\n"),
        "{}",
        rebuilt.stdout
    );
}

/// The engine's cache without the image restores no layer, nor does the image without the cache.
#[test]
fn lost_image_and_lost_cache_are_first_builds() {
    let (server, build) = pinned(PATIENT_AGENT);
    let image = build.run();
    let image = image.into_build().without_previous_image().run();
    assert!(ours(&image.log).starts_with(FIRST_INSTALL), "{}", image.log);
    let image = image.into_build().without_cache().run();
    assert!(ours(&image.log).starts_with(FIRST_INSTALL), "{}", image.log);
    assert_eq!(conditions(&server), [None, None, None]);
    assert_eq!(agent_of(&image), PATIENT_AGENT);
}

/// The older buildpack has the same id, another installer and another launch program.
#[test]
fn image_of_an_older_buildpack_is_rebuilt_with_todays_programs() {
    let (_server, build) = pinned(PATIENT_AGENT);
    let old = build
        .without_buildpacks()
        .post_buildpack(test_env().older_buildpack())
        .run();
    let launch_program = |image: &Image| {
        let container = image.container().start();
        container.wait_for_stdout("the app is up\n");
        let program = "/layers/backplane_agent/agent/exec.d/launch";
        let (code, sum, stderr) = container.exec(&["sha256sum", program]);
        assert_eq!(code, Some(0), "{stderr}");
        sum
    };
    let of_old = launch_program(&old);

    let new = old
        .into_build()
        .without_buildpacks()
        .post_buildpack(test_env().buildpack_under_test())
        .run();
    let log = ours(&new.log);
    assert_logs(log, "the installer has changed from 0 to 1\n");
    assert_logs(
        log,
        "Installed backplane, tunnel.toml\n- Done (finished in ",
    );
    assert_ne!(launch_program(&new), of_old);
    assert_eq!(agent_of(&new), PATIENT_AGENT);
}
