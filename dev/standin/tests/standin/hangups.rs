//! Clients that hang up early.
//!
//! The agent's connection carries the requests of all clients, and HTTP/2 libraries end a
//! connection with many resets, as hostile peers cause them.

use http_body_util::{BodyExt as _, Empty};
use hyper::StatusCode;
use hyper::body::Bytes;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{World, bounded, request, send};

const AT_ONCE: usize = 100;

/// Asserts that the connection that there was from the start still serves.
async fn assert_connected(world: &World) {
    let request = request("GET", "/", Empty::<Bytes>::new());
    assert_eq!(send(world.public, request).await.status(), StatusCode::OK);
    let log = world.edge.log();
    assert!(!log.iter().any(|line| line.contains("is gone")), "{log:?}");
}

/// Starts an app whose answers never end, and returns its URL.
async fn endless_app() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = client.read(&mut [0; 4096]).await;
                let mut is_open = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok();
                while is_open {
                    is_open = client.write_all(&vec![0; 64 * 1024]).await.is_ok();
                }
            });
        }
    });
    url
}

#[test]
fn answers_given_up_in_the_middle_leave_the_agent_connected() {
    const ROUNDS: usize = 20;
    bounded(async {
        let world = World::start().await;
        let _agent = world.agent_for("app=web", &endless_app().await).await;
        world.route("app=web").await;
        for _ in 0..ROUNDS {
            let mut answers = JoinSet::new();
            for _ in 0..AT_ONCE {
                let request = request("GET", "/", Empty::<Bytes>::new());
                answers.spawn(async move {
                    let mut body = send(world.public, request).await.into_body();
                    assert!(body.frame().await.unwrap().unwrap().is_data());
                    body
                });
            }
            drop(answers.join_all().await);
        }
        assert_connected(&world).await;
    });
}

#[test]
fn requests_given_up_before_the_agent_sees_them_leave_it_connected() {
    const ROUNDS: usize = 5;
    bounded(async {
        let (world, _app, agent) = World::with_app().await;
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
            let later = request("GET", "/", Empty::<Bytes>::new());
            let later = tokio::spawn(send(world.public, later));
            tokio::task::yield_now().await;
            agent.signal(Signal::SIGCONT);
            assert_eq!(later.await.unwrap().status(), StatusCode::OK);
        }
        assert_connected(&world).await;
    });
}
