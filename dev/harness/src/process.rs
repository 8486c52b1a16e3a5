//! The processes of a test, by /proc; see proc(5) for the files.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use procfs::process::{Stat, Status, all_processes};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that marks the processes of one launch. Agents get it, too, as its name is one of
/// ours.
pub const MARK: &str = "BACKPLANE_TEST_MARK";

/// A live process, by an open directory of /proc: it cannot become another one that has its number
/// by chance.
#[derive(Debug)]
pub struct Process(procfs::process::Process);

/// All live processes that were started in the launch with this mark: they, or a process that
/// started them, had it in their environment.
pub fn processes_marked(mark: &OsStr) -> Vec<Process> {
    all_processes()
        .expect("/proc is readable")
        .filter_map(|process| Some(Process(process.ok()?)))
        .filter(|process| process.is_marked(mark))
        .filter(Process::is_alive)
        .collect()
}

/// The zombies among the children of `parent`.
pub fn zombies_of(parent: u32) -> Vec<u32> {
    all_processes()
        .expect("/proc is readable")
        .filter_map(|process| process.ok()?.stat().ok())
        .filter(|stat| stat.state == 'Z' && u32::try_from(stat.ppid) == Ok(parent))
        .filter_map(|stat| u32::try_from(stat.pid).ok())
        .collect()
}

impl Process {
    fn is_marked(&self, mark: &OsStr) -> bool {
        let is_own = self.0.uid().ok() == Some(nix::unistd::geteuid().as_raw());
        // In the middle of an execve(2) a process shows no environment at all, for less than a
        // millisecond.
        for _ in 0..5 {
            let environment = self.environment();
            if !environment.is_empty() || !is_own || !self.is_alive() {
                return environment
                    .get(OsStr::new(MARK))
                    .is_some_and(|found| found == mark);
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    }

    pub fn id(&self) -> u32 {
        self.0.pid().unsigned_abs()
    }

    pub(super) fn pid(&self) -> i32 {
        self.0.pid()
    }

    /// Whether it still runs: a zombie does not.
    pub fn is_alive(&self) -> bool {
        self.0
            .stat()
            .is_ok_and(|stat| !matches!(stat.state, 'Z' | 'X'))
    }

    /// Sends `signal` to this process, or does nothing if it is gone.
    pub fn signal(&self, signal: Signal) {
        let Ok(handle) = pidfd_open(Pid::from_raw(self.0.pid()).unwrap(), PidfdFlags::empty())
        else {
            return;
        };
        // Alive after the handle was opened, so the handle is this process's and not a successor's.
        if self.is_alive() {
            // It may end by itself in this moment, which is as good.
            let _ = pidfd_send_signal(&handle, signal);
        }
    }

    pub fn parent(&self) -> Option<i32> {
        self.0.stat().ok().map(|stat| stat.ppid)
    }

    pub fn stat(&self) -> Stat {
        self.0.stat().expect("the process is there")
    }

    pub fn status(&self) -> Status {
        self.0.status().expect("the process is there")
    }

    /// The environment that it was started with; empty once it is gone.
    fn environment(&self) -> HashMap<OsString, OsString> {
        self.0.environ().unwrap_or_default()
    }

    /// What it was started with; nothing once it is gone.
    pub fn arguments(&self) -> Vec<String> {
        // In the middle of an execve(2) a process shows its new program already, and no arguments
        // yet, for less than a millisecond of the processor's time, which it may have to wait for.
        for _ in 0..500 {
            let arguments = self.0.cmdline().unwrap_or_default();
            if !arguments.is_empty() || !self.is_alive() {
                return arguments;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Vec::new()
    }

    /// The file that it executes: of a script, the interpreter.
    pub fn executable(&self) -> PathBuf {
        self.0.exe().unwrap_or_default()
    }

    pub fn working_directory(&self) -> PathBuf {
        self.0.cwd().expect("the process is there")
    }

    /// The numbers of its open descriptors.
    pub fn descriptors(&self) -> Vec<i32> {
        let descriptors = self.0.fd().expect("the process is there");
        let numbers = descriptors.map(|descriptor| descriptor.expect("the process is there").fd);
        let mut numbers: Vec<i32> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }
}
