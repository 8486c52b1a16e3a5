//! Containers with less than usual: users, rights, processes, memory, programs.

use harness::App;
use harness::containers::{Build, test_env};

use crate::fixtures::sample_build;
use crate::served::{Served, image};

/// What runs in a container that serves, process 1 first.
#[track_caller]
fn assert_app_supervisor_and_agent(served: &Served) {
    let processes = served.container.processes();
    assert_eq!(processes.len(), 3, "{processes:#?}");
    assert_eq!(processes[0], "./sample-app");
    assert_eq!(
        processes[2],
        "/layers/backplane_agent/agent/libexec/backplane connect some=label http://127.0.0.1:8080"
    );
}

#[test]
fn default_process_serves() {
    let served = Served::start(|run| run);
    assert_app_supervisor_and_agent(&served);
    // Nobody outside of the container can reach it there.
    assert_eq!(served.container.stdout(), "listening 127.0.0.1:8080\n");
    served.stop();
}

#[test]
fn process_serves_by_its_name() {
    let served = Served::start_run(|edge| image().process("web").connect(edge));
    assert_app_supervisor_and_agent(&served);
    served.stop();
}

#[test]
fn serves_with_all_of_these_at_once() {
    let options = [
        "--init",
        "--read-only",
        "--user",
        "12345:0",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--pids-limit",
        "16",
        "--memory",
        "64m",
    ];
    let served = Served::start(|run| run.options(options));
    served.stop();
}

/// The launcher is a program in Go, whose threads count too while it boots the app.
#[test]
fn serves_within_limits_of_processes_and_memory() {
    let options = [
        "--pids-limit",
        "16",
        "--memory",
        "32m",
        "--memory-swap",
        "32m",
    ];
    let served = Served::start(|run| run.options(options));
    assert_app_supervisor_and_agent(&served);
    assert_eq!(served.container.inspect("{{.State.OOMKilled}}"), "false");
    served.stop();
}

/// An app that holds most of the memory, and an agent that wants all of it: the kernel would take the app, if it were not told otherwise.
#[test]
fn agent_that_eats_all_memory_is_killed_and_not_the_app() {
    let app = App::new()
        .process(
            "web",
            "exec perl -e '$| = 1; open $zero, q(</dev/zero); read $zero, $held, 40_000_000; print qq(holds it\\n); \
             open $told, q(>/tmp/held); sleep'",
        )
        // Not while the app still takes its part: two that grow at once can keep the kernel busy for longer than a test waits.
        .executable(
            "agent",
            "#!/bin/sh\nuntil [ -e /tmp/held ]; do sleep 0.1; done\nexec tail /dev/zero\n",
        );
    let image = Build::new(app).env("BACKPLANE_AGENT_URL", "agent").run();
    let container = image
        .container()
        .env("BACKPLANE_TOKEN", "any")
        .env("BACKPLANE_LABELS", "some=label")
        .env("BACKPLANE_WAIT_FOR_APP", "false")
        .env("PORT", "8080")
        .options(["--memory", "64m", "--memory-swap", "64m"])
        .start();
    // Once more than the first time, as the app could be killed in place of any of them.
    container.eventually("three kills of the agent", || {
        let lines = container.our_lines();
        let kills = lines
            .iter()
            .filter(|line| line.contains("The agent was terminated by SIGKILL."));
        (kills.count() >= 3).then_some(())
    });
    assert_eq!(container.inspect("{{.State.Running}}"), "true");
    assert_eq!(container.stdout(), "holds it\n");
    assert!(container.processes()[0].starts_with("perl -e"));
}

/// Nothing at launch needs a program of the image.
#[test]
fn serves_from_an_image_without_a_shell() {
    let image = sample_build()
        .argument("--run-image")
        .argument(&test_env().run_image_without_shell)
        .run();
    let served = Served::start_run(|edge| {
        // The process types of the tests' builder are lines for a shell.
        image
            .process("launcher")
            .command(["--", "./sample-app"])
            .connect(edge)
            .env("BACKPLANE_PROCESS_TYPE", "web")
    });
    assert_app_supervisor_and_agent(&served);
    let (code, _, stderr) = served.container.exec(&["/bin/sh", "-c", "true"]);
    assert!(matches!(code, Some(126 | 127)), "{code:?}: {stderr}");
    served.stop();
}
