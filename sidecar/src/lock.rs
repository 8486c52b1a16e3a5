//! The lock that makes one supervisor for each app: the one that holds it runs the agent. Each of
//! the others, which stand by, has a mark.
//!
//! The lock is a listening abstract Unix socket (unix(7)): it ends with its last holder in
//! any case, needs no file system, and is as wide as the network namespace, as the app's port is.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use nix::sys::socket::{self, sockopt::PeerCredentials};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{self, Pid, Uid};

use crate::random;
use crate::upstream::Upstream;

/// Why the lock was not taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another supervisor has it.
    Held,
    /// The kernel refuses to make such a socket.
    Refused(io::Error),
}

/// What a lock is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LockName {
    /// The sidecar's.
    pub(crate) sidecar: &'static str,
    /// The app's, `host:port`.
    pub(crate) address: String,
}

impl LockName {
    /// The lock of a sidecar for the app at this address.
    pub(crate) fn new(sidecar: &'static str, upstream: &Upstream) -> Self {
        Self {
            sidecar,
            address: upstream.address(),
        }
    }

    fn socket(&self) -> String {
        format!("{}/{}", self.sidecar, self.address)
    }

    /// Not a prefix of the lock's own name: a supervisor that stands by answers no client.
    fn mark_prefix(&self) -> String {
        format!("{}-stand-by/{}/", self.sidecar, self.address)
    }
}

/// Takes a lock.
pub(crate) fn acquire(name: &LockName) -> Result<OwnedFd, LockError> {
    let listener = SocketAddr::from_abstract_name(name.socket())
        .and_then(|address| UnixListener::bind_addr(&address))
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => LockError::Held,
            _ => LockError::Refused(error),
        })?;
    Ok(OwnedFd::from(listener))
}

/// Shows the holder of a lock that another supervisor waits for it: a socket with its own name.
/// `None` if the kernel refuses to make one.
pub(crate) fn mark(name: &LockName) -> Option<OwnedFd> {
    let prefix = name.mark_prefix();
    let mark = format!("{prefix}{}-{}", std::process::id(), random::draw());
    let address = SocketAddr::from_abstract_name(mark).ok()?;
    UnixListener::bind_addr(&address).ok().map(OwnedFd::from)
}

/// Whether a supervisor waits for a lock, as far as `/proc/net/unix` (`unix(7)`) shows.
pub(crate) fn is_marked(name: &LockName) -> bool {
    let prefix = format!("@{}", name.mark_prefix());
    fs::read("/proc/net/unix").is_ok_and(|table| {
        String::from_utf8_lossy(&table).lines().any(|line| {
            let name = line.split_ascii_whitespace().nth(7);
            name.is_some_and(|name| name.starts_with(&prefix))
        })
    })
}

/// What a client wants of the holder of a lock. It is part of the name of the client's socket, so
/// that the holder knows it without reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// A report. The client's socket has no name.
    Status,
    /// That the agent ends, whichever process of the container asks for it.
    Drain,
    /// That the agent ends, for the program that runs the app as its child.
    Run,
}

impl Purpose {
    const NAMED: [(Self, &'static str); 2] = [(Self::Drain, "drain"), (Self::Run, "run")];

    fn prefix(sidecar: &str, word: &str) -> String {
        format!("{sidecar}-{word}/")
    }

    fn keyword(self) -> Option<&'static str> {
        let mut named = Self::NAMED.into_iter();
        named.find_map(|(purpose, word)| (purpose == self).then_some(word))
    }

    /// What the client at the other end of a connection wants.
    pub(crate) fn of(client: &UnixStream, sidecar: &str) -> Self {
        let address = client.peer_addr().ok();
        let name = address.as_ref().and_then(SocketAddr::as_abstract_name);
        let mut named = Self::NAMED.into_iter();
        named
            .find(|(_, word)| {
                name.is_some_and(|name| name.starts_with(Self::prefix(sidecar, word).as_bytes()))
            })
            .map_or(Self::Status, |(purpose, _)| purpose)
    }
}

/// Connects to the holder of a lock.
///
/// # Errors
///
/// `AGAIN` if the holder's queue of clients stays full until the timeout: connect(2) waits for room
/// in it, no longer than `SO_SNDTIMEO`.
pub(crate) fn connect(
    name: &LockName,
    purpose: Purpose,
    timeout: Duration,
) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new_abstract_name(name.socket().as_bytes())?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    if let Some(word) = purpose.keyword() {
        let own = format!("{}{}", Purpose::prefix(name.sidecar, word), random::draw());
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(own.as_bytes())?)?;
    }
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(timeout))?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// The process at the other end of a connection: the one that connected, or that took the lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Peer {
    pub(crate) user: Uid,
    /// `None` for a process of another PID namespace.
    pub(crate) pid: Option<Pid>,
}

/// Whose the other end of a connection is. `None` if the kernel does not tell.
pub(crate) fn peer(connection: impl AsFd) -> Option<Peer> {
    // By nix, as rustix's credentials cannot be those of a process of another pid namespace, whose
    // pid is 0 here.
    let credentials = socket::getsockopt(&connection, PeerCredentials).ok()?;
    Some(Peer {
        user: Uid::from_raw(credentials.uid()),
        pid: Pid::from_raw(credentials.pid()),
    })
}

/// Whether this process trusts a user, in asking and in answering: its own user and root.
pub(crate) fn is_trusted(user: Uid) -> bool {
    user == process::geteuid() || user.is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u32) -> LockName {
        LockName {
            sidecar: "sidecar-test",
            address: format!("{}:{number}", std::process::id()),
        }
    }

    #[test]
    fn lock_has_one_holder_and_ends_with_it() {
        let name = numbered(1);
        let lock = acquire(&name).unwrap();
        assert!(matches!(acquire(&name), Err(LockError::Held)));
        let other = acquire(&numbered(10)).unwrap();
        let copy = lock.try_clone().unwrap();
        drop(lock);
        // By its copy.
        assert!(matches!(acquire(&name), Err(LockError::Held)));
        drop(copy);
        drop(acquire(&name).unwrap());
        drop(other);
    }

    #[test]
    fn marks_of_a_lock_are_seen_as_long_as_they_exist() {
        let name = numbered(4);
        assert!(!is_marked(&name));
        let first = mark(&name).unwrap();
        let second = mark(&name).unwrap();
        assert!(is_marked(&name));
        assert!(!is_marked(&numbered(10)));
        drop(first);
        assert!(is_marked(&name));
        drop(second);
        let _of_another_port = mark(&numbered(40)).unwrap();
        assert!(!is_marked(&name));
        // The lock itself does not count as one.
        let _lock = acquire(&name).unwrap();
        assert!(!is_marked(&name));
    }

    #[test]
    fn holder_knows_what_a_client_wants_without_reading() {
        let name = numbered(5);
        let lock = UnixListener::from(acquire(&name).unwrap());
        for purpose in [
            Purpose::Drain,
            Purpose::Status,
            Purpose::Run,
            Purpose::Drain,
        ] {
            let _client = connect(&name, purpose, Duration::from_secs(1)).unwrap();
            let (accepted, _) = lock.accept().unwrap();
            assert_eq!(Purpose::of(&accepted, name.sidecar), purpose);
            let of_another = Purpose::of(&accepted, "sidecar");
            assert_eq!(of_another, Purpose::Status);
        }
    }

    #[test]
    fn own_user_and_root_are_trusted_and_no_other() {
        let name = numbered(2);
        let _lock = acquire(&name).unwrap();
        let connection = connect(&name, Purpose::Status, Duration::from_secs(1)).unwrap();
        let Peer { user: own, pid } = peer(&connection).unwrap();
        assert_eq!((own, pid), (process::geteuid(), Some(process::getpid())));
        assert!(is_trusted(own) && is_trusted(Uid::ROOT));
        assert!(!is_trusted(Uid::from_raw(own.as_raw() + 1)));
    }
}
