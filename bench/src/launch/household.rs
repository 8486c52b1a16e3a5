//! All that is left behind by what this program starts: it becomes this program's child, and is waited for or ended.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, set_child_subreaper,
    wait,
};

use super::stamps::wait_for_input;

/// The descendants of this program. When it is dropped, they are killed.
#[derive(Debug)]
pub(super) struct Household {
    /// For how long their end is waited for.
    limit: Duration,
}

impl Household {
    /// Makes this program the parent of every orphan below it.
    pub(super) fn new(limit: Duration) -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        Ok(Self { limit })
    }

    /// Waits until all have ended by themselves, and gives how each did.
    pub(super) fn wait_for_all(&self) -> io::Result<Vec<ExitStatus>> {
        self.reap(|_| Ok(()))
    }

    /// Kills all that there are, and gives how each ended.
    pub(super) fn kill_all(&self) -> io::Result<Vec<ExitStatus>> {
        // A child that is not reaped has its pid for itself.
        self.reap(|child| Ok(kill_process(child, Signal::KILL)?))
    }

    fn reap(&self, hasten: impl Fn(Pid) -> io::Result<()>) -> io::Result<Vec<ExitStatus>> {
        let deadline = Instant::now() + self.limit;
        let mut ended = Vec::new();
        loop {
            match wait(WaitOptions::NOHANG) {
                Err(Errno::CHILD) => return Ok(ended),
                Err(error) => return Err(error.into()),
                Ok(Some((_, status))) => ended.push(ExitStatus::from_raw(status.as_raw())),
                Ok(None) => {
                    let alive = children()?;
                    for child in &alive {
                        hasten(*child)?;
                    }
                    // The list may lack some while they come and go; then it is asked for again.
                    if let Some(first) = alive.first() {
                        wait_for_end(*first, deadline)?;
                    }
                }
            }
        }
    }
}

impl Drop for Household {
    fn drop(&mut self) {
        // Whatever brought this about is told elsewhere.
        let _ = self.kill_all();
    }
}

fn wait_for_end(child: Pid, deadline: Instant) -> io::Result<()> {
    let pidfd = pidfd_open(child, PidfdFlags::empty())?;
    if wait_for_input(&pidfd, deadline)? {
        return Ok(());
    }
    let message = format!("process {child}, which was left behind, does not end");
    Err(io::Error::new(io::ErrorKind::TimedOut, message))
}

/// This program's children, of all its threads.
fn children() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs_err::read_dir("/proc/self/task")? {
        let list = fs_err::read_to_string(thread?.path().join("children"))?;
        let pids = list.split_ascii_whitespace();
        children.extend(pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::process::Command;

    /// In a process of its own: the household takes all children for its own, those of other tests too.
    #[test]
    fn orphans_are_waited_for_and_killed() {
        let program = env::current_exe().unwrap();
        let own_name = "launch::household::tests::household_of_a_process_of_its_own";
        let arguments = ["--exact", own_name, "--ignored"];
        let output = Command::new(program).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "orphans_are_waited_for_and_killed runs it"]
    fn household_of_a_process_of_its_own() {
        let household = Household::new(Duration::from_secs(20)).unwrap();
        let leave = |what: &str| {
            let script = format!("setsid {what} &");
            let status = Command::new("/bin/sh").args(["-c", &script]).status();
            assert!(status.unwrap().success());
        };
        leave("sh -c 'sleep 0.1; exit 3'");
        leave("true");
        let ends = household.wait_for_all().unwrap();
        let mut codes: Vec<_> = ends.iter().map(ExitStatus::code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(3)]);

        leave("sleep 60");
        let started = Instant::now();
        let ends = household.kill_all().unwrap();
        let signals: Vec<_> = ends.iter().map(ExitStatus::signal).collect();
        assert_eq!(signals, [Some(Signal::KILL.as_raw())]);
        assert!(started.elapsed() < Duration::from_secs(20));

        let impatient = Household::new(Duration::from_millis(50)).unwrap();
        leave("sleep 60");
        let error = impatient.wait_for_all().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(impatient);
        assert_eq!(household.wait_for_all().unwrap(), []);
    }
}
