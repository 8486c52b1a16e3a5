//! The owner of the listening socket: a process of the app's tree, or another one.
//!
//! Only what is certain counts. If `/proc` hides a process or its descriptors, nothing is.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::Pid;

use crate::children;

/// Whether a process of the app's tree has one of these sockets open, as `/proc/PID/fd`
/// (`proc_pid_fd(5)`) shows. `None` if that is not certain.
pub(crate) fn has_any(app: Pid, inodes: &[u64]) -> Option<bool> {
    if inodes.is_empty() || inodes.contains(&0) {
        return None;
    }
    let links: Vec<PathBuf> = inodes
        .iter()
        .map(|inode| PathBuf::from(format!("socket:[{inode}]")))
        .collect();
    let mut all_are_seen = true;
    for process in children::tree(app)? {
        match has_open(process, &links) {
            Ok(true) => return Some(true),
            Ok(false) => {}
            // It has ended meanwhile.
            Err(error) if has_gone(&error) => {}
            Err(_) => all_are_seen = false,
        }
    }
    all_are_seen.then_some(false)
}

fn has_open(process: Pid, links: &[PathBuf]) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
        match entry.and_then(|entry| fs::read_link(entry.path())) {
            Ok(link) if links.contains(&link) => return Ok(true),
            Ok(_) => {}
            Err(error) if has_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// A descriptor is closed, or its process has ended.
fn has_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::SRCH)
    )
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use rustix::process;

    use super::*;

    #[test]
    fn socket_is_the_apps_if_any_process_below_it_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = rustix::fs::fstat(&listener).unwrap().st_ino;
        let mut without = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let child = Pid::from_child(&without);
        assert_eq!(has_any(process::getpid(), &[1, own]), Some(true));
        assert_eq!(has_any(child, &[own]), Some(false));
        assert_eq!(has_any(process::getpid(), &[]), None);
        assert_eq!(has_any(process::getpid(), &[0]), None);

        // Two levels down, below a shell that does not have it.
        let script = "exec 3<&0 <&-; sleep 1000 & exec 3<&-; echo ready; wait";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(OwnedFd::from(listener.try_clone().unwrap()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        let tree = children::tree(Pid::from_child(&shell)).unwrap();
        let has_own = has_any(tree[0], &[own]);
        for process in tree.iter().rev() {
            process::kill_process(*process, process::Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
        assert_eq!((tree.len(), has_own), (2, Some(true)));
        drop(without.stdin.take());
        without.wait().unwrap();
        assert_eq!(has_any(child, &[own]), None, "it has exited");
    }
}
