//! A listening TCP socket, as the kernel shows it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A listening TCP socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Listener {
    pub(crate) address: IpAddr,
    /// Whether an IPv6 one takes no IPv4 connections (`IPV6_V6ONLY`, ipv6(7)).
    pub(crate) only_v6: bool,
    /// The number by which `/proc/PID/fd` shows the socket. Zero if the kernel does not report it.
    pub(crate) inode: u64,
}

impl Listener {
    /// Whether it takes connections to this address, one of this host's loopback addresses.
    pub(crate) fn serves(self, wanted: IpAddr) -> bool {
        if self.address.to_canonical() == wanted {
            return true;
        }
        match (self.address, wanted) {
            (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(_))
            | (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(_)) => true,
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(_)) => !self.only_v6,
            _ => false,
        }
    }
}
