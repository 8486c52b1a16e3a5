//! One instance of a deployed app, as a platform starts and stops it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::process::{self, Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::{Edge, MARK, Process, TOKEN, free_port, processes_marked};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::{AtSigterm, Case, Platform};
use crate::launch::TIMEOUT;
use crate::measure::is_ready;

pub(super) struct Instance {
    /// The app, or what has started its container.
    child: Child,
    /// The mark of all its processes.
    mark: OsString,
    /// A label of its agent.
    pub(super) label: String,
    /// The name of the app's release in its answers.
    pub(super) release: String,
}

impl Instance {
    pub(super) fn start(case: &Case, app: AtSigterm, number: usize, edge: &Edge) -> Result<Self> {
        let release = number.to_string();
        let label = format!("instance={number}");
        // With the edge's address, because each deployment counts its own instances.
        let mark = format!("{}-{}-{number}", process::id(), edge.agents).into();
        let port = free_port();
        let mut command = match case.platform {
            Platform::Container => case.image.launch_in_container(port),
            Platform::Dyno => case.image.launch(port),
        };
        if case.platform == Platform::Dyno {
            command.env("DYNO", "web.1");
        }
        command
            .args(["--release", &release])
            .env(MARK, &mark)
            .env("BACKPLANE_EDGE", &edge.agents)
            .env("BACKPLANE_TOKEN", TOKEN)
            .env("BACKPLANE_LABELS", format!("app=deployed,{label}"))
            .env("BACKPLANE_DRAIN", case.drain)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if app == AtSigterm::ExitsAtOnce {
            command.arg("--exit-at-once");
        }
        if case.agent == AtSigterm::ExitsAtOnce {
            command.env("BACKPLANE_STANDIN_EXIT_AT_ONCE", "1");
        }
        Ok(Self {
            child: command.spawn()?,
            mark,
            label,
            release,
        })
    }

    /// Stops all processes as the platform does, and returns how long it took until none was left.
    pub(super) fn stop(mut self, platform: Platform) -> Result<Duration> {
        let processes = processes_marked(&self.mark);
        let child = self.child.id();
        let gets_sigterm = |process: &&Process| match platform {
            Platform::Container => process.parent() == Some(child.cast_signed()),
            Platform::Dyno => true,
        };
        // Opened before the stop: some are gone soon after it.
        let handles = processes.iter().filter_map(open).collect::<Vec<_>>();
        let start = Instant::now();
        for process in processes.iter().filter(gets_sigterm) {
            process.signal(Signal::TERM);
        }
        let deadline = start + TIMEOUT;
        for process in handles {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(is_ready(&process, left)?, "a process is left");
        }
        let took = start.elapsed();
        self.child.wait()?;
        let left = processes_marked(&self.mark);
        ensure!(left.is_empty(), "these processes are left: {left:?}");
        Ok(took)
    }
}

/// A handle of the process, unless it is gone.
fn open(process: &Process) -> Option<OwnedFd> {
    let pid = Pid::from_raw(process.id().cast_signed())?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}
