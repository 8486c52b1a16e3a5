//! Clients that hang up early, which must not cost the agent its connection: it carries the requests of all clients.
//!
//! HTTP/2 libraries end a connection on which much of this happens, as it is what hostile peers do.

use crate::support::{Program, World, bounded, request, send};
use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::Bytes;
use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const AT_ONCE: usize = 100;

fn assert_connected(edge: &Program) {
    let log = edge.log();
    assert!(!log.iter().any(|line| line.contains("is gone")), "{log:?}");
}

#[test]
fn answers_given_up_in_the_middle_leave_the_agent_connected() {
    const ROUNDS: usize = 30;
    bounded(async {
        let (world, _agent) = World::with_misbehaving_app().await;
        for _ in 0..ROUNDS {
            let mut answers = JoinSet::new();
            for _ in 0..AT_ONCE {
                let request = request("GET", "/endless", Empty::<Bytes>::new());
                answers.spawn(async move {
                    let mut body = send(world.public, request).await.into_body();
                    assert!(body.frame().await.unwrap().unwrap().is_data());
                    body
                });
            }
            drop(answers.join_all().await);
        }
        assert_eq!(world.echo("still there").await.status, StatusCode::OK);
        assert_connected(&world.edge);
    });
}

#[test]
fn requests_given_up_before_the_agent_sees_them_leave_it_connected() {
    const ROUNDS: usize = 5;
    bounded(async {
        let (world, agent) = World::with_misbehaving_app().await;
        for _ in 0..ROUNDS {
            agent.signal(Signal::SIGSTOP);
            let mut clients = Vec::new();
            for _ in 0..AT_ONCE {
                let mut client = TcpStream::connect(world.public).await.unwrap();
                let request = b"GET / HTTP/1.1\r\nHost: myendpoint.test\r\n\r\n";
                client.write_all(request).await.unwrap();
                clients.push(client);
            }
            drop(clients);
            let later = tokio::spawn(send(
                world.public,
                request("GET", "/", Empty::<Bytes>::new()),
            ));
            tokio::task::yield_now().await;
            agent.signal(Signal::SIGCONT);
            assert_eq!(later.await.unwrap().status(), StatusCode::OK);
        }
        assert_connected(&world.edge);
    });
}
