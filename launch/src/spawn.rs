//! Starting a process where the kernel or a filter knows fewer ways than the C library does.

use rustix::io::Errno;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

/// Starts the command.
///
/// glibc makes processes by clone3(2), and takes the older clone(2) for ENOSYS only; container engines older than the call answer
/// EPERM (<https://github.com/moby/moby/issues/42680>). A group to change to makes the standard library fork(2) instead, which is a
/// clone(2) everywhere; the group is the one that it has already.
///
/// # Errors
///
/// The one of the last way that was tried.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    match command.spawn() {
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            command.gid(rustix::process::getegid().as_raw()).spawn()
        }
        outcome => outcome,
    }
}
