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
use crate::messages::Message;
use crate::upstream::{Host, Loopback};

/// By which loopback address the host can be reached through these listeners, if by any. IPv4 comes
/// first: containers often have no `::1`.
fn reachable_by(host: &Host, listeners: &[Listener]) -> Option<Loopback> {
    let serves = |address: IpAddr| listeners.iter().any(|listener| listener.serves(address));
    match host {
        Host::Local(address) => serves(*address).then_some(match address {
            IpAddr::V4(_) => Loopback::V4,
            IpAddr::V6(_) => Loopback::V6,
        }),
        Host::Localhost if serves(IpAddr::V4(Ipv4Addr::LOCALHOST)) => Some(Loopback::V4),
        Host::Localhost if serves(IpAddr::V6(Ipv6Addr::LOCALHOST)) => Some(Loopback::V6),
        // The kernel of this host knows nothing of others.
        Host::Localhost | Host::Remote(_) => None,
    }
}

/// The cheapest way that the kernel allows to see the listeners of this network namespace.
#[derive(Debug)]
pub(crate) enum PortProbe {
    /// The kernel answers questions over netlink.
    Netlink(SockDiag),
    /// It does not, as under gVisor, but shows tables.
    ProcNet,
    /// It does neither.
    Unavailable,
}

/// What a probe found.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct ProbeResult {
    /// The address by which the app can be reached.
    pub(crate) loopback: Option<Loopback>,
    /// Reported once, when a way to probe turned out not to work.
    pub(crate) problems: Vec<Message>,
}

impl PortProbe {
    pub(crate) fn open() -> (Self, Option<Message>) {
        match SockDiag::open() {
            Ok(socket) => (Self::Netlink(socket), None),
            Err(error) => (Self::ProcNet, Some(netlink_unavailable(&error))),
        }
    }

    /// Looks for a listener by which the host can be reached on this port. Where no listener can be
    /// seen at all, it is taken to be there.
    pub(crate) fn probe(&mut self, host: &Host, port: NonZeroU16) -> ProbeResult {
        let mut problems = Vec::new();
        loop {
            let found = match self {
                Self::Netlink(socket) => ask(socket, host, port),
                Self::ProcNet => proc_net::listeners(Path::new(PROC_NET), port)
                    .map(|listeners| reachable_by(host, &listeners)),
                Self::Unavailable => Ok(Some(Loopback::default())),
            };
            match found {
                Ok(loopback) => return ProbeResult { loopback, problems },
                Err(error) => problems.push(self.fall_back(&error)),
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

    fn fall_back(&mut self, error: &io::Error) -> Message {
        match self {
            Self::Netlink(_) => {
                *self = Self::ProcNet;
                netlink_unavailable(error)
            }
            Self::ProcNet | Self::Unavailable => {
                *self = Self::Unavailable;
                let error = error.to_string();
                Message::ProbeUnavailable { error }
            }
        }
    }
}

const PROC_NET: &str = "/proc/net";

/// Asks for IPv6 listeners only where the IPv4 ones do not suffice: most apps have one of those,
/// and are probed every second.
fn ask(socket: &mut SockDiag, host: &Host, port: NonZeroU16) -> io::Result<Option<Loopback>> {
    let mut listeners = socket.v4_listeners(port)?;
    if let Some(loopback @ Loopback::V4) = reachable_by(host, &listeners) {
        return Ok(Some(loopback));
    }
    listeners.extend(socket.v6_listeners(port)?);
    Ok(reachable_by(host, &listeners))
}

fn netlink_unavailable(error: &io::Error) -> Message {
    let error = error.to_string();
    Message::NetlinkUnavailable { error }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(
                reachable_by(&host, &sockets),
                expected,
                "{host:?} by {listeners:?}"
            );
        }
    }

    #[test]
    fn socket_of_a_listener_is_known_by_each_way_to_probe() {
        use std::os::fd::OwnedFd;
        use std::os::unix::fs::MetadataExt as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = NonZeroU16::new(listener.local_addr().unwrap().port()).unwrap();
        let file = std::fs::File::from(OwnedFd::from(listener));
        let inode = file.metadata().unwrap().ino();
        let (sock_diag, _) = PortProbe::open();
        for mut probe in [sock_diag, PortProbe::ProcNet] {
            // The kernel may pass over a line of the tables while other tests' listeners come and
            // go.
            let mut is_seen = || probe.inodes(&Host::Localhost, Loopback::V4, port) == [inode];
            assert!((0..100).any(|_| is_seen()));
            assert!(
                !probe
                    .inodes(&local("127.0.0.2"), Loopback::V4, port)
                    .contains(&inode)
            );
            assert!(
                !probe
                    .inodes(&Host::Localhost, Loopback::V6, port)
                    .contains(&inode)
            );
        }
        assert_eq!(
            PortProbe::Unavailable.inodes(&Host::Localhost, Loopback::V4, port),
            []
        );
    }

    #[test]
    fn unavailable_probe_takes_the_app_to_listen_and_reports_it_once() {
        let mut probe = PortProbe::ProcNet;
        let error = io::Error::other("no");
        assert!(matches!(
            probe.fall_back(&error),
            Message::ProbeUnavailable { .. }
        ));
        let port = NonZeroU16::new(1).unwrap();
        let found = probe.probe(&Host::Localhost, port);
        assert_eq!(
            found,
            ProbeResult {
                loopback: Some(Loopback::V4),
                problems: Vec::new()
            }
        );
    }

    #[test]
    fn netlink_that_fails_is_replaced_by_tables() {
        let (mut probe, problem) = PortProbe::open();
        assert_eq!(problem, None, "this kernel has netlink");
        let error = io::Error::other("no");
        assert!(matches!(
            probe.fall_back(&error),
            Message::NetlinkUnavailable { .. }
        ));
        assert!(matches!(probe, PortProbe::ProcNet));
    }
}
