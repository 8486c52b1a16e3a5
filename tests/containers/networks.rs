//! Containers that share a network, and targets in other containers.

use crate::served::{STATUS, Served, edge, image};
use crate::subjects::ENDPOINT;
use crate::support::{Container, Edge, Network, Run, TOKEN};

/// The lock against second agents is as wide as the network, and a target in it is one by its port.
#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
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

/// An app without an agent, which others can reach at this name.
fn remote_app(adjust: impl FnOnce(Run) -> Run) -> Container {
    let app =
        image()
            .process("launcher")
            .command(["--", "./sample-app", "--listen", "0.0.0.0:8080"]);
    adjust(app).start()
}

/// A process that has an agent for an app at this address, and is none itself.
fn messenger(edge: &Edge, target: &str) -> Run {
    image()
        .process("worker")
        .connect(edge)
        .env("PORT", "")
        .env("BACKPLANE_PROCESS_ALLOW", "worker")
        .env("BACKPLANE_PROXY_URL", target)
        .env("BACKPLANE_LOG", "debug")
}

/// Docker's own name server, 127.0.0.11, knows the containers of a network by their names, and denies all others.
#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn target_is_another_container_by_its_name() {
    let (edge, network) = (edge(), Network::new());
    let messenger = messenger(&edge, "http://app:8080")
        .options(["--network", &network.name])
        .start();
    messenger.wait_for_stdout("working\n");
    let (code, servers, _) = messenger.exec(&["cat", "/etc/resolv.conf"]);
    assert_eq!(code, Some(0));
    assert!(servers.contains("nameserver 127.0.0.11"), "{servers}");
    // The name is unknown so far.
    let (code, status, _) = messenger.exec(&[STATUS]);
    assert_eq!(code, Some(1), "{status}");
    assert!(
        status.contains("The agent is waiting for the app"),
        "{status}"
    );

    let app = remote_app(|app| app.options(["--network", &network.name, "--network-alias", "app"]));
    app.wait_for_stdout("listening 0.0.0.0:8080");
    edge.wait_for_status(ENDPOINT, 200);
    let (code, status, _) = messenger.exec(&[STATUS]);
    assert_eq!(code, Some(0), "{status}");
    assert!(app.our_lines().is_empty(), "{:?}", app.our_lines());
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn target_is_another_container_by_a_name_that_was_added() {
    let edge = edge();
    let app = remote_app(|app| app);
    app.wait_for_stdout("listening 0.0.0.0:8080");
    let address = app.inspect("{{.NetworkSettings.IPAddress}}");
    let messenger = messenger(&edge, "http://app.internal:8080")
        .options(["--add-host", &format!("app.internal:{address}")])
        .start();
    messenger.eventually("an answer", || {
        (edge.get(ENDPOINT, "/") == 200).then_some(())
    });
}
