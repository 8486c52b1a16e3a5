//! Signals to the supervisor: each becomes something to read, so that none kills it before the app has ended.

use crate::messages::Message;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::Signal;
use std::os::fd::{AsFd as _, BorrowedFd};

/// The signals, if the kernel lets them be read. They are held back in any case.
#[derive(Debug)]
pub(crate) struct Signals(Option<SignalFd>);

/// Keeps these signals from ending this process; the processes that it starts inherit that.
pub(crate) fn block(signals: &SigSet) {
    let _never_refused = signals.thread_block();
}

impl Signals {
    /// Takes all signals from now on, and tells what is wrong if they cannot be read.
    pub(crate) fn take() -> (Self, Option<Message>) {
        let all = SigSet::all();
        block(&all);
        match SignalFd::with_flags(&all, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC) {
            Ok(signals) => (Self(Some(signals)), None),
            Err(error) => {
                let error = std::io::Error::from(error).to_string();
                (Self(None), Some(Message::NoSignals { error }))
            }
        }
    }

    /// What becomes readable when a signal comes.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(|signals| signals.as_fd())
    }

    /// Reads all that have come, and tells whether SIGTERM is among them. SIGINT of a terminal, SIGHUP of its end and all others are
    /// the app's affair.
    pub(crate) fn read(&self) -> bool {
        let mut told_to_end = false;
        while let Some(Ok(Some(signal))) = self.0.as_ref().map(SignalFd::read_signal) {
            told_to_end |= i32::try_from(signal.ssi_signo) == Ok(Signal::TERM.as_raw());
        }
        told_to_end
    }
}
