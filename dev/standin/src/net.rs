//! Listening for connections.

use crate::log;
use anyhow::{Context as _, Result};
use socket2::{SockFilter, SockRef};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long to wait after a failed accept. The usual failure is that this process has too many
/// files open, which lasts until one of them is closed; without a delay the loop would spin until
/// then.
const ACCEPT_DELAY: Duration = Duration::from_millis(100);

/// Binds a listener, and names the address in the error.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}"))
}

/// Waits for the next connection; a failure is logged, never returned. Can be dropped without
/// losing a connection.
pub(crate) async fn accept(listener: &TcpListener, program: &str) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                send_at_once(&stream);
                return (stream, peer);
            }
            Err(error) => {
                log::line(program, format_args!("cannot accept a connection: {error}"));
                tokio::time::sleep(ACCEPT_DELAY).await;
            }
        }
    }
}

/// Has small writes sent at once rather than collected: a streamed chunk must not wait for the next
/// one.
pub(crate) fn send_at_once(stream: &TcpStream) {
    // It fails only on a connection that is already broken, which the first read or write will
    // report.
    let _ = stream.set_nodelay(true);
}

/// Has the kernel drop each packet that asks this listener for a new connection, by a filter of
/// classic BPF: <https://docs.kernel.org/networking/filter.html>. Connections that are being made
/// are not disturbed.
///
/// # Errors
///
/// If the kernel refuses the filter.
pub(crate) fn ignore_newcomers(listener: &TcpListener) -> io::Result<()> {
    // What a filter on a TCP socket sees begins with the TCP header (RFC 9293, section 3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    // linux/bpf_common.h: BPF_LD | BPF_B | BPF_ABS, BPF_JMP | BPF_JSET | BPF_K, BPF_RET | BPF_K.
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}
