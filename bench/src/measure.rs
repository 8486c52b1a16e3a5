//! One command, run to its end: what it took.

use std::fmt;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fs_err::File;
use nix::sys::resource::{UsageWho, getrusage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wait4::Wait4 as _;

/// How long this program waits for others.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// For a server to say where it listens.
    pub(crate) start: Duration,
    /// For one run of a command. An archive of 1 GB on a slow disk is within it.
    pub(crate) run: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(20),
            run: Duration::from_mins(5),
        }
    }
}

/// What one run of a command took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    /// From before it was started until it had ended.
    pub(crate) wall: Duration,
    /// Of user and system, with that of the children that it waited for.
    pub(crate) cpu: Duration,
    /// The most memory that was resident at once, in bytes; none where that cannot be told.
    pub(crate) peak: Option<u64>,
}

/// Errors that can occur when a command is measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeasureError {
    #[error("unable to start {program}: {error}")]
    Start { program: String, error: io::Error },
    #[error("unable to write the log: {0}")]
    Log(io::Error),
    #[error("unable to wait for {program}: {error}")]
    Wait { program: String, error: io::Error },
    #[error("{program} was still running after {limit:?}")]
    Overrun { program: String, limit: Duration },
    #[error("{program} failed ({status}):\n{output}")]
    Failed {
        program: String,
        status: ExitStatus,
        output: Output,
    },
}

/// The end of what a command wrote.
#[derive(Debug)]
pub(crate) struct Output(String);

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.trim_end())
    }
}

/// Runs `command` to its end, with no input, and with what it writes in the file `log`.
pub(crate) fn run(
    command: &mut Command,
    log: &Path,
    limit: Duration,
) -> Result<Measurement, MeasureError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let log_file = File::create(log).map_err(MeasureError::Log)?;
    command
        .stdin(Stdio::null())
        .stdout(
            log_file
                .try_clone()
                .map_err(MeasureError::Log)?
                .into_parts()
                .0,
        )
        .stderr(log_file.into_parts().0);

    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| MeasureError::Start {
        program: program.clone(),
        error,
    })?;
    let ended = wait_for_end(&child, limit);
    let wall = start.elapsed();

    let failed = |error| MeasureError::Wait {
        program: program.clone(),
        error,
    };
    if !matches!(ended, Ok(true)) {
        // It may have ended in the meantime; then there is nothing to kill.
        let _ = child.kill();
        child.wait().map_err(failed)?;
        ended.map_err(failed)?;
        return Err(MeasureError::Overrun { program, limit });
    }
    let used = child.wait4().map_err(failed)?;
    if !used.status.success() {
        return Err(MeasureError::Failed {
            program,
            status: used.status,
            output: tail(log).map_err(MeasureError::Log)?,
        });
    }
    Ok(Measurement {
        wall,
        cpu: used.rusage.utime + used.rusage.stime,
        peak: peak_of_child(used.rusage.maxrss).map_err(failed)?,
    })
}

/// Whether the child ends within `limit`.
fn wait_for_end(child: &Child, limit: Duration) -> io::Result<bool> {
    // Not reaped yet, so the pid is no other process's.
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    // Without a signal handler in this program nothing interrupts it.
    Ok(poll(&mut fds, Some(&limit))? > 0)
}

/// What a child's `ru_maxrss`, in bytes, says of its peak.
///
/// Up to its execve(2) a child has the memory of the process that starts it, and that one's peak counts as its own (Linux,
/// fs/exec.c, `exec_mmap`). So only what is above this program's own peak is the child's; for the rest it is none.
fn peak_of_child(maxrss: u64) -> io::Result<Option<u64>> {
    let own = getrusage(UsageWho::RUSAGE_SELF)?.max_rss();
    // In KiB, see getrusage(2).
    let own = u64::try_from(own).map_err(io::Error::other)? * 1024;
    Ok((maxrss > own).then_some(maxrss))
}

fn tail(log: &Path) -> io::Result<Output> {
    // Some screens full.
    const BYTES: u64 = 8 * 1024;
    let mut file = File::open(log)?;
    let start = file.metadata()?.len().saturating_sub(BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(Output(String::from_utf8_lossy(&end).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Measurement, MeasureError> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("/bin/sh");
        run(command.args(["-c", script]), log.path(), limit)
    }

    #[test]
    fn wall_and_cpu_are_told_apart_and_children_count() {
        let idle = shell("sleep 0.2", Duration::from_mins(1)).unwrap();
        assert!(idle.wall >= Duration::from_millis(200), "{idle:?}");
        assert!(idle.cpu < Duration::from_millis(100), "{idle:?}");
        let counting = "(i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done)";
        let busy = shell(counting, Duration::from_mins(1)).unwrap();
        assert!(busy.cpu > Duration::from_millis(20), "{busy:?}");
    }

    #[test]
    fn failure_comes_with_the_output() {
        let error = shell("echo what; echo why >&2; exit 3", Duration::from_mins(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/bin/sh failed (exit status: 3):\nwhat\nwhy"
        );
    }

    #[test]
    fn overrun_is_killed() {
        let start = Instant::now();
        let error = shell("exec sleep 60", Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, MeasureError::Overrun { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn peak_is_the_childs_own_or_none() {
        // A string of 64 MB, made by doubling.
        let large = "x=x; i=0; while [ $i -lt 26 ]; do x=$x$x; i=$((i + 1)); done";
        let peak = shell(large, Duration::from_mins(1)).unwrap().peak.unwrap();
        assert!(peak > 64_000_000, "{peak}");
        // The shell alone is smaller than this program, or its peak could not be told from this program's.
        assert_eq!(peak_of_child(1).unwrap(), None);
    }
}
