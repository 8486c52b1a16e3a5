//! Signals to the supervisor, which are read from a descriptor, so that none kills it before the app
//! has exited.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals to this process, blocked and read one by one.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

/// Keeps these signals from ending this process. The processes that it starts inherit that.
pub(crate) fn block(signals: &SigSet) {
    let _ = signals.thread_block(); // It never fails with a valid set.
}

impl Signals {
    /// Takes all signals from now on.
    ///
    /// # Errors
    ///
    /// The error of signalfd(2).
    pub(crate) fn take() -> Result<Self, Errno> {
        let all = SigSet::all();
        block(&all);
        SignalFd::with_flags(&all, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map(Self)
    }

    /// Reads all that have come, and returns whether SIGTERM is among them. SIGINT of a terminal,
    /// SIGHUP of its end and all others are meant for the app.
    pub(crate) fn read(&self) -> bool {
        let mut shutdown_requested = false;
        while let Ok(Some(signal)) = self.0.read_signal() {
            shutdown_requested |= i32::try_from(signal.ssi_signo) == Ok(Signal::SIGTERM as i32);
        }
        shutdown_requested
    }
}

impl AsFd for Signals {
    /// What becomes readable when a signal comes.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
