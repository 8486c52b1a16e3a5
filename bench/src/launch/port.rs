//! Ports for apps to listen on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

/// A port of 127.0.0.1 that is taken, but on which nothing listens: so nobody else gets it before the app listens.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) socket: OwnedFd,
}

impl Port {
    /// Takes any port that is free.
    pub(super) fn take() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self {
            number: address.port(),
            socket,
        })
    }
}
