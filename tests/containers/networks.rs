//! Containers that share a network, and targets in other containers.

use harness::TOKEN;
use harness::containers::Network;

use crate::fixtures::ENDPOINT;
use crate::served::{STATUS, Served, edge, image};

/// The lock against second agents is as wide as the network, and a target in it is one by its port.
#[test]
fn containers_of_one_network_have_an_agent_each() {
    const OTHER: &str = "other.test";
    let first = Served::start(|run| run);
    first.edge.route(TOKEN, OTHER, "other=label");
    let second = image()
        .container()
        .connect(&first.edge)
        .env("PORT", "8081")
        .env("BACKPLANE_LABELS", "other=label")
        .in_network_of(&first.container)
        .start();
    first.edge.wait_for_status(OTHER, 200);
    assert_eq!(first.edge.get(ENDPOINT, "/"), 200);
    for container in [&first.container, &second] {
        let (code, status, _) = container.exec(&[STATUS]);
        assert_eq!(code, Some(0), "{status}");
        assert_eq!(container.processes().len(), 3);
    }

    second.stop(10);
    assert_eq!(second.wait(), 0, "{}", second.stderr());
    first.edge.wait_for_status(OTHER, 503);
    assert_eq!(first.edge.get(ENDPOINT, "/"), 200);
    first.stop();
}

#[test]
fn agent_for_an_app_in_another_container_starts_at_once() {
    let (edge, network) = (edge(), Network::create());
    let worker = image()
        .process("worker")
        .connect(&edge)
        .env("PORT", "")
        .env("BACKPLANE_PROCESS_ALLOW", "worker")
        .env("BACKPLANE_PROXY_URL", "http://app:8080")
        .options(["--network", &network.name])
        .start();
    edge.wait_for_connected("some=label");
    let (code, status, _) = worker.exec(&[STATUS]);
    assert_eq!(code, Some(0), "{status}");

    let app = image()
        .process("launcher")
        .command(["--", "./sample-app", "--listen", "0.0.0.0:8080"])
        .options(["--network", &network.name, "--network-alias", "app"])
        .start();
    edge.wait_for_status(ENDPOINT, 200);
    assert!(app.our_lines().is_empty(), "{:?}", app.our_lines());
}
