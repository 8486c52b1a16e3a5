//! All that is left behind by what this program starts: it becomes this program's child, and is waited for or ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use procfs::process::Process;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, set_child_subreaper,
    wait,
};

use crate::measure::is_ready;

/// The descendants of this program. When it is dropped, they are killed.
#[derive(Debug)]
pub(super) struct Subreaper {
    /// How long their end may take.
    timeout: Duration,
}

impl Subreaper {
    /// Makes this program the parent of every orphan below it.
    pub(super) fn new(timeout: Duration) -> Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        Ok(Self { timeout })
    }

    /// Waits until all have ended, by themselves unless they are to be killed, and returns how each did.
    pub(super) fn reap(&self, kill: bool) -> Result<Vec<ExitStatus>> {
        let deadline = Instant::now() + self.timeout;
        let mut ended = Vec::new();
        loop {
            match wait(WaitOptions::NOHANG) {
                Err(Errno::CHILD) => return Ok(ended),
                Err(error) => return Err(error.into()),
                Ok(Some((_, status))) => ended.push(ExitStatus::from_raw(status.as_raw())),
                Ok(None) => {
                    let children = children()?;
                    for child in children.iter().filter(|_| kill) {
                        // A child that is not reaped has its pid for itself.
                        kill_process(*child, Signal::KILL)?;
                    }
                    // The list may lack some while they come and go; then it is asked for again.
                    if let Some(first) = children.first() {
                        let pidfd = pidfd_open(*first, PidfdFlags::empty())?;
                        let left = deadline.saturating_duration_since(Instant::now());
                        ensure!(is_ready(&pidfd, left)?, "process {first} is left behind");
                    }
                }
            }
        }
    }
}

impl Drop for Subreaper {
    fn drop(&mut self) {
        // What went wrong is reported elsewhere.
        let _ = self.reap(true);
    }
}

/// This program's children, of all its threads.
fn children() -> Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in Process::myself()?.tasks()? {
        // A thread that has ended has none.
        for pid in thread?.children().unwrap_or_default() {
            children.extend(Pid::from_raw(pid.try_into()?));
        }
    }
    Ok(children)
}
