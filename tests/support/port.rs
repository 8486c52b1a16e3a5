//! Ports for apps under test.

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

/// A port of 127.0.0.1 that is taken, but on which nothing listens yet.
///
/// Nobody else gets the port in between, and as far as the kernel's list of listeners goes the test itself can be the app.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    socket: OwnedFd,
    pub(crate) number: u16,
}

impl ReservedPort {
    pub(crate) fn new() -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address: SocketAddr = getsockname(&socket).unwrap().try_into().unwrap();
        Self {
            socket,
            number: address.port(),
        }
    }

    pub(crate) fn listen(self) -> TcpListener {
        listen(&self.socket, 128).unwrap();
        self.socket.into()
    }
}
