//! The Deployment as a whole: how it serves, how its pods are replaced, and what is left of it.

use std::collections::BTreeSet;

use harness::cluster::in_node;
use harness::{Client, DEADLINE, Load, Record, eventually, soak_or};
use serde_json::Value;

use crate::shop::{ENDPOINT, REPLICAS, Shop};

/// What the node has of a pod: processes, control groups, mounts and files, by its UID.
fn traces(pod: &str) -> String {
    const SCRIPT: &str = r#"
        grep --files-with-matches --no-messages "$1" /proc/[0-9]*/cgroup /proc/self/mountinfo
        find /sys/fs/cgroup -type d -name "*$1*"
        find /var/lib/kubelet/pods -maxdepth 1 -name "$1"
        :
    "#;
    in_node(&["sh", "-c", SCRIPT, "sh", pod])
}

#[test]
fn documented_manifest_serves_and_leaves_nothing_behind() {
    let shop = Shop::documented();
    shop.wait_until_served();
    let pods = shop.namespace.pods();
    assert_eq!(pods.len(), REPLICAS);
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        shop.edge.wait_for_connected(&format!("pod={name}"));
    }
    let uids: Vec<&str> = pods
        .iter()
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap())
        .collect();
    assert!(!traces(uids[0]).is_empty());

    let Shop { namespace, edge } = shop;
    namespace.delete();
    edge.wait_for_status(ENDPOINT, 503);
    for uid in uids {
        eventually(DEADLINE, format_args!("the end of pod {uid}"), || {
            traces(uid).is_empty().then_some(())
        });
    }
}

/// Ends the load, which shows failed requests.
fn assert_no_request_failed(load: Load) {
    let records = load.stop();
    let failed: Vec<&Record> = records.failed().collect();
    println!(
        "{} requests, {} failed, {} pods",
        records.sent(),
        failed.len(),
        records.releases().len()
    );
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Waits until the load has answers of all these pods.
fn wait_for_answers(shop: &Shop, load: &Load) {
    let pods = shop.pods();
    shop.namespace.eventually("answers of all pods", || {
        let records = load.records();
        let answering = records.releases();
        pods.iter()
            .all(|pod| answering.contains(&**pod))
            .then_some(())
    });
}

/// The app exits at once at SIGTERM.
#[test]
fn no_request_is_lost_in_rolling_updates() {
    let shop = Shop::documented();
    shop.wait_until_served();
    let rollouts = soak_or(20, 4);
    let load = shop.edge.load(ENDPOINT, &Client::MIX);
    for _ in 0..rollouts {
        wait_for_answers(&shop, &load);
        shop.namespace
            .kubectl(&["rollout", "restart", "deployment/shop"]);
        shop.wait_until_ready(REPLICAS);
    }
    wait_for_answers(&shop, &load);
    let answering = load.records().releases().len();
    assert_eq!(answering, (1 + rollouts) * REPLICAS);
    assert_no_request_failed(load);
}

/// Lets `end` end a pod, waits until all is as before, and returns the name of the pod.
fn replace_one(shop: &Shop, load: &Load, end: impl FnOnce(&str)) -> String {
    wait_for_answers(shop, load);
    let pod = shop.pods().remove(0);
    let agent = shop.edge.wait_for_connected(&format!("pod={pod}"));
    end(&pod);
    shop.edge.wait_for_gone(agent);
    shop.wait_until_ready(REPLICAS);
    wait_for_answers(shop, load);
    pod
}

#[test]
fn no_request_is_lost_if_a_pod_is_evicted_or_deleted() {
    let shop = Shop::documented();
    shop.wait_until_served();
    let load = shop.edge.load(ENDPOINT, &Client::MIX);
    replace_one(&shop, &load, |pod| shop.namespace.evict(pod));
    replace_one(&shop, &load, |pod| {
        shop.namespace
            .kubectl(&["delete", "pod", pod, "--wait=false"]);
    });
    assert_no_request_failed(load);
}

/// It leaves a second, in which a busy node may not even have started the preStop hook.
#[test]
fn forced_delete_loses_at_most_what_its_pod_has_in_flight() {
    let shop = Shop::documented();
    shop.wait_until_served();
    let load = shop.edge.load(ENDPOINT, &Client::MIX);
    let deleted = replace_one(&shop, &load, |pod| {
        shop.namespace
            .kubectl(&["delete", "pod", pod, "--force", "--grace-period", "0"]);
    });
    let records = load.stop();
    assert!(records.failed().count() <= Client::MIX.len());
    for record in records.failed() {
        let pod = record.release.as_deref().unwrap_or(&deleted);
        assert_eq!(pod, deleted, "{record:#?}");
    }
}

/// No app is restarted for it, and the rollout does not go on with pods that have no agent.
#[test]
fn pods_are_not_ready_while_the_edge_is_down_and_a_rollout_stops() {
    let Shop { namespace, edge } = Shop::documented();
    drop(edge);
    let app = |pod: &Value| pod["status"]["containerStatuses"][0].clone();
    namespace.eventually("pods that are not ready", || {
        let mut pods = namespace.pods().into_iter();
        pods.all(|pod| app(&pod)["ready"] == false).then_some(())
    });
    namespace.kubectl(&["rollout", "restart", "deployment/shop"]);
    namespace.eventually("a new pod that has tried to connect", || {
        let logs = ["logs", "--selector", "app=shop", "--tail", "-1", "--prefix"];
        // It fails until the new pod's container runs.
        let (_, logs, _) = namespace.try_kubectl(&logs);
        let tried = logs
            .lines()
            .filter(|line| line.contains("The agent exited with status 1"));
        let pods: BTreeSet<&str> = tried.filter_map(|line| line.split('/').nth(1)).collect();
        (pods.len() == REPLICAS + 1).then_some(())
    });
    let pods = namespace.pods();
    assert_eq!(pods.len(), REPLICAS + 1);
    for pod in pods {
        assert_eq!(app(&pod)["ready"], false, "{pod:#}");
        assert_eq!(app(&pod)["restartCount"], 0, "{pod:#}");
    }
}
