//! The Secret that is the app's service binding.

use harness::TOKEN;
use harness::cluster::in_node;
use serde_json::json;

use crate::shop::Shop;

/// A token that the edge refuses.
const OLD_TOKEN: &str = "token-of-yesterday";

/// Both end with a newline, as many tools write files.
#[test]
fn rotated_secret_is_the_tokens_of_the_next_agent() {
    let shop = Shop::with(|objects| {
        objects.secret["stringData"]["token"] = json!(format!("{OLD_TOKEN}\n"));
    });
    shop.namespace.eventually("an agent that is refused", || {
        shop.log()
            .contains("The agent exited with status 1")
            .then_some(())
    });
    let patch = json!({"stringData": {"token": format!("{TOKEN}\n")}}).to_string();
    shop.namespace
        .kubectl(&["patch", "secret", "backplane", "--patch", &patch]);
    shop.wait_until_served();
    shop.wait_until_ready(1);
    assert_eq!(shop.restarts(), 0);
}

#[test]
fn token_is_nowhere_but_in_the_secret() {
    let shop = Shop::with(|objects| objects.env("BACKPLANE_LOG", "debug"));
    shop.wait_until_served();
    shop.wait_until_ready(1);
    let log = shop.log();
    assert!(log.contains("[backplane]"), "{log}");
    let kinds = "deployments,replicasets,pods,events,configmaps";
    let objects = shop.namespace.kubectl(&["get", kinds, "--output", "yaml"]);
    let (_, processes, _) = shop.exec(&["sh", "-c", "cat /proc/[0-9]*/cmdline"]);
    assert!(processes.contains("connect"), "{processes}");
    for (what, text) in [("log", log), ("objects", objects), ("processes", processes)] {
        assert!(!text.contains(TOKEN), "{what}: {text}");
    }
    let search = r#"grep --recursive --files-with-matches "$1" /log || :"#;
    let logs_of_node = in_node(&["sh", "-c", search, "sh", TOKEN]);
    assert_eq!(logs_of_node, "");
}
