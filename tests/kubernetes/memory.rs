//! Agents that eat the memory of their pod.

use std::sync::OnceLock;

use harness::App;
use harness::cluster;
use harness::containers::Build;
use serde_json::json;

use crate::shop::Shop;

/// What the app holds.
const HELD: &str = "40_000_000";

/// An image whose agent eats memory: some megabytes a second, or as much as it can get.
fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let web = format!(
            "exec perl -MIO::Socket::INET -e 'open $zero, q(</dev/zero); read $zero, $held, {HELD}; \
             $listener = IO::Socket::INET->new(LocalAddr => qq(127.0.0.1:$ENV{{PORT}}), Listen => 1); sleep'"
        );
        let agent = "#!/bin/sh\n\
             [ \"$BACKPLANE_APPETITE\" = slow ] || exec tail /dev/zero\n\
             exec perl -e 'open $zero, q(</dev/zero); for (;;) { read $zero, $eaten, 2_000_000, length $eaten; select undef, undef, undef, 0.1 }'\n";
        let app = App::new().process("web", &web).executable("agent", agent);
        cluster::import(&Build::new(app).env("BACKPLANE_AGENT_URL", "agent").run())
    })
}

/// In a pod of this class, the kernel may kill the app instead of its agent.
#[test]
fn agent_memory_is_limited_in_a_burstable_pod() {
    let shop = Shop::of_image(image, |objects| {
        objects.env("BACKPLANE_APPETITE", "slow");
        objects.env("BACKPLANE_AGENT_MEMORY", "48Mi");
        objects.app()["resources"] =
            json!({"requests": {"memory": "96Mi"}, "limits": {"memory": "160Mi"}});
    });
    shop.namespace
        .eventually("two agents that ate too much", || {
            (shop
                .log()
                .matches("The agent and its children occupy ")
                .count()
                >= 2)
                .then_some(())
        });
    assert_eq!(shop.namespace.pods()[0]["status"]["qosClass"], "Burstable");
    assert_eq!(shop.restarts(), 0);
}

/// The class Guaranteed. On nodes with cgroup v2, the kernel kills the whole container.
#[test]
fn agent_that_eats_all_memory_is_killed_and_the_log_names_memory() {
    let shop = Shop::of_image(image, |objects| {
        objects.env("BACKPLANE_AGENT_MEMORY", "");
        objects.app()["resources"] = json!({"limits": {"memory": "160Mi", "cpu": "500m"}});
    });
    shop.namespace.eventually("the explanation", || {
        let log = shop.log();
        log.lines()
            .any(|line| {
                line.contains("The agent has exited 5 times in a row") && line.contains("memory")
            })
            .then_some(())
    });
    assert_eq!(shop.namespace.pods()[0]["status"]["qosClass"], "Guaranteed");
    assert_eq!(shop.restarts(), 0);
}
