//! A terminal, as of an emulator or sshd: a pty(7) whose master the test holds.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// The terminal. It closes when this is dropped: the kernel then sends SIGHUP to the shell and to
/// the job in the foreground.
pub struct Terminal {
    master: OwnedFd,
}

/// A key that sends a signal to the job in the foreground (termios(3), ISIG).
#[derive(Debug, Clone, Copy)]
pub enum Key {
    /// SIGINT.
    CtrlC,
    /// SIGQUIT.
    CtrlBackslash,
    /// SIGTSTP.
    CtrlZ,
}

impl Terminal {
    /// Opens a terminal, and returns it with the end for programs.
    pub(super) fn open() -> (Self, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = open(name, flags, Mode::empty()).unwrap();
        (Self { master }, slave)
    }

    pub fn press(&self, key: Key) {
        let code: u8 = match key {
            Key::CtrlC => 0x03,
            Key::CtrlBackslash => 0x1c,
            Key::CtrlZ => 0x1a,
        };
        assert_eq!(rustix::io::write(&self.master, &[code]), Ok(1));
    }
}
