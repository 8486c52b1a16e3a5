//! The sample app: how it starts, stops listening and ends.

use crate::support::{App, Program, bounded, eventually, get, request, send};
use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::Bytes;
use nix::sys::signal::Signal;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn sample_app() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sample-app"))
}

async fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_err()
}

#[test]
fn app_listens_where_it_is_told() {
    bounded(async {
        for (arguments, port, expected) in [
            (&[][..], Some("0"), "127.0.0.1:"),
            (&["--listen", "127.0.0.1:0"], None, "127.0.0.1:"),
            (&["--listen", "[::]:0"], Some("1"), "[::]:"),
        ] {
            let mut command = sample_app();
            command.args(arguments).env_remove("PORT");
            command.envs(port.map(|port| ("PORT", port)));
            let app = Program::start(&mut command);
            let address = app.printed("listening ").await;
            assert!(address.starts_with(expected), "{address}");
        }
        let mut lost = Program::start(sample_app().env_remove("PORT"));
        assert_eq!(lost.ended().await.code(), Some(1));
        lost.logged("PORT is not set to a port").await;
    });
}

/// So that a client can tell replicas from one another, whatever it asks for and even if the answer breaks off.
#[test]
fn every_answer_names_its_process() {
    bounded(async {
        let app = App::start(&[]).await;
        for path in ["/", "/headers", "/slow?ms=0", "/slow", "/nowhere"] {
            let response = send(app.address, request("GET", path, Empty::<Bytes>::new())).await;
            let expected = format!("sample-app (process {})", app.program.id());
            assert_eq!(response.headers()["server"], *expected, "{path}");
        }
    });
}

/// So that a client can tell what a deploy has replaced from what it has brought.
#[test]
fn every_answer_names_its_release_if_it_has_a_name() {
    bounded(async {
        let app = App::start(&["--release", "2.0"]).await;
        let response = send(app.address, request("GET", "/", Empty::<Bytes>::new())).await;
        let expected = format!("sample-app/2.0 (process {})", app.program.id());
        assert_eq!(response.headers()["server"], *expected);
    });
}

#[test]
fn app_listens_late_if_told_to() {
    bounded(async {
        let start = Instant::now();
        let _app = App::start(&["--listen-after", "200"]).await;
        assert!(start.elapsed() >= Duration::from_millis(200));
    });
}

#[test]
fn app_stops_listening_and_listens_again_at_the_same_place() {
    bounded(async {
        let app = App::start(&[]).await;
        let request = request("GET", "/slow?ms=500", Empty::<Bytes>::new());
        let slow = send(app.address, request).await;
        app.close().await;
        assert!(refuses(app.address).await);
        assert_eq!(
            slow.into_body().collect().await.unwrap().to_bytes().len(),
            51
        );
        app.program.signal(Signal::SIGUSR2);
        eventually("the app listens again", async || {
            (!refuses(app.address).await).then_some(())
        })
        .await;
        assert!(app.greets_in(&get(app.address, "/").await));
    });
}

#[test]
fn app_answers_all_that_waits_when_it_is_told_to_end() {
    // As many as the queue of a listener holds, or nearly.
    const WAITING: usize = 100;
    // The app may have taken in all of them before it looks at the signal, but hardly each time.
    const ROUNDS: usize = 5;
    bounded(async {
        for _ in 0..ROUNDS {
            let mut app = App::start(&[]).await;
            app.program.signal(Signal::SIGSTOP);
            let mut clients = Vec::new();
            for _ in 0..WAITING {
                let mut client = TcpStream::connect(app.address).await.unwrap();
                let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
                client.write_all(request).await.unwrap();
                clients.push(client);
            }
            app.program.signal(Signal::SIGTERM);
            app.program.signal(Signal::SIGCONT);
            for mut client in clients {
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            }
            assert_eq!(app.program.ended().await.code(), Some(0));
            app.program
                .logged("SIGTERM: finishing the requests in flight")
                .await;
        }
    });
}

#[test]
fn app_that_ends_answers_whoever_has_connected() {
    // A connection that comes just as the listener is closed is rare: here, hundreds are made around each end.
    const CLIENTS: usize = 2;
    const ROUNDS: usize = 10;
    const MOST: usize = 400;
    /// Connects again and again until the app lets nobody in, and asks by each connection.
    fn connect(address: SocketAddr) -> Vec<std::net::TcpStream> {
        let patience = Duration::from_millis(300);
        let connect = || {
            thread::sleep(Duration::from_micros(20));
            let mut stream = std::net::TcpStream::connect_timeout(&address, patience).ok()?;
            // A failure is seen when there is no answer.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            Some(stream)
        };
        std::iter::from_fn(connect).take(MOST).collect()
    }
    bounded(async {
        for _ in 0..ROUNDS {
            let mut app = App::start(&[]).await;
            let address = app.address;
            let clients = [(); CLIENTS].map(|()| thread::spawn(move || connect(address)));
            app.program.signal(Signal::SIGTERM);
            assert_eq!(app.program.ended().await.code(), Some(0));
            for mut stream in clients
                .into_iter()
                .flat_map(|client| client.join().unwrap())
            {
                let mut answer = String::new();
                let told = stream.read_to_string(&mut answer);
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{told:?}");
            }
        }
    });
}

#[test]
fn app_lives_on_after_its_last_answer_if_told_to() {
    bounded(async {
        let mut app = App::start(&["--linger", "300"]).await;
        let start = Instant::now();
        app.program.signal(Signal::SIGTERM);
        eventually("a closed port", async || {
            refuses(app.address).await.then_some(())
        })
        .await;
        assert_eq!(app.program.ended().await.code(), Some(0));
        assert!(start.elapsed() >= Duration::from_millis(300));
    });
}

#[test]
fn app_ends_with_the_status_that_it_is_told() {
    bounded(async {
        let mut app = App::start(&[]).await;
        let mut client = TcpStream::connect(app.address).await.unwrap();
        let request = b"GET /exit?code=3 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.write_all(request).await.unwrap();
        assert_eq!(app.program.ended().await.code(), Some(3));
    });
}

#[test]
fn app_says_what_it_does_not_have() {
    bounded(async {
        let app = App::start(&[]).await;
        for (path, expected) in [
            ("/nothing", StatusCode::NOT_FOUND),
            ("/slow", StatusCode::BAD_REQUEST),
            ("/exit?code=x", StatusCode::BAD_REQUEST),
        ] {
            assert_eq!(get(app.address, path).await.status, expected, "{path}");
        }
    });
}

#[test]
fn worker_works_until_it_is_told_to_end() {
    bounded(async {
        let mut worker = Program::start(sample_app().arg("worker").env_remove("PORT"));
        worker.printed("working").await;
        worker.signal(Signal::SIGTERM);
        assert_eq!(worker.ended().await.code(), Some(0));
    });
}
