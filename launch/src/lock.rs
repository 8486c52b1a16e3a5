//! One supervisor for each target: whoever holds the lock looks after it.
//!
//! The lock is a listening abstract Unix socket (unix(7)): it ends with its last holder however that ends, needs no file system,
//! and is as wide as the network namespace, as the target's port is.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

/// Why the lock was not taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another supervisor has it.
    Held,
    /// The kernel refuses to make such a socket.
    Refused(io::Error),
}

/// Takes the lock of a place, `host:port`.
pub(crate) fn acquire(place: &str) -> Result<OwnedFd, LockError> {
    let listener = address(place)
        .and_then(|address| UnixListener::bind_addr(&address))
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => LockError::Held,
            _ => LockError::Refused(error),
        })?;
    Ok(OwnedFd::from(listener))
}

/// Connects to the holder of a place's lock.
pub(crate) fn connect(place: &str) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&address(place)?)
}

/// What the abstract names of all locks start with.
pub(crate) const PREFIX: &str = "backplane/";

fn address(place: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("{PREFIX}{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_has_one_holder_and_ends_with_it() {
        let place = format!("test-{}:1", std::process::id());
        let lock = acquire(&place).unwrap();
        assert!(matches!(acquire(&place), Err(LockError::Held)));
        let other = acquire(&format!("{place}0")).unwrap();
        let copy = lock.try_clone().unwrap();
        drop(lock);
        assert!(
            matches!(acquire(&place), Err(LockError::Held)),
            "its copy still holds it"
        );
        drop(copy);
        drop(acquire(&place).unwrap());
        drop(other);
    }

    #[test]
    fn place_that_the_kernel_cannot_name_is_refused() {
        assert!(matches!(
            acquire(&"x".repeat(300)),
            Err(LockError::Refused(_))
        ));
    }
}
