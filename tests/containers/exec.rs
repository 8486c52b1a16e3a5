//! Commands in a container that serves: shells, processes, health checks.

use std::time::Duration;

use harness::containers::Container;
use harness::{TOKEN, eventually};

use crate::served_app::{STATUS, Served, image};

/// Each health check is one `docker exec`, once a second: enough for some of them on a busy
/// machine.
const HEALTH_DEADLINE: Duration = Duration::from_secs(40);

#[test]
fn commands_in_a_running_container_get_no_agent_and_leave_nothing() {
    let served = Served::start(|run| run.env("BACKPLANE_LOG", "debug"));
    let container = &served.container;
    let before = container.processes();

    let (code, stdout, stderr) =
        container.exec(&["launcher", "--", "sh", "-c", "echo out; exit 7"]);
    assert_eq!((code, stdout.as_str()), (Some(7), "out\n"), "{stderr}");
    // The same process type for the same target: this one's app finds its port taken.
    let (code, stdout, stderr) = container.exec(&["web"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("[backplane] No second agent"), "{stderr}");
    let (code, stdout, stderr) = container.exec(&["sh", "-c", "echo out"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "out\n"));
    assert_eq!(stderr, "");

    assert_eq!(container.processes(), before);
    let states = container.states();
    assert!(
        !states.iter().any(|state| state.starts_with('Z')),
        "{states:?}"
    );
    assert_eq!(served.edge.connected("some=label"), Some(1));
    served.assert_stops();
}

/// The text and the exit status of each of the container's health checks so far.
fn health_checks(container: &Container) -> Vec<(i64, String)> {
    let log = container.inspect("{{json .State.Health.Log}}");
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    let checks = log.as_array().into_iter().flatten();
    checks
        .map(|check| {
            let output = check["Output"].as_str().unwrap();
            (check["ExitCode"].as_i64().unwrap(), output.to_owned())
        })
        .collect()
}

/// The options of `docker run` for a health check.
const HEALTH: [&str; 10] = [
    "--health-cmd",
    STATUS,
    "--health-interval",
    "500ms",
    "--health-retries",
    "2",
    "--health-timeout",
    "5s",
    "--health-start-period",
    "0s",
];

#[test]
fn status_is_a_health_check() {
    let served = Served::start(|run| run.options(HEALTH));
    let container = &served.container;
    eventually(HEALTH_DEADLINE, "a healthy container", || {
        (container.inspect("{{.State.Health.Status}}") == "healthy").then_some(())
    });
    let (code, last) = health_checks(container).pop().unwrap();
    assert_eq!(code, 0, "{last}");
    assert!(last.contains("The agent is running"), "{last}");
    let (code, stdout, _) = container.exec(&[STATUS, "--json"]);
    assert_eq!(code, Some(0));
    let status: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (
            &status["state"],
            &status["restarts"],
            &status["process_type"]
        ),
        (&"running".into(), &0.into(), &"web".into()),
        "{stdout}"
    );

    // It reports the agent, not the app, which no longer listens.
    container.kill("USR1");
    container.wait_for_stderr("no longer listens");
    assert_eq!(container.exec(&[STATUS]).0, Some(0));
    served.assert_stops();
}

#[test]
fn health_check_distinguishes_waiting_from_unsupervised() {
    for (name, value, status) in [
        // Nothing ever listens there.
        ("BACKPLANE_PROXY_URL", "http://127.0.0.1:9", 1),
        ("BACKPLANE_DISABLED", "true", 2),
    ] {
        let container = image()
            .container()
            .env("BACKPLANE_TOKEN", TOKEN)
            .env("BACKPLANE_LABELS", "some=label")
            .env("PORT", "8080")
            .env(name, value)
            .options(HEALTH)
            .start();
        eventually(HEALTH_DEADLINE, "an unhealthy container", || {
            (container.inspect("{{.State.Health.Status}}") == "unhealthy").then_some(())
        });
        let (code, output) = health_checks(&container).pop().unwrap();
        assert_eq!(code, status, "{output}");
        assert_eq!(container.inspect("{{.State.Running}}"), "true");
    }
}
