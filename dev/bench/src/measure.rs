//! One command, run to its end: what it took.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fs_err::File;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wait4::Wait4 as _;

/// How long one run of a command may take. An archive of 1 GB on a slow disk is within it.
const TIMEOUT: Duration = Duration::from_mins(5);

/// What one run of a command took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    /// From before it was started until it had ended.
    pub(crate) wall: Duration,
    /// Of user and system, with that of the children that it waited for.
    pub(crate) cpu: Duration,
}

/// Runs `command` to its end, with no input, and with its output in the file `log`.
pub(crate) fn run(command: &mut Command, log: &Path) -> Result<Measurement> {
    let name = command.get_program().to_string_lossy().into_owned();
    run_for(command, log, TIMEOUT).context(name)
}

fn run_for(command: &mut Command, log: &Path, timeout: Duration) -> Result<Measurement> {
    let (output, _) = File::create(log)?.into_parts();
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let start = Instant::now();
    let mut child = command.spawn()?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let has_ended = is_ready(&pidfd, timeout)?;
    let wall = start.elapsed();
    if !has_ended {
        child.kill()?;
    }
    let used = child.wait4()?;
    ensure!(has_ended, "it was still running after {timeout:?}");
    let output = || String::from_utf8_lossy(&fs_err::read(log).unwrap_or_default()).into_owned();
    ensure!(
        used.status.success(),
        "it failed ({}):\n{}",
        used.status,
        output().trim_end()
    );
    Ok(Measurement {
        wall,
        cpu: used.rusage.utime + used.rusage.stime,
    })
}

/// Whether there is something to read in time; for a pidfd, whether its process has ended.
pub(crate) fn is_ready(source: &impl AsFd, timeout: Duration) -> Result<bool> {
    let timeout = Timespec::try_from(timeout)?;
    // Without a signal handler in this program nothing interrupts it.
    Ok(poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&timeout))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration) -> Result<Measurement> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("/bin/sh");
        run_for(command.args(["-c", script]), log.path(), timeout)
    }

    #[test]
    fn wall_and_cpu_are_told_apart_and_children_count() {
        let idle = shell("sleep 0.2", TIMEOUT).unwrap();
        assert!(idle.wall >= Duration::from_millis(200), "{idle:?}");
        assert!(idle.cpu < Duration::from_millis(100), "{idle:?}");
        let counting = "(i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done)";
        let busy = shell(counting, TIMEOUT).unwrap();
        assert!(busy.cpu > Duration::from_millis(20), "{busy:?}");
    }

    #[test]
    fn failure_comes_with_the_output_and_overrun_is_killed() {
        for (script, expected) in [
            (
                "echo what; echo why >&2; exit 3",
                "it failed (exit status: 3):\nwhat\nwhy",
            ),
            ("exec sleep 60", "it was still running after 5s"),
        ] {
            let error = shell(script, Duration::from_secs(5)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
