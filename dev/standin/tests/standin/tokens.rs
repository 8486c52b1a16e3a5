//! Tokens: connecting and routing without the right one.

use std::process::Command;

use crate::support::{ENDPOINT, Program, TOKEN, World, bounded};

/// Runs the agent's program to its end, which must be a failure, and returns its one line.
async fn failure(command: &mut Command) -> String {
    let mut program = Program::start(command);
    let line = program.logged("").await;
    assert_eq!(program.ended().await.code(), Some(1));
    assert_eq!(program.log(), [&*line]);
    line
}

#[test]
fn wrong_token_is_refused_with_a_line_on_both_sides() {
    bounded(async {
        let world = World::start().await;
        for arguments in [
            ["connect", "app=web", "http://127.0.0.1:9"],
            ["route", ENDPOINT, "app=web"],
        ] {
            let mut command = world.backplane();
            let line = failure(
                command
                    .args(arguments)
                    .env("BACKPLANE_TOKEN", "wrong-token"),
            )
            .await;
            let edge = world.agents;
            let expected = format!(
                "backplane: refused by the edge at {edge}: the token is not known to this edge"
            );
            assert!(line.starts_with(&expected), "{line}");
            let line = world.edge.logged("refused 127.0.0.1:").await;
            assert!(
                line.contains(": the token is not known to this edge"),
                "{line}"
            );
        }
        let log = world.edge.log().join("\n");
        assert!(
            !log.contains("wrong-token") && !log.contains(TOKEN),
            "{log}"
        );
        // The refused route was not stored.
        let answer = world.get("/").await;
        assert!(answer.text.starts_with("No route leads to "), "{answer:?}");
    });
}
