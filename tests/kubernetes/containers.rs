//! Pods of other shapes than the document's, and commands in their containers.

use std::thread;

use serde_json::{Value, json};

use crate::shop::{ENDPOINT, LIBEXEC, Objects, Shop, remove_hooks};

/// What differs from the documented Deployment.
type Difference = fn(&mut Objects);

/// Another container of the pod with its image and rights.
fn beside(objects: &mut Objects, name: &str, command: Value) -> Value {
    let mut container = objects.app().clone();
    remove_hooks(&mut container);
    container["name"] = json!(name);
    container["command"] = command;
    container
}

#[test]
fn pods_of_other_shapes_serve() {
    let shapes: [Difference; 3] = [
        // A user that the image does not know, in little memory.
        |objects| {
            objects.pod()["securityContext"]["runAsUser"] = json!(1_234_567);
            objects.app()["resources"] = json!({"limits": {"memory": "32Mi"}});
        },
        |objects| objects.pod()["hostUsers"] = json!(false),
        // Its processes see each other, below the pod's own process 1.
        |objects| {
            let worker = beside(objects, "worker", json!(["worker"]));
            let mut sidecar = beside(
                objects,
                "sidecar",
                json!(["launcher", "--", "sleep", "1000"]),
            );
            sidecar["restartPolicy"] = json!("Always");
            let pod = objects.pod();
            pod["shareProcessNamespace"] = json!(true);
            pod["initContainers"] = json!([sidecar]);
            // The worker is there first.
            pod["containers"].as_array_mut().unwrap().insert(0, worker);
        },
    ];
    thread::scope(|scope| {
        for shape in shapes {
            scope.spawn(move || {
                let shop = Shop::with(shape);
                shop.wait_until_ready(1);
                shop.wait_until_served();
                let (code, stdout, stderr) = shop.exec(&[&format!("{LIBEXEC}/backplane-drain")]);
                assert_eq!(code, Some(0), "{stdout}{stderr}");
                shop.edge.wait_for_status(ENDPOINT, 503);
                assert_eq!(shop.restarts(), 0);
            });
        }
    });
}

/// The processes of the app's container by their command lines, without those that only ask.
fn processes(shop: &Shop) -> Vec<String> {
    const SCRIPT: &str = r#"for file in /proc/[0-9]*/cmdline; do tr '\0' ' ' <"$file"; echo; done"#;
    let (code, stdout, stderr) = shop.exec(&["bash", "-c", SCRIPT]);
    assert_eq!(code, Some(0), "{stderr}");
    // This listing, and the readiness probe.
    let asks = ["/proc/", "backplane-status", "runc init"];
    let lines = stdout
        .lines()
        .filter(|line| !asks.iter().any(|word| line.contains(word)));
    lines
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn commands_and_debug_containers_start_no_second_agent() {
    let shop = Shop::with(|objects| objects.env("BACKPLANE_LOG", "debug"));
    shop.wait_until_served();
    shop.wait_until_ready(1);
    let pod = shop.pods().remove(0);
    let agent = shop.edge.connected(&format!("pod={pod}"));
    let before = processes(&shop);

    let (code, stdout, stderr) = shop.exec(&["launcher", "--", "sh", "-c", "echo out; exit 7"]);
    assert_eq!((code, &*stdout), (Some(7), "out\n"), "{stderr}");
    // A second process of the app's type finds the port taken, in this container and in another
    // one.
    let (code, stdout, stderr) = shop.exec(&["web"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stderr.contains("[backplane] No second agent"), "{stderr}");
    shop.debug(&pod, &["web"]);
    shop.namespace
        .eventually("the line of the debug container", || {
            let (_, log, _) = shop
                .namespace
                .try_kubectl(&["logs", &pod, "--container", "debug"]);
            log.contains("[backplane] No second agent").then_some(())
        });

    shop.namespace.eventually("the processes of before", || {
        (processes(&shop) == before).then_some(())
    });
    assert_eq!(shop.edge.connected(&format!("pod={pod}")), agent);
}

/// The variables of a process of the app's container.
fn environment(shop: &Shop, pid: &str) -> String {
    let (code, stdout, stderr) = shop.exec(&["cat", &format!("/proc/{pid}/environ")]);
    assert_eq!(code, Some(0), "{stderr}");
    stdout.replace('\0', "\n")
}

#[test]
fn agent_gets_no_links_to_services() {
    let shop = Shop::with(|objects| {
        objects.pod()["enableServiceLinks"] = json!(true);
        objects.deployment["spec"]["replicas"] = json!(0);
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "backplane-frp"},
        "spec": {"ports": [{"port": 7000}], "selector": {"app": "frps"}},
    });
    shop.namespace.apply(&service.to_string());
    shop.namespace
        .kubectl(&["scale", "deployment/shop", "--replicas", "1"]);
    shop.wait_until_ready(1);
    let app = environment(&shop, "1");
    assert!(app.contains("BACKPLANE_FRP_PORT=tcp://"), "{app}");
    let (_, status, _) = shop.exec(&[&format!("{LIBEXEC}/backplane-status"), "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    let agent = environment(&shop, &status["agent_pid"].to_string());
    assert!(agent.contains("BACKPLANE_EDGE="), "{agent}");
    assert!(!agent.contains("BACKPLANE_FRP"), "{agent}");
}

/// They come from outside of the pod, and the app listens on 127.0.0.1.
#[test]
fn probes_over_the_network_do_not_reach_the_app() {
    thread::scope(|scope| {
        for probe in [
            json!({"httpGet": {"path": "/", "port": 8080}}),
            json!({"tcpSocket": {"port": 8080}}),
        ] {
            scope.spawn(move || {
                let shop = Shop::with(|objects| objects.app()["readinessProbe"] = probe);
                shop.wait_until_served();
                shop.namespace.eventually("a failed probe", || {
                    let events = shop.namespace.kubectl(&[
                        "get",
                        "events",
                        "--output",
                        "jsonpath={.items[*].message}",
                    ]);
                    (events.contains("Readiness probe failed")
                        && events.contains("connection refused"))
                    .then_some(())
                });
            });
        }
    });
}
