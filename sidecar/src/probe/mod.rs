//! Probes whether the app listens, by asking the kernel. A connection would be a request that the
//! app does not expect, and its backlog would accept it before the app is ready.

mod listener;
mod netlink;
mod proc_net;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::path::Path;

use self::listener::Listener;
use self::netlink::SockDiag;
use crate::log::{Level, Log};
use crate::messages::Message;
use crate::upstream::{Host, Loopback};

/// The loopback address by which the host can be reached through these listeners. IPv4 comes first:
/// containers often have no `::1`.
fn reachable_by(host: &Host, listeners: &[Listener]) -> Option<Loopback> {
    let serves = |address: IpAddr| listeners.iter().any(|listener| listener.serves(address));
    match host {
        Host::Local(address) => serves(*address).then_some(match address {
            IpAddr::V4(_) => Loopback::V4,
            IpAddr::V6(_) => Loopback::V6,
        }),
        Host::Localhost if serves(IpAddr::V4(Ipv4Addr::LOCALHOST)) => Some(Loopback::V4),
        Host::Localhost if serves(IpAddr::V6(Ipv6Addr::LOCALHOST)) => Some(Loopback::V6),
        // The kernel of this host does not know the sockets of others.
        Host::Localhost | Host::Remote(_) => None,
    }
}

/// The cheapest way that the kernel allows to see the listeners of this network namespace.
#[derive(Debug)]
pub(crate) enum PortProbe {
    /// The kernel answers questions over netlink.
    Netlink(SockDiag),
    /// It does not, such as under gVisor, but shows tables.
    ProcNet,
    /// It does neither.
    Unavailable,
}

impl PortProbe {
    pub(crate) fn open(log: Log) -> Self {
        match SockDiag::open() {
            Ok(socket) => Self::Netlink(socket),
            Err(error) => {
                log_netlink_unavailable(&error, log);
                Self::ProcNet
            }
        }
    }

    /// Looks for a listener by which the host can be reached on this port, and returns its address.
    /// If no listener can be seen at all, the app is taken to listen.
    pub(crate) fn probe(&mut self, host: &Host, port: NonZeroU16, log: Log) -> Option<Loopback> {
        loop {
            let found = match self {
                Self::Netlink(socket) => ask(socket, host, port),
                Self::ProcNet => proc_net::listeners(Path::new(PROC_NET), port)
                    .map(|listeners| reachable_by(host, &listeners)),
                Self::Unavailable => Ok(Some(Loopback::default())),
            };
            match found {
                Ok(loopback) => return loopback,
                Err(error) => self.fall_back(&error, log),
            }
        }
    }

    /// The inode numbers of the sockets that take connections to this address of the host. Empty if
    /// they cannot be seen.
    pub(crate) fn inodes(&mut self, host: &Host, loopback: Loopback, port: NonZeroU16) -> Vec<u64> {
        let wanted = match (host, loopback) {
            (Host::Local(address), _) => *address,
            (_, Loopback::V4) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            (_, Loopback::V6) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        let listeners = match self {
            Self::Netlink(socket) => socket.v4_listeners(port).and_then(|mut listeners| {
                listeners.extend(socket.v6_listeners(port)?);
                Ok(listeners)
            }),
            Self::ProcNet => proc_net::listeners(Path::new(PROC_NET), port),
            Self::Unavailable => Ok(Vec::new()),
        };
        listeners
            .unwrap_or_default()
            .into_iter()
            .filter(|listener| listener.serves(wanted))
            .map(|listener| listener.inode)
            .collect()
    }

    fn fall_back(&mut self, error: &io::Error, log: Log) {
        if matches!(self, Self::Netlink(_)) {
            *self = Self::ProcNet;
            log_netlink_unavailable(error, log);
        } else {
            *self = Self::Unavailable;
            let error = error.to_string();
            log.log(Level::Warning, &Message::ProbeUnavailable { error });
        }
    }
}

const PROC_NET: &str = "/proc/net";

/// Asks for IPv6 listeners only if the IPv4 ones do not suffice: most apps have one of those, and
/// are probed every second.
fn ask(socket: &mut SockDiag, host: &Host, port: NonZeroU16) -> io::Result<Option<Loopback>> {
    let mut listeners = socket.v4_listeners(port)?;
    if let Some(loopback @ Loopback::V4) = reachable_by(host, &listeners) {
        return Ok(Some(loopback));
    }
    listeners.extend(socket.v6_listeners(port)?);
    Ok(reachable_by(host, &listeners))
}

fn log_netlink_unavailable(error: &io::Error, log: Log) {
    let error = error.to_string();
    log.log(Level::Debug, &Message::NetlinkUnavailable { error });
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsFd as _;

    use rustix::net::{AddressFamily, SocketAddrV6, SocketType, sockopt};

    use super::*;
    use crate::log::Verbosity;

    fn listener(address: &str) -> Listener {
        // As `ss` writes it: `*` is the dual-stack wildcard.
        Listener {
            address: address.replace('*', "::").parse().unwrap(),
            only_v6: address == "::",
            inode: 1,
        }
    }

    fn local(address: &str) -> Host {
        Host::Local(address.parse().unwrap())
    }

    #[test]
    fn listeners_make_a_host_reachable() {
        use Loopback::{V4, V6};
        for (host, listeners, expected) in [
            (Host::Localhost, &[][..], None),
            (Host::Localhost, &["127.0.0.1"], Some(V4)),
            (Host::Localhost, &["0.0.0.0"], Some(V4)),
            (Host::Localhost, &["*"], Some(V4)),
            (Host::Localhost, &["::ffff:127.0.0.1"], Some(V4)),
            (Host::Localhost, &["::"], Some(V6)),
            (Host::Localhost, &["::1"], Some(V6)),
            (Host::Localhost, &["::1", "127.0.0.1"], Some(V4)),
            (Host::Localhost, &["::", "0.0.0.0"], Some(V4)),
            (Host::Localhost, &["127.0.0.2"], None),
            (Host::Localhost, &["10.0.0.1"], None),
            (Host::Localhost, &["2001:db8::1"], None),
            (local("127.0.0.1"), &["::", "::1"], None),
            (local("127.0.0.1"), &["*"], Some(V4)),
            (local("127.0.0.2"), &["127.0.0.1"], None),
            (local("127.0.0.2"), &["127.0.0.2"], Some(V4)),
            (local("127.0.0.2"), &["0.0.0.0"], Some(V4)),
            (local("::1"), &["0.0.0.0", "127.0.0.1"], None),
            (local("::1"), &["::"], Some(V6)),
            (local("::1"), &["*"], Some(V6)),
            (local("::1"), &["::1"], Some(V6)),
            (Host::Remote("app".to_owned()), &["0.0.0.0", "*"], None),
        ] {
            let sockets: Vec<Listener> =
                listeners.iter().map(|address| listener(address)).collect();
            let found = reachable_by(&host, &sockets);
            assert_eq!(found, expected, "{host:?} by {listeners:?}");
        }
    }

    fn log() -> Log {
        Log::new("test", Verbosity::Quiet)
    }

    fn inode_of(listener: &TcpListener) -> u64 {
        rustix::fs::fstat(listener.as_fd()).unwrap().st_ino
    }

    fn port_of(listener: &TcpListener) -> NonZeroU16 {
        NonZeroU16::new(listener.local_addr().unwrap().port()).unwrap()
    }

    fn by_netlink(socket: &mut SockDiag, port: NonZeroU16) -> Vec<Listener> {
        let mut listeners = socket.v4_listeners(port).unwrap();
        listeners.extend(socket.v6_listeners(port).unwrap());
        listeners
    }

    #[test]
    fn listeners_are_seen_by_netlink_and_in_the_tables_while_they_listen() {
        let mut netlink = SockDiag::open().unwrap();
        let mut on_any_v6 = |only_v6: bool| {
            let socket = rustix::net::socket(AddressFamily::INET6, SocketType::STREAM, None)
                .expect("this test needs IPv6");
            sockopt::set_ipv6_v6only(&socket, only_v6).unwrap();
            rustix::net::bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)).unwrap();
            let listener = TcpListener::from(socket);
            assert_eq!(by_netlink(&mut netlink, port_of(&listener)), [], "not yet");
            rustix::net::listen(&listener, 1).unwrap();
            listener
        };
        for (listener, only_v6) in [
            (on_any_v6(true), true),
            (on_any_v6(false), false),
            (TcpListener::bind("127.0.0.1:0").unwrap(), false),
        ] {
            let port = port_of(&listener);
            let expected = Listener {
                address: listener.local_addr().unwrap().ip(),
                only_v6,
                inode: inode_of(&listener),
            };
            assert_eq!(by_netlink(&mut netlink, port), [expected]);
            // Another address may have a listener on the same port, and the kernel may skip a line
            // of the tables while the listeners of other tests come and go.
            let expected = Listener {
                only_v6: false,
                ..expected
            };
            let tables = || proc_net::listeners(Path::new(PROC_NET), port).unwrap();
            assert!((0..100).any(|_| tables().contains(&expected)));
            drop(listener);
            assert_eq!(by_netlink(&mut netlink, port), []);
        }
    }

    #[test]
    fn inodes_are_of_the_sockets_that_serve_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (inode, port) = (inode_of(&listener), port_of(&listener));
        for mut probe in [PortProbe::open(log()), PortProbe::ProcNet] {
            let mut inodes = |host: &Host, loopback| probe.inodes(host, loopback, port);
            // See above.
            assert!((0..100).any(|_| inodes(&Host::Localhost, Loopback::V4) == [inode]));
            assert!(!inodes(&local("127.0.0.2"), Loopback::V4).contains(&inode));
            assert!(!inodes(&Host::Localhost, Loopback::V6).contains(&inode));
        }
    }

    #[test]
    fn each_way_that_fails_is_replaced_by_the_next_one() {
        let error = io::Error::other("no");
        let mut probe = PortProbe::open(log());
        assert!(matches!(probe, PortProbe::Netlink(_)), "this kernel has it");
        probe.fall_back(&error, log());
        assert!(matches!(probe, PortProbe::ProcNet));
        probe.fall_back(&error, log());
        let port = NonZeroU16::MIN;
        let found = probe.probe(&Host::Localhost, port, log());
        assert_eq!(found, Some(Loopback::V4), "it is taken to listen");
        assert!(
            probe
                .inodes(&Host::Localhost, Loopback::V4, port)
                .is_empty()
        );
    }
}
