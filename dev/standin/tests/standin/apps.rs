//! The sample app: start, closed listener and end.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{App, bounded};

#[test]
fn app_listens_late_if_told_to() {
    bounded(async {
        let start = Instant::now();
        let _app = App::start(&["--listen-after", "200"]).await;
        assert!(start.elapsed() >= Duration::from_millis(200));
    });
}

#[test]
fn app_that_ends_answers_whoever_has_connected() {
    // A connection that comes just as the listener is closed is rare: here, hundreds are made
    // around each end.
    const CLIENTS: usize = 2;
    const ROUNDS: usize = 10;
    const MOST: usize = 400;
    /// Connects again and again until the app accepts no connection, and asks by each connection.
    fn connect(address: SocketAddr) -> Vec<std::net::TcpStream> {
        let timeout = Duration::from_millis(300);
        let connect = || {
            thread::sleep(Duration::from_micros(20));
            let mut stream = std::net::TcpStream::connect_timeout(&address, timeout).ok()?;
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
                let outcome = stream.read_to_string(&mut answer);
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{outcome:?}");
            }
        }
    });
}
