//! What pack builds, keeps and says.

use crate::subjects::{
    OTHER_AGENT, PATIENT_AGENT, PLATFORM, agent_of, conditions, ours, pinned, served,
};
use crate::support::{Image, archive, file, sha256, workshop};
use backplane_test_server::etag;
use indoc::formatdoc;

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn first_build_installs_the_agent() {
    let (server, build) = served(PATIENT_AGENT);
    let image = build.run();

    let (content, url) = (archive(PATIENT_AGENT), server.url("/agent.tgz"));
    let (size, sum) = (content.len(), sha256(&content));
    assert!(
        ours(&image.log).starts_with(&formatdoc! {"

            - Agent
              - Installing the agent: no agent is cached
              - Fetching {url} for {PLATFORM}
              - Fetched {size} B with the SHA-256 checksum {sum}, which nothing pins
              - Installed backplane, tunnel.toml

            ! The agent isn't pinned
            !
            ! Whatever its source serves is installed. To accept this download and
            ! no other, and to build without asking the source again, set:
            !
            ! BACKPLANE_AGENT_SHA256={sum}

            - Done (finished in "}),
        "{}",
        image.log
    );
    assert_eq!(conditions(&server), [None]);
    assert_eq!(agent_of(&image), PATIENT_AGENT);
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn pinned_rebuild_makes_no_request() {
    let (server, build) = pinned(PATIENT_AGENT);
    let image = build.run();
    assert_eq!(conditions(&server), [None]);

    let rebuilt = image.rebuild();
    let sum = sha256(&archive(PATIENT_AGENT));
    assert!(
        ours(&rebuilt.log).starts_with(&formatdoc! {"

            - Agent
              - Using the cached agent: it has the pinned checksum {sum}
            - Done (finished in "}),
        "{}",
        rebuilt.log
    );
    assert_eq!(conditions(&server), [] as [Option<String>; 0]);
    assert_eq!(agent_of(&rebuilt), PATIENT_AGENT);
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn unchanged_release_is_kept_by_a_conditional_request() {
    let (server, build) = served(PATIENT_AGENT);
    let image = build.run();
    assert_eq!(conditions(&server), [None]);

    let layer = image.checksum_of_layer("backplane/agent", "agent");
    let rebuilt = image.rebuild();
    let url = server.url("/agent.tgz");
    assert!(
        ours(&rebuilt.log).starts_with(&formatdoc! {"

            - Agent
              - Asking {url} whether there is another agent than the cached one
              - Using the cached agent: it is unchanged
            - Done (finished in "}),
        "{}",
        rebuilt.log
    );
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

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn changed_release_is_installed_and_told() {
    let (server, build) = served(PATIENT_AGENT);
    let image = build.run();
    server.will_answer([file(&archive(OTHER_AGENT))]);

    let rebuilt = image.rebuild();
    let (old, new) = (
        sha256(&archive(PATIENT_AGENT)),
        sha256(&archive(OTHER_AGENT)),
    );
    assert!(
        ours(&rebuilt.log).contains(&format!("! changed {old} → {new}\n")),
        "{}",
        rebuilt.log
    );
    assert_eq!(agent_of(&rebuilt), OTHER_AGENT);
    assert_eq!(rebuilt.labels()["io.backplane.agent.sha256"], new);
}

/// The engine's cache alone does not bring a layer back, and neither does the image alone.
#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn lost_image_and_lost_cache_are_first_builds() {
    let (server, build) = pinned(PATIENT_AGENT);
    let image = build.run();
    let image = image.into_build().without_previous_image().run();
    assert!(
        ours(&image.log).starts_with("\n- Agent\n  - Installing the agent: no agent is cached\n"),
        "{}",
        image.log
    );
    let image = image.into_build().without_cache().run();
    assert!(
        ours(&image.log).starts_with("\n- Agent\n  - Installing the agent: no agent is cached\n"),
        "{}",
        image.log
    );
    assert_eq!(conditions(&server), [None, None, None]);
    assert_eq!(agent_of(&image), PATIENT_AGENT);
}

/// The image was made by a buildpack whose installer and whose launch program are not today's, under the same id.
#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn image_of_an_older_buildpack_is_rebuilt_with_todays_programs() {
    let content = archive(PATIENT_AGENT);
    let (server, build) = pinned(PATIENT_AGENT);
    let old = build
        .without_buildpacks()
        .post_buildpack(workshop().older_buildpack())
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
        .post_buildpack(workshop().buildpack_under_test())
        .run();
    let (url, size, sum) = (server.url("/agent.tgz"), content.len(), sha256(&content));
    assert!(
        ours(&new.log).starts_with(&formatdoc! {"

            - Agent
              - Installing the agent: the installer has changed from 0 to 1
              - Fetching {url} for {PLATFORM}
              - Fetched {size} B with the SHA-256 checksum {sum}, which is the pinned one
              - Installed backplane, tunnel.toml
            - Done (finished in "}),
        "{}",
        new.log
    );
    assert_ne!(launch_program(&new), of_old);
    assert_eq!(agent_of(&new), PATIENT_AGENT);
}
