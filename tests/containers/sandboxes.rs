//! Containers with less than usual: users, rights, processes, memory, programs.

use harness::App;
use harness::containers::{Build, test_env};

use crate::fixtures::sample_build;
use crate::served_app::Served;
use crate::serves::assert_app_supervisor_and_agent;

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
    served.assert_stops();
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
    served.assert_stops();
}

/// The app holds most of the memory, and the agent wants all of it. The kernel would kill the app
/// if the agent had not the higher score.
#[test]
fn agent_that_eats_all_memory_is_killed_and_not_the_app() {
    let app = App::new()
        .process(
            "web",
            "exec perl -e '$| = 1; open $zero, q(</dev/zero); read $zero, $held, 40_000_000; print qq(holds it\\n); \
             open $held_file, q(>/tmp/held); sleep'",
        )
        // After the app has its part: two that grow at once can keep the kernel busy for too long.
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
    // Several times, as each time the app could be killed instead.
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
    served.assert_stops();
}
