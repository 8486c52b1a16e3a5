//! The clients of a supervisor, which connect to its lock: that is its standard input.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::limits::{self, Moment};

/// The queue of clients, as long as the lock is held.
#[derive(Debug)]
pub(crate) struct Clients {
    holds_lock: bool,
    /// Until when no client is accepted: the queue would wake the supervisor again and again,
    /// because it holds one that cannot be accepted, or fills as fast as it is emptied.
    accept_paused_until: Option<Moment>,
}

impl Clients {
    /// The queue at standard input, if that is the lock.
    pub(crate) fn of_lock(has_lock: bool) -> Self {
        let holds_lock =
            has_lock && rustix::io::ioctl_fionbio(rustix::stdio::stdin(), true).is_ok();
        Self {
            holds_lock,
            accept_paused_until: None,
        }
    }

    /// A descriptor that becomes readable when a client connects.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'static>> {
        (self.holds_lock && self.accept_paused_until.is_none()).then(rustix::stdio::stdin)
    }

    /// When to accept the next one even if the descriptor is not readable.
    pub(crate) fn wake(&self) -> Option<Moment> {
        self.accept_paused_until.filter(|_| self.holds_lock)
    }

    /// The next client. After an error, such as that no descriptor is left, none is accepted for
    /// some time.
    pub(crate) fn next(&mut self, now: Moment) -> Option<OwnedFd> {
        if !self.holds_lock || self.accept_paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.accept_paused_until = None;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::accept_with(rustix::stdio::stdin(), flags) {
            Ok(client) => Some(client),
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(_) => {
                self.stop_accepting(now + limits::POLL_INTERVAL);
                None
            }
        }
    }

    /// Leaves the other clients in the queue until then.
    pub(crate) fn stop_accepting(&mut self, until: Moment) {
        self.accept_paused_until = Some(until);
    }

    /// Makes the lock standard input instead of the mark. Returns whether that is possible.
    pub(crate) fn take_lock(&mut self, lock: &OwnedFd) -> bool {
        let is_taken = rustix::stdio::dup2_stdin(lock).is_ok();
        *self = Self::of_lock(is_taken);
        is_taken
    }

    /// Releases the lock, and makes the mark standard input if there is one.
    pub(crate) fn release_lock(&mut self, mark: Option<OwnedFd>) {
        self.holds_lock = false;
        // It is kept if that fails.
        let _ = match mark.or_else(|| File::open("/dev/null").ok().map(OwnedFd::from)) {
            Some(other) => rustix::stdio::dup2_stdin(&other),
            // A file that is open already, if no descriptor is left.
            None => rustix::stdio::dup2_stdin(rustix::stdio::stderr()),
        };
    }
}
