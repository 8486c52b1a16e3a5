//! Jobs with the same Secret as the app.

use serde_json::{Value, json};

use crate::shop::{Shop, remove_hooks};

/// The pod of a job has no terminal. The first job has a process type, and the second one hides it.
#[test]
fn job_keeps_its_exit_status_and_output() {
    let mut pod = Value::Null;
    let shop = Shop::with(|objects| pod = objects.pod().clone());
    pod["restartPolicy"] = json!("Never");
    let container = &mut pod["containers"][0];
    remove_hooks(container);
    container["env"] = json!([]);
    for (name, command) in [
        ("type", json!(["task"])),
        (
            "command",
            json!(["launcher", "--", "sh", "-c", "echo done; exit 7"]),
        ),
    ] {
        pod["containers"][0]["command"] = command;
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        });
        shop.namespace.apply(&job.to_string());
        let of_job = ["get", "pods", "--selector", &format!("job-name={name}")];
        let code = "jsonpath={.items[*].status.containerStatuses[0].state.terminated.exitCode}";
        let code = shop.namespace.eventually("the end of the job", || {
            let code = [&of_job, &["--output", code][..]].concat();
            let code = shop.namespace.kubectl(&code);
            (!code.is_empty()).then_some(code)
        });
        assert_eq!(code, "7");
        let log = shop.namespace.kubectl(&["logs", &format!("job/{name}")]);
        assert_eq!(log, "done\n");
    }
}
