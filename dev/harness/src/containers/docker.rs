//! The engine, by Docker's own command line.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use crate::command;

/// How long any one command may take: `docker save` of a big image on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// Runs a command of docker, and returns its stdout without the last newline.
///
/// # Panics
///
/// When it fails.
#[track_caller]
pub fn docker(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let mut command = Command::new("docker");
    command.args(arguments);
    let (status, stdout, stderr) = command::run_apart(&mut command, DEADLINE);
    assert!(status.success(), "{command:?} failed ({status}): {stderr}");
    stdout.trim_end().to_owned()
}

/// Runs a command of docker that may fail, and returns its exit code, stdout and stderr.
#[track_caller]
pub(super) fn try_docker(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> (Option<i32>, String, String) {
    let (status, stdout, stderr) =
        command::run_apart(Command::new("docker").args(arguments), DEADLINE);
    (status.code(), stdout, stderr)
}

/// The address of the machine for containers.
pub(super) fn gateway() -> String {
    let network = docker([
        "network",
        "inspect",
        "bridge",
        "--format",
        "{{with index .IPAM.Config 0}}{{.Gateway}} {{.Subnet}}{{end}}",
    ]);
    let (gateway, subnet) = network
        .split_once(' ')
        .expect("there is a space in between");
    if !gateway.is_empty() {
        return gateway.to_owned();
    }
    // Docker 20.10 leaves it out for a new network. Then it is the first address.
    let (address, _) = subnet.split_once('/').expect("a subnet has a length");
    let address: Ipv4Addr = address.parse().expect("it is an IPv4 network");
    Ipv4Addr::from_bits(address.to_bits() + 1).to_string()
}
