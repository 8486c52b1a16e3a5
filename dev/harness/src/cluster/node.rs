//! The node: its images, its processes, and an edge beside its pods.

use std::env;
use std::process::Command;
use std::time::Duration;

use crate::containers::{Image, docker, test_env};
use crate::edge::Edge;
use crate::{command, root};

/// How long a command on the node may take, also an import of an image on a busy machine.
const DEADLINE: Duration = Duration::from_mins(3);

/// The variable of `script/cluster run` with the node's address; see its help.
const ADDRESS: &str = "BACKPLANE_TEST_NODE_ADDRESS";

/// Starts an edge that knows one token, for agents in pods.
pub fn edge(token: &str) -> Edge {
    let address = env::var(ADDRESS).unwrap_or_else(|_| {
        panic!("{ADDRESS} is not set; run these tests by: script/cluster run cargo test --test kubernetes")
    });
    test_env().edge_at(&address, token)
}

/// Makes an image known to the node, and returns its name there.
pub fn import(image: &Image) -> String {
    let name = format!("{}:1", test_env().new_name());
    docker(["tag", &image.id, &name]);
    cluster(&["import", &name]);
    name
}

/// Runs a command in the namespaces of the node, and returns its output.
#[track_caller]
pub fn in_node(words: &[&str]) -> String {
    cluster(&[&["node"], words].concat())
}

#[track_caller]
fn cluster(arguments: &[&str]) -> String {
    let mut command = Command::new(root().join("script/cluster"));
    let (status, output) = command::run(command.args(arguments), DEADLINE);
    assert!(status.success(), "{command:?} failed ({status}): {output}");
    output
}
