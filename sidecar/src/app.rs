//! The app: the process that the exec.d program's parent is, or is about to become.

use std::fmt::{self, Display, Formatter};
use std::iter;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{self, Pid, PidfdFlags};

use crate::procfs::Stat;

/// How the supervisor knows the app.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AppId {
    pub(crate) pid: Pid,
    /// When it was started, in clock ticks since boot. `None` if standard output is its pidfd, which
    /// some container engines refuse.
    pub(crate) start_time: Option<u64>,
}

const PIDFD: &str = "pidfd";

impl AppId {
    /// Reads what [`Display`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (start_time, pid) = text.split_once('@')?;
        Some(Self {
            pid: Pid::from_raw(pid.parse().ok()?)?,
            start_time: match start_time {
                PIDFD => None,
                ticks => Some(ticks.parse().ok()?),
            },
        })
    }
}

impl Display for AppId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.start_time {
            None => write!(f, "{PIDFD}@{}", self.pid),
            Some(ticks) => write!(f, "{ticks}@{}", self.pid),
        }
    }
}

/// The app as exec.d passes it to the supervisor.
#[derive(Debug)]
pub(crate) struct AppHandle {
    pub(crate) id: AppId,
    /// The error if the kernel refuses one.
    pub(crate) pidfd: Result<OwnedFd, Errno>,
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
    // If the parent had exited before it was opened, this process would have another parent by now.
    (process::getppid() == Some(parent))
        .then_some(handle)
        .ok_or(AppError::Exited)
}

fn open(pid: Pid) -> Result<AppHandle, AppError> {
    let pidfd = process::pidfd_open(pid, PidfdFlags::empty());
    let start_time = match pidfd {
        Ok(_) => None,
        Err(Errno::SRCH) => return Err(AppError::Exited),
        Err(error) => {
            let stat = Stat::of(pid).map_err(|_| AppError::Unwatchable(error))?;
            Some(stat.start_time)
        }
    };
    let id = AppId { pid, start_time };
    Ok(AppHandle { id, pidfd })
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
    let parent = |process: &Pid| Pid::from_raw(Stat::of(*process).ok()?.parent);
    let is_readable = Stat::of(process).is_ok();
    !is_readable || iter::successors(Some(process), parent).any(|process| process == app.pid)
}

/// Waits until the app has exited: the only task left for a supervisor that cannot work.
pub(crate) fn wait_for_exit(app: AppId, interval: Duration) {
    while !has_exited(app) {
        thread::sleep(interval);
    }
}

/// Whether the app has exited. In the supervisor, standard output is its pidfd if there is one.
pub(crate) fn has_exited(app: AppId) -> bool {
    match app.start_time {
        None => {
            let stdout = rustix::stdio::stdout();
            let mut descriptors = [PollFd::from_borrowed_fd(stdout, PollFlags::IN)];
            event::poll(&mut descriptors, Some(&Timespec::default())) == Ok(1)
        }
        Some(start_time) => !is_alive(app.pid, start_time),
    }
}

/// Whether the process that had this PID and start time is alive.
fn is_alive(pid: Pid, start_time: u64) -> bool {
    Stat::of(pid).is_ok_and(|stat| stat.start_time == start_time && !stat.is_zombie())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn process_is_alive_until_it_ends_even_if_it_is_not_reaped() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let handle = open(pid).unwrap();
        let start_time = None;
        assert_eq!(handle.id, AppId { pid, start_time });
        let pidfd = handle.pidfd.unwrap();
        let pidfd_is_ready = |seconds: i64| {
            let mut descriptors = [PollFd::new(&pidfd, PollFlags::IN)];
            let timeout = Timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            };
            event::poll(&mut descriptors, Some(&timeout)) == Ok(1)
        };
        let start_time = Stat::of(pid).unwrap().start_time;
        assert!(is_alive(pid, start_time) && !pidfd_is_ready(0));
        assert!(!is_alive(pid, start_time + 1), "another process has it now");
        let app = AppId {
            pid,
            start_time: Some(start_time),
        };
        let waiting = thread::spawn(move || wait_for_exit(app, Duration::from_millis(1)));
        assert!(!has_exited(app) && !waiting.is_finished());

        drop(child.stdin.take());
        assert!(pidfd_is_ready(10));
        assert!(has_exited(app), "a zombie is not alive");
        waiting.join().unwrap();
        child.wait().unwrap();
        assert!(has_exited(app));
        assert!(matches!(open(pid), Err(AppError::Exited)));
    }

    #[test]
    fn parent_is_opened() {
        let handle = open_parent().unwrap();
        assert_eq!(Some(handle.id.pid), process::getppid());
    }
}
