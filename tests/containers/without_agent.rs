//! Containers without an agent.

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
