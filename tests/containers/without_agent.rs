//! Containers without an agent.

use crate::fixtures::sample_build;
use crate::served_app::{edge, image};

#[test]
fn worker_and_one_off_command_get_no_agent_and_no_word() {
    let edge = edge();
    let worker = image()
        .process("worker")
        .connect(&edge)
        .env("PORT", "")
        .start();
    worker.wait_for_stdout("working\n");
    assert_eq!(worker.stderr(), "");
    assert_eq!(worker.processes(), ["./sample-app worker"]);

    let one_off = image()
        .process("launcher")
        .options(["--tty"])
        .command(["--", "echo", "done"])
        .connect(&edge)
        .start();
    assert_eq!(one_off.wait(), 0);
    assert_eq!(one_off.stdout(), "done\r\n");
}

#[test]
fn image_for_tests_gets_no_agent_in_a_test_run() {
    let image = sample_build().argument("--exec-env=test").run();
    assert_eq!(image.labels()["io.buildpacks.exec-env"], "test");
    let edge = edge();
    let container = image
        .container()
        .connect(&edge)
        .env("CNB_EXEC_ENV", "test")
        .env("BACKPLANE_LOG", "debug")
        .start();
    container.wait_for_stderr("No agent for this process");
    container.wait_for_stdout("listening");
    assert_eq!(container.processes(), ["./sample-app"]);
}
