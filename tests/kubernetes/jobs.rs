//! Jobs with the same Secret as the app.

use serde_json::json;

use crate::shop::Shop;

/// Their pods have no terminal and their process types may be hidden, as in containers of an app.
#[test]
fn job_keeps_its_exit_status_and_output() {
    let shop = Shop::with(|_| {});
    let deployment = shop
        .namespace
        .kubectl(&["get", "deployment", "shop", "--output", "json"]);
    let deployment: serde_json::Value = serde_json::from_str(&deployment).unwrap();
    for (name, command) in [
        ("type", json!(["task"])),
        (
            "command",
            json!(["launcher", "--", "sh", "-c", "echo done; exit 7"]),
        ),
    ] {
        let mut pod = deployment["spec"]["template"]["spec"].clone();
        pod["restartPolicy"] = json!("Never");
        let container = pod["containers"][0].as_object_mut().unwrap();
        for server_only in ["readinessProbe", "lifecycle"] {
            container.remove(server_only).unwrap();
        }
        container["env"] = json!([]);
        container["command"] = command;
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        });
        shop.namespace.apply(&job.to_string());
        let status = shop.namespace.eventually("the end of the job", || {
            let state = "{.items[*].status.containerStatuses[0].state.terminated.exitCode}";
            let selector = format!("job-name={name}");
            let status = shop.namespace.kubectl(&[
                "get",
                "pods",
                "--selector",
                &selector,
                "--output",
                &format!("jsonpath={state}"),
            ]);
            (!status.is_empty()).then_some(status)
        });
        assert_eq!(status, "7");
        assert_eq!(
            shop.namespace.kubectl(&["logs", &format!("job/{name}")]),
            "done\n"
        );
    }
}
