//! Who asks the supervisor how the agent is: they connect to its lock, which is its standard input.

use crate::supervisor::Moment;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// The queue of clients, as long as the lock is held.
#[derive(Debug)]
pub(crate) struct Clients {
    holds_lock: bool,
    /// Until when nobody is taken from the queue: it would wake the supervisor again and again, as it holds somebody who cannot be
    /// taken, or as it is filled as fast as it is emptied.
    deaf_until: Option<Moment>,
}

impl Clients {
    /// The queue at standard input, if that is the lock.
    pub(crate) fn of_lock(has_lock: bool) -> Self {
        let holds_lock =
            has_lock && rustix::io::ioctl_fionbio(rustix::stdio::stdin(), true).is_ok();
        Self {
            holds_lock,
            deaf_until: None,
        }
    }

    /// What becomes readable when somebody comes.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'static>> {
        (self.holds_lock && self.deaf_until.is_none()).then(rustix::stdio::stdin)
    }

    /// When to ask for the next one without being told that there is one.
    pub(crate) fn wake(&self) -> Option<Moment> {
        self.deaf_until.filter(|_| self.holds_lock)
    }

    /// The next one, if there is one. After an error, such as that no descriptor is left, nobody is asked for until `pause` is over.
    pub(crate) fn next(&mut self, now: Moment, pause: Duration) -> Option<OwnedFd> {
        if !self.holds_lock || self.deaf_until.is_some_and(|until| now < until) {
            return None;
        }
        self.deaf_until = None;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::accept_with(rustix::stdio::stdin(), flags) {
            Ok(client) => Some(client),
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(_) => {
                self.deaf_until = Some(now + pause);
                None
            }
        }
    }

    /// Leaves the others in the queue until a moment.
    pub(crate) fn pause_until(&mut self, until: Moment) {
        self.deaf_until = Some(until);
    }

    /// Makes the lock standard input, and lets the mark go that was there. Returns whether that is possible.
    pub(crate) fn take_lock(&mut self, lock: &OwnedFd) -> bool {
        let is_taken = rustix::stdio::dup2_stdin(lock).is_ok();
        *self = Self::of_lock(is_taken);
        is_taken
    }

    /// Lets the lock go, for a mark if there is one.
    pub(crate) fn release_lock(&mut self, mark: Option<OwnedFd>) {
        self.holds_lock = false;
        let _kept_if_it_fails =
            match mark.or_else(|| File::open("/dev/null").ok().map(OwnedFd::from)) {
                Some(other) => rustix::stdio::dup2_stdin(&other),
                // Something that is open already, where no descriptor is left.
                None => rustix::stdio::dup2_stdin(rustix::stdio::stderr()),
            };
    }
}
