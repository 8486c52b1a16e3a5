//! The app: the process that the exec.d program's parent is, or is about to become.

use crate::orders::AppReference;
use crate::proc_stat::Stat;
use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{self, Pid, PidfdFlags};
use std::fs;
use std::iter;
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
                started: Stat::of(pid).ok().map(|stat| stat.started),
            },
            pidfd: None,
            refusal: Some(refusal),
        }),
    }
}

/// Whether the process is the first one of its PID namespace, or below it as an init starts what a container is for: directly, such as
/// by `tini -- COMMAND`, or by a supervisor for each service, as s6 and runit have.
pub(crate) fn is_main(process: Pid) -> bool {
    const LEVELS: usize = 3;
    let parent = |process: &Pid| Pid::from_raw(Stat::of(*process).ok()?.parent);
    iter::successors(Some(process), parent)
        .take(LEVELS)
        .any(|process| process == Pid::INIT)
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

/// The app's number, if it is known.
pub(crate) fn pid(app: AppReference) -> Option<Pid> {
    match app {
        // Of a pidfd, proc_pid_fdinfo(5) tells: a process that has ended is -1 there, and one of another PID namespace 0.
        AppReference::Pidfd => fs::read_to_string("/proc/self/fdinfo/1")
            .ok()?
            .lines()
            .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
            .filter(|pid| *pid > 0)
            .and_then(Pid::from_raw),
        AppReference::Pid { pid, .. } => Pid::from_raw(pid.get()),
    }
}

/// Whether the app that was referred to by its pid still lives.
fn is_alive(pid: Pid, started: Option<u64>) -> bool {
    match (Stat::of(pid), started) {
        (Ok(stat), Some(then)) => stat.started == then && !stat.is_of_zombie(),
        (Ok(stat), None) => !stat.is_of_zombie(),
        // Without a readable /proc there is only the null signal, which a reused pid fools. EPERM means alive, as another user.
        (Err(_), _) => process::test_kill_process(pid) != Err(Errno::SRCH),
    }
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
        let started = Stat::of(pid).unwrap().started;
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
