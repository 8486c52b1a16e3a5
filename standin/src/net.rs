//! Listening for connections.

use crate::log;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long to pause after a failed accept. The usual failure is that this process has too many files open, which lasts
/// until one of them is closed; without a pause the loop would spin until then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds a listener, and names the address in the error.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Waits for the next connection; a failure is logged, never returned. Can be dropped without losing a connection.
pub(crate) async fn accept(listener: &TcpListener, program: &str) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                send_at_once(&stream);
                return (stream, peer);
            }
            Err(error) => {
                log::line(program, format_args!("cannot accept a connection: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Has small writes sent at once rather than collected: a streamed chunk must not wait for the next one.
pub(crate) fn send_at_once(stream: &TcpStream) {
    // It fails only on a connection that is already broken, which the first read or write will tell.
    let _ = stream.set_nodelay(true);
}
