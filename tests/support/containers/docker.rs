//! The engine, by Docker's own command line.

use super::command;
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

/// How long any one command may take: `docker save` of a big image on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// Runs a command of docker and gives what it wrote to stdout, without the line's end.
///
/// # Panics
///
/// When it fails.
#[track_caller]
pub(super) fn docker(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let mut command = Command::new("docker");
    command.args(arguments);
    let (status, stdout, stderr) = command::run_apart(&mut command, DEADLINE);
    assert!(status.success(), "{command:?} failed ({status}): {stderr}");
    stdout.trim_end().to_owned()
}

/// Runs a command of docker that may fail, and gives its exit code, what it wrote to stdout, and what it wrote to stderr.
#[track_caller]
pub(super) fn try_docker(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> (Option<i32>, String, String) {
    let (status, stdout, stderr) =
        command::run_apart(Command::new("docker").args(arguments), DEADLINE);
    (status.code(), stdout, stderr)
}

/// The address of the machine for containers: where to listen for them.
pub(super) fn gateway() -> String {
    docker([
        "network",
        "inspect",
        "bridge",
        "--format",
        "{{(index .IPAM.Config 0).Gateway}}",
    ])
}
