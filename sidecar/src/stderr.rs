//! Standard error, which the app, the supervisor and the agent share.
//!
//! Its reader may have stopped reading, so a line that cannot be written at once is dropped: the
//! app's boot and the agent's restart matter more than the log. What is shared is
//! the open file description (open(2)), its `O_NONBLOCK` included: that of the app is never
//! changed, neither by the supervisor nor by the agent, if the kernel can open another one.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::{self, Errno, IoSlice, ReadWriteFlags};
use rustix::net::{self, SendFlags};
use rustix::{stdio, termios};

/// Makes this process and those that it starts use a description of their own that never waits, if
/// the kernel can open one. If it cannot, [`write()`] avoids waiting by other means.
pub(crate) fn take_own_description() {
    if let Some(own) = open_anew(stdio::stderr()) {
        let _ = stdio::dup2_stderr(&own);
    }
}

/// Standard error for the agent, whose writes may wait, and which may change the flags: a
/// description of its own if the kernel can open one, or else the existing one.
///
/// # Errors
///
/// The error of dup(2): no descriptor is left.
pub(crate) fn for_agent() -> io::Result<OwnedFd> {
    let own = open_anew(stdio::stderr()).filter(|own| {
        fs::fcntl_getfl(own)
            .and_then(|flags| fs::fcntl_setfl(own, flags - OFlags::NONBLOCK))
            .is_ok()
    });
    own.map_or_else(|| io::fcntl_dupfd_cloexec(stdio::stderr(), 0), Ok)
}

/// A new description of the file behind a descriptor, for writing to its end without waiting.
/// `None` if that is not possible or not the same: the kernel cannot reopen a socket; the file may
/// be another user's; and a regular file that is not open for appending has its position in the
/// description, without which one would overwrite what the other has written (`O_NONBLOCK` means
/// nothing to a regular file).
fn open_anew(descriptor: BorrowedFd<'_>) -> Option<OwnedFd> {
    let flags = fs::fcntl_getfl(descriptor).ok()?;
    let is_writable = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
    let is_same = match kind(descriptor)? {
        FileType::Fifo => true,
        FileType::RegularFile => flags.contains(OFlags::APPEND),
        // Not one whose terminal was hung up: it would be open again.
        FileType::CharacterDevice => termios::isatty(descriptor),
        _ => false,
    };
    if !is_writable || !is_same {
        return None;
    }
    let number = descriptor.as_raw_fd();
    // Without NONBLOCK, open(2) itself may wait; without NOCTTY, a terminal becomes that of a
    // session leader.
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    fs::open(format!("/proc/self/fd/{number}"), flags, Mode::empty()).ok()
}

fn kind(descriptor: BorrowedFd<'_>) -> Option<FileType> {
    let stat = fs::fstat(descriptor).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

/// Writes a line if that needs no waiting, and drops it or its rest otherwise.
pub(crate) fn write(line: &[u8]) {
    write_at_once(stdio::stderr(), line);
}

fn write_at_once(descriptor: BorrowedFd<'_>, line: &[u8]) {
    if kind(descriptor) == Some(FileType::Socket) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // A filter may refuse this call, as it is the one for datagrams to other hosts too.
        if net::send(descriptor, line, flags) != Err(Errno::PERM) {
            return;
        }
    }
    let never_waits =
        fs::fcntl_getfl(descriptor).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK));
    if never_waits {
        let _ = io::write(descriptor, line);
        return;
    }
    // RWF_NOWAIT makes this one write non-blocking without changing the description that we share
    // (pwritev2(2); an offset of -1 means an ordinary write). Newer kernels do it for pipes.
    let slice = [IoSlice::new(line)];
    match io::pwritev2(descriptor, &slice, u64::MAX, ReadWriteFlags::NOWAIT) {
        Err(Errno::PIPE | Errno::BADF) | Ok(_) => {}
        // The kernel or the kind of file does not know the flag, or it is a regular file that would
        // have to wait for its disk. A pipe that has been full a moment ago is dropped by `poll`.
        Err(_) => write_where_there_is_room(descriptor, line),
    }
}

/// Writes as much as `poll` reports room for: to a pipe a whole line, to a terminal no more
/// than a byte.
fn write_where_there_is_room(descriptor: BorrowedFd<'_>, line: &[u8]) {
    let piece = if termios::isatty(descriptor) {
        1
    } else {
        line.len().max(1)
    };
    for piece in line.chunks(piece) {
        let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::OUT)];
        let ready = event::poll(&mut descriptors, Some(&Timespec::default()));
        if ready.is_err()
            || !descriptors[0].revents().contains(PollFlags::OUT)
            || io::write(descriptor, piece).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn write_at_once_writes_to_pipe_socket_and_file() {
        let (mut pipe_reader, pipe) = std::io::pipe().unwrap();
        let (mut peer, socket) = UnixStream::pair().unwrap();
        for descriptor in [OwnedFd::from(pipe), OwnedFd::from(socket)] {
            write_at_once(descriptor.as_fd(), b"line\n");
        }
        for reader in [&mut pipe_reader as &mut dyn Read, &mut peer] {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "line\n");
        }

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut options = std::fs::File::options();
        let mut file = options.append(true).create(true).open(&path).unwrap();
        file.write_all(b"zero\n").unwrap();
        write_at_once(file.as_fd(), b"one\n");
        write_at_once(file.as_fd(), b"two\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "zero\none\ntwo\n");
    }

    #[test]
    fn write_at_once_drops_the_line_when_a_pipe_or_socket_is_full() {
        // A write that waited would hang this test.
        let (reader, writer) = std::io::pipe().unwrap();
        let (peer, socket) = UnixStream::pair().unwrap();
        for _ in 0..2_000 {
            write_at_once(writer.as_fd(), &[b'x'; 4096]);
            write_at_once(socket.as_fd(), &[b'x'; 4096]);
        }
        // The readers are gone.
        drop((reader, peer));
        write_at_once(writer.as_fd(), b"x");
        write_at_once(socket.as_fd(), b"x");
    }

    #[test]
    fn description_is_opened_anew_where_it_stays_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let open = |append| {
            let mut options = std::fs::File::options();
            options
                .create(true)
                .append(append)
                .write(true)
                .truncate(false);
            OwnedFd::from(options.open(directory.path().join("log")).unwrap())
        };
        let (_reader, pipe) = std::io::pipe().unwrap();
        let (_peer, socket) = UnixStream::pair().unwrap();
        for (descriptor, expected) in [
            (pipe.into(), true),
            (open(true), true),
            (open(false), false),
            (std::fs::File::open("/proc/self/exe").unwrap().into(), false),
            (OwnedFd::from(socket), false),
        ] {
            let own = open_anew(descriptor.as_fd());
            assert_eq!(own.is_some(), expected, "{descriptor:?}");
            let flags = fs::fcntl_getfl(&descriptor).unwrap();
            assert!(!flags.contains(OFlags::NONBLOCK), "the app's is left alone");
        }
    }

    #[test]
    fn write_at_once_drops_what_a_terminal_has_no_room_for() {
        use rustix::pty::{self, OpenptFlags};
        let reader = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        pty::grantpt(&reader).unwrap();
        pty::unlockpt(&reader).unwrap();
        let path = pty::ptsname(&reader, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let terminal = fs::open(path, flags, Mode::empty()).unwrap();
        // As of a user who may not open it: this description waits.
        let full = open_anew(terminal.as_fd()).unwrap();
        for size in [4096, 1] {
            while io::write(&full, &vec![b'x'; size]).is_ok() {}
        }
        write_at_once(terminal.as_fd(), b"no room at all\n");
        let has_room = || {
            let mut descriptors = [PollFd::new(&terminal, PollFlags::OUT)];
            event::poll(&mut descriptors, Some(&Timespec::default())) == Ok(1)
        };
        while !has_room() {
            io::read(&reader, &mut [0; 1]).unwrap();
        }
        for _ in 0..20 {
            write_at_once(terminal.as_fd(), &[b'y'; 4096]);
        }
    }
}
