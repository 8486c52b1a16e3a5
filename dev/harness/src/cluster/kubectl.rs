//! The cluster, by Kubernetes' own command line.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::command;
use crate::containers::test_env;

/// How long any one command may take: the end of a namespace with pods on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// Runs a command of kubectl that may fail, and returns its exit code, stdout and stderr.
#[track_caller]
pub(super) fn try_kubectl(arguments: &[&str]) -> (Option<i32>, String, String) {
    let (status, stdout, stderr) =
        command::run_apart(Command::new("kubectl").args(arguments), DEADLINE);
    (status.code(), stdout, stderr)
}

/// Runs a command of kubectl, and returns its stdout.
///
/// # Panics
///
/// When it fails.
#[track_caller]
pub(super) fn kubectl(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = try_kubectl(arguments);
    assert_eq!(code, Some(0), "kubectl {arguments:?} failed: {stderr}");
    stdout
}

/// Runs a command of kubectl on the file that it gets as its last argument.
#[track_caller]
pub(super) fn kubectl_with_file(arguments: &[&str], content: &str) -> String {
    let directory = test_env().new_directory();
    let path = directory.path().join("objects");
    fs::write(&path, content).unwrap();
    let path = path.to_str().expect("its path is plain");
    kubectl(&[arguments, &["--filename", path]].concat())
}
