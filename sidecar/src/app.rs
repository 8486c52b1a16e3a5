//! The app: the process that the exec.d program's parent is, or is about to become.

use std::fmt::{self, Display, Formatter};
use std::iter;
use std::num::NonZeroI32;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{self, Pid, PidfdFlags};

use crate::procfs::Stat;

/// How the supervisor knows the app.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AppId {
    /// Standard output is its pidfd.
    Pidfd { pid: NonZeroI32 },
    /// The kernel gives no pidfd, as some container engines refuse it: its PID, and when it was
    /// started, in clock ticks since boot.
    Pid { pid: NonZeroI32, start_time: u64 },
}

impl AppId {
    pub(crate) fn pid(self) -> Option<Pid> {
        let (Self::Pidfd { pid } | Self::Pid { pid, .. }) = self;
        Pid::from_raw(pid.get())
    }

    /// Reads what [`Display`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, second) = text.split_once('@')?;
        Some(if first == "pidfd" {
            Self::Pidfd {
                pid: second.parse().ok()?,
            }
        } else {
            Self::Pid {
                pid: first.parse().ok()?,
                start_time: second.parse().ok()?,
            }
        })
    }
}

impl Display for AppId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pidfd { pid } => write!(f, "pidfd@{pid}"),
            Self::Pid { pid, start_time } => write!(f, "{pid}@{start_time}"),
        }
    }
}

/// The app as exec.d hands it to the supervisor.
#[derive(Debug)]
pub(crate) struct AppHandle {
    pub(crate) id: AppId,
    pub(crate) pidfd: Option<OwnedFd>,
    /// Why there is no pidfd.
    pub(crate) pidfd_error: Option<Errno>,
}

/// Why the app cannot be watched.
#[derive(Debug)]
pub(crate) enum AppError {
    /// The parent has exited, and its PID may be another process's.
    Exited,
    /// There is neither a pidfd nor a readable `/proc`.
    Unwatchable(Errno),
}

impl Display for AppError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited => write!(f, "it has exited"),
            Self::Unwatchable(error) => write!(f, "{error}, and /proc is not readable"),
        }
    }
}

/// Opens the parent. The launcher waits for its exec.d programs, so it is there, unless it was
/// killed meanwhile.
pub(crate) fn open_parent() -> Result<AppHandle, AppError> {
    let parent = process::getppid().ok_or(AppError::Exited)?;
    let handle = open(parent)?;
    // Had the parent exited before it was opened, this process would have another one by now.
    (process::getppid() == Some(parent))
        .then_some(handle)
        .ok_or(AppError::Exited)
}

fn open(pid: Pid) -> Result<AppHandle, AppError> {
    match process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(AppHandle {
            id: AppId::Pidfd {
                pid: pid.as_raw_nonzero(),
            },
            pidfd: Some(pidfd),
            pidfd_error: None,
        }),
        Err(Errno::SRCH) => Err(AppError::Exited),
        Err(error) => {
            let stat = Stat::of(pid).map_err(|_| AppError::Unwatchable(error))?;
            Ok(AppHandle {
                id: AppId::Pid {
                    pid: pid.as_raw_nonzero(),
                    start_time: stat.start_time,
                },
                pidfd: None,
                pidfd_error: Some(error),
            })
        }
    }
}

/// Whether the process is the first one of its PID namespace, or below it as an init starts what a
/// container is for: directly, such as by `tini -- COMMAND`, or by a supervisor for each service,
/// as s6 and runit have.
pub(crate) fn is_main(process: Pid) -> bool {
    const LEVELS: usize = 3;
    let parent = |process: &Pid| Pid::from_raw(Stat::of(*process).ok()?.parent);
    iter::successors(Some(process), parent)
        .take(LEVELS)
        .any(|process| process == Pid::INIT)
}

/// Whether a process is the app, or the app is among its ancestors. Without a readable `/proc`, any
/// process of this PID namespace counts.
pub(crate) fn is_or_is_below(process: Pid, app: AppId) -> bool {
    let Some(app) = app.pid() else {
        return false;
    };
    let parent = |process: &Pid| Pid::from_raw(Stat::of(*process).ok()?.parent);
    let is_readable = Stat::of(process).is_ok();
    !is_readable || iter::successors(Some(process), parent).any(|process| process == app)
}

/// Waits until the app has exited: all that is left to do for a supervisor that cannot work.
pub(crate) fn wait_for_exit(app: AppId, interval: Duration) {
    while !has_exited(app) {
        thread::sleep(interval);
    }
}

/// Whether the app has exited. In the supervisor, standard output is its pidfd if there is one.
pub(crate) fn has_exited(app: AppId) -> bool {
    match app {
        AppId::Pidfd { .. } => {
            let stdout = rustix::stdio::stdout();
            let mut descriptors = [PollFd::from_borrowed_fd(stdout, PollFlags::IN)];
            event::poll(&mut descriptors, Some(&Timespec::default())) == Ok(1)
        }
        AppId::Pid { pid, start_time } => {
            !Pid::from_raw(pid.get()).is_some_and(|pid| is_alive(pid, start_time))
        }
    }
}

/// Whether the process that had this PID and start time is alive.
fn is_alive(pid: Pid, start_time: u64) -> bool {
    Stat::of(pid).is_ok_and(|stat| stat.start_time == start_time && !stat.is_of_zombie())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that ends when its standard input does.
    fn cat() -> Child {
        Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn parent_is_opened_and_alive() {
        let handle = open_parent().unwrap();
        let pid = process::getppid().unwrap().as_raw_nonzero();
        assert_eq!(handle.id, AppId::Pidfd { pid });
        let pidfd = handle.pidfd.unwrap();
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
        let pidfd = open(pid).unwrap().pidfd.unwrap();
        let start_time = Stat::of(pid).unwrap().start_time;
        assert!(is_alive(pid, start_time));
        assert!(!is_alive(pid, start_time + 1), "another process has it now");

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
        assert!(!is_alive(pid, start_time), "a zombie is not alive");
        child.wait().unwrap();
        assert!(!is_alive(pid, start_time));
        assert!(matches!(open(pid), Err(AppError::Exited)));
    }

    #[test]
    fn waiting_for_the_end_takes_as_long_as_the_app_does() {
        let mut child = cat();
        let pid = Pid::from_child(&child);
        let start_time = Stat::of(pid).unwrap().start_time;
        let pid = pid.as_raw_nonzero();
        let app = AppId::Pid { pid, start_time };
        let waiting = thread::spawn(move || wait_for_exit(app, Duration::from_millis(1)));
        assert!(!has_exited(app));
        assert!(!waiting.is_finished());
        drop(child.stdin.take());
        waiting.join().unwrap();
        assert!(has_exited(app));
        child.wait().unwrap();
    }
}
