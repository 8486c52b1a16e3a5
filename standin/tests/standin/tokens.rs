//! Who may connect and route, and what they are told who may not.

use crate::support::{App, ENDPOINT, Program, TOKEN, World, backplane, bounded};
use std::net::SocketAddr;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Runs the agent's program to its end, which must be a failure, and gives its one line.
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

#[test]
fn generated_token_works_as_the_readme_says() {
    bounded(async {
        let world = World::start().await;
        let app = App::start(&[]).await;
        let script = format!(
            "set -eu
             export $(backplane generate env | grep TOKEN)
             backplane route {ENDPOINT} \"some=label\"
             exec backplane connect some=label {}",
            app.url()
        );
        let binaries = std::path::Path::new(env!("CARGO_BIN_EXE_backplane"))
            .parent()
            .unwrap();
        let agent = Program::start(
            Command::new("bash")
                .args(["-c", &script])
                .env("BACKPLANE_EDGE", world.agents.to_string())
                .env("PATH", format!("{}:/usr/bin:/bin", binaries.display()))
                .env_remove("BACKPLANE_TOKEN"),
        );
        let route = agent.printed(ENDPOINT).await;
        assert_eq!(route, " now leads to agents with some=label");
        world.edge.logged("with the labels some=label").await;
        let answer = world.get("/").await;
        assert!(app.greets_in(&answer), "{answer:?}");
    });
}

#[test]
fn agent_says_what_it_lacks() {
    bounded(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = listener.local_addr().unwrap();
        drop(listener);
        let connect = ["connect", "app=web", "http://127.0.0.1:9"];
        for (variable, value, expected) in [
            (
                "BACKPLANE_EDGE",
                "",
                "backplane: BACKPLANE_EDGE is not set; set it to the host:port",
            ),
            (
                "BACKPLANE_TOKEN",
                "",
                "backplane: BACKPLANE_TOKEN is not set; set it to a token",
            ),
            (
                "BACKPLANE_EDGE",
                &nobody.to_string(),
                &format!(
                    "backplane: cannot connect to the edge at {nobody} (BACKPLANE_EDGE): Connection refused"
                ),
            ),
        ] {
            let line = failure(backplane(nobody).args(connect).env(variable, value)).await;
            assert!(line.starts_with(expected), "{line}");
        }
    });
}

#[test]
fn agent_refuses_arguments_that_are_none() {
    bounded(async {
        let edge = SocketAddr::from(([127, 0, 0, 1], 9));
        for (arguments, expected) in [
            (
                &["connect", "web", "http://127.0.0.1:9"][..],
                "the label `web` is not of the form key=value",
            ),
            (
                &["connect", "app=web", "127.0.0.1:9"],
                "write an URL such as http://127.0.0.1:8080",
            ),
            (
                &["route", "http://my.test", "app=web"],
                "`http://my.test` is not a host",
            ),
            (&["route", "my.test", ""], "no label is given"),
        ] {
            let mut program = Program::start(backplane(edge).args(arguments));
            assert_eq!(program.ended().await.code(), Some(2));
            program.logged(expected).await;
        }
    });
}

#[test]
fn stranger_on_the_agent_listener_is_refused_in_its_words() {
    bounded(async {
        let world = World::start().await;
        let mut stranger = TcpStream::connect(world.agents).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 64];
        let read = stranger.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(
            answer.starts_with("{\"refused\":\"what was said is not understood: "),
            "{answer}"
        );
        world.edge.logged("what was said is not understood").await;
    });
}
