//! Containers that share a network.

use harness::TOKEN;

use crate::fixtures::ENDPOINT;
use crate::served_app::{STATUS, Served, image};

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
    first.assert_stops();
}
