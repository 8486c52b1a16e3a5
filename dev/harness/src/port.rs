//! Ports for apps under test.

use std::iter;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

/// A port of 127.0.0.1 that is taken, but on which nothing listens yet.
///
/// No other process gets the port in between, and the test itself can listen on it as the app.
#[derive(Debug)]
pub struct ReservedPort {
    socket: OwnedFd,
    pub number: u16,
}

impl ReservedPort {
    pub fn reserve() -> Self {
        // Not for the processes that other tests start.
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address: SocketAddr = getsockname(&socket).unwrap().try_into().unwrap();
        Self {
            socket,
            number: address.port(),
        }
    }

    pub fn listen(self) -> TcpListener {
        rustix::net::listen(&self.socket, 128).unwrap();
        self.socket.into()
    }
}

/// A listener on a free port of 127.0.0.1, and the port: with it, the test itself is the app.
pub fn listen() -> (TcpListener, u16) {
    let reserved = ReservedPort::reserve();
    let port = reserved.number;
    (reserved.listen(), port)
}

/// A port for an app that listens by itself.
///
/// It is outside of the range from which the kernel chooses ports (ip(7), `ip_local_port_range`:
/// 32768 and up). Within this test program it is returned once; a bind shows that no other program
/// has it.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two test programs at the same time start far from one another.
    let offset =
        u16::try_from(std::process::id() * 101 % u32::from(COUNT)).expect("it is below COUNT");
    iter::repeat_with(|| FIRST + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .take(COUNT.into())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("there is a free port")
}
