//! What pack builds, keeps and says.

use crate::subjects::{PATIENT_AGENT, served};
use crate::support::{archive, sha256};
use indoc::formatdoc;

/// The part of the log that is ours.
fn ours(log: &str) -> &str {
    log.split_once("## Backplane\n").expect("our heading").1
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn first_build_installs_the_agent() {
    let (server, build) = served(PATIENT_AGENT);
    let image = build.run();
    let (content, url) = (
        archive(PATIENT_AGENT),
        server.url("/stable-linux-amd64.tgz"),
    );
    let (size, sum) = (content.len(), sha256(&content));
    assert!(
        ours(&image.log).starts_with(&formatdoc! {"

            - Agent
              - Installing the agent: no agent is cached
              - Fetching {url} for linux/amd64
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
    eprintln!("=====STDOUT\n{}=====STDERR\n{}", image.stdout, image.log);
}
