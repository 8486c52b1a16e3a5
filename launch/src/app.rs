//! The app: the process that the exec.d program's parent is, or is about to become.

use crate::orders::AppReference;
use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{self, Pid, PidfdFlags};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

/// A hold on the app that no reuse of its pid can fool, if the kernel gives one.
#[derive(Debug)]
pub(crate) struct AppHold {
    /// What the supervisor is told.
    pub(crate) reference: AppReference,
    /// What the supervisor is given.
    pub(crate) pidfd: Option<OwnedFd>,
    /// Why there is no pidfd.
    pub(crate) refusal: Option<Errno>,
}

/// The parent cannot be told from a process that came after it.
#[derive(Debug)]
pub(crate) struct ParentGone;

/// Takes hold of the parent. The launcher waits for its exec.d programs, so it is there, unless it was killed meanwhile.
pub(crate) fn hold_parent() -> Result<AppHold, ParentGone> {
    let parent = process::getppid().ok_or(ParentGone)?;
    let hold = hold(parent)?;
    // Had the parent ended before it was held, this process would have another one by now.
    (process::getppid() == Some(parent))
        .then_some(hold)
        .ok_or(ParentGone)
}

fn hold(pid: Pid) -> Result<AppHold, ParentGone> {
    match process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(AppHold {
            reference: AppReference::Pidfd,
            pidfd: Some(pidfd),
            refusal: None,
        }),
        Err(Errno::SRCH) => Err(ParentGone),
        Err(refusal) => Ok(AppHold {
            reference: AppReference::Pid {
                pid: pid.as_raw_nonzero(),
                started: stat_of(pid).ok().map(|stat| stat.started),
            },
            pidfd: None,
            refusal: Some(refusal),
        }),
    }
}

/// Waits until the app has ended: all that is left to do for a supervisor that cannot work.
pub(crate) fn wait_for_end(app: AppReference, pause: Duration) {
    while !has_ended(app) {
        thread::sleep(pause);
    }
}

/// Whether the app has ended. In the supervisor, standard output is its pidfd if there is one.
pub(crate) fn has_ended(app: AppReference) -> bool {
    match app {
        AppReference::Pidfd => {
            let mut descriptors = [PollFd::from_borrowed_fd(
                rustix::stdio::stdout(),
                PollFlags::IN,
            )];
            event::poll(&mut descriptors, Some(&Timespec::default())) == Ok(1)
        }
        AppReference::Pid { pid, started } => {
            !Pid::from_raw(pid.get()).is_some_and(|pid| is_alive(pid, started))
        }
    }
}

/// Whether the app that was referred to by its pid still lives.
fn is_alive(pid: Pid, started: Option<u64>) -> bool {
    match (stat_of(pid), started) {
        (Ok(stat), Some(then)) => stat.started == then && !stat.is_of_zombie(),
        (Ok(stat), None) => !stat.is_of_zombie(),
        // Without a readable /proc there is only the null signal, which a reused pid fools. EPERM means alive, as another user.
        (Err(_), _) => process::test_kill_process(pid) != Err(Errno::SRCH),
    }
}

/// What `proc_pid_stat(5)` tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    /// Of its main thread.
    state: char,
    threads: u32,
    /// In clock ticks since boot.
    started: u64,
}

impl Stat {
    /// Whether the process has ended and only waits to be reaped.
    ///
    /// A main thread that has ended before others is a zombie too, and the process goes on: so it is for a moment while the launcher,
    /// a program of many threads, becomes the app. Any number of threads but one is a process on its way from one state to another.
    fn is_of_zombie(self) -> bool {
        self.state == 'Z' && self.threads == 1
    }
}

fn stat_of(pid: Pid) -> io::Result<Stat> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    parse_stat(&String::from_utf8_lossy(&stat))
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Fields 3, 20 and 22 of `proc_pid_stat(5)`. The second one is the program's name in parentheses, which may itself hold spaces and
/// parentheses.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let threads = fields.nth(16)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Stat {
        state,
        threads,
        started,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    /// A process that ends when its standard input does.
    fn cat() -> Child {
        Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn stat_is_parsed_whatever_the_program_is_called() {
        let tail = "S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 3 21 987654 23 24";
        let expected = Stat {
            state: 'S',
            threads: 3,
            started: 987_654,
        };
        for name in ["cat", "a b", "x) S 1 (y", ""] {
            let stat = format!("4711 ({name}) {tail}");
            assert_eq!(parse_stat(&stat), Some(expected), "{stat}");
        }
        assert_eq!(parse_stat("4711 (cat) S 1 2"), None);
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn zombie_is_one_only_without_other_threads() {
        for (state, threads, expected) in [
            ('Z', 1, true),
            ('Z', 2, false),
            ('Z', 0, false),
            ('S', 1, false),
            // Gone at the next look.
            ('X', 0, false),
        ] {
            let started = 1;
            let stat = Stat {
                state,
                threads,
                started,
            };
            assert_eq!(stat.is_of_zombie(), expected, "{stat:?}");
        }
    }

    #[test]
    fn parent_is_held_and_lives() {
        let hold = hold_parent().unwrap();
        assert_eq!(hold.reference, AppReference::Pidfd);
        let pidfd = hold.pidfd.unwrap();
        let mut descriptors = [PollFd::new(&pidfd, PollFlags::IN)];
        assert_eq!(
            event::poll(&mut descriptors, Some(&Timespec::default())),
            Ok(0)
        );
    }

    #[test]
    fn process_is_alive_until_it_ends_even_if_nobody_reaps_it() {
        let mut child = cat();
        let pid = Pid::from_child(&child);
        let pidfd = hold(pid).unwrap().pidfd.unwrap();
        let started = stat_of(pid).unwrap().started;
        assert!(is_alive(pid, Some(started)));
        assert!(is_alive(pid, None));
        assert!(
            !is_alive(pid, Some(started + 1)),
            "another process has the pid now"
        );

        drop(child.stdin.take());
        let mut descriptors = [PollFd::new(&pidfd, PollFlags::IN)];
        let deadline = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        assert_eq!(
            event::poll(&mut descriptors, Some(&deadline)),
            Ok(1),
            "the pidfd says when it ends"
        );
        assert!(!is_alive(pid, Some(started)), "a zombie is not alive");
        assert!(!is_alive(pid, None));
        child.wait().unwrap();
        assert!(!is_alive(pid, Some(started)));
        assert!(matches!(hold(pid), Err(ParentGone)));
    }

    #[test]
    fn waiting_for_the_end_takes_as_long_as_the_app_does() {
        let mut child = cat();
        let pid = Pid::from_child(&child).as_raw_nonzero();
        let app = AppReference::Pid { pid, started: None };
        let waiting = thread::spawn(move || wait_for_end(app, Duration::from_millis(1)));
        assert!(!has_ended(app));
        assert!(!waiting.is_finished());
        drop(child.stdin.take());
        waiting.join().unwrap();
        assert!(has_ended(app));
        child.wait().unwrap();
    }
}
