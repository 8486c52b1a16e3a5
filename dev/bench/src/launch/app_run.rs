//! One run of a launched app, and of the agent beside it.

use std::io::{self, BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use backplane_bench_probe::{LISTEN_AFTER, Timestamp, Who, now};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::image::Image;
use super::{TIMEOUT, take_port};
use crate::measure::is_ready;

/// A launched app. The subreaper waits for its end.
pub(super) struct AppRun {
    app: OwnedFd,
    /// What app, supervisor and agent write.
    lines: Receiver<String>,
    /// Timestamps that are not asked for yet.
    unread: Vec<Timestamp>,
    /// All other lines, for errors.
    others: String,
}

impl AppRun {
    /// Launches the image's app, which listens after this time.
    pub(super) fn start(image: &Image, listen_after: Duration) -> Result<Self> {
        let (port, socket) = take_port()?;
        let (output, writer) = io::pipe()?;
        let child = image
            .launch(port)
            .env(LISTEN_AFTER, listen_after.as_millis().to_string())
            .stdin(socket)
            .stdout(Stdio::null())
            .stderr(writer)
            .spawn()?;
        let (sender, lines) = channel();
        // It ends with the processes that write.
        thread::spawn(move || {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Ok(Self {
            app: pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?,
            lines,
            unread: Vec::new(),
            others: String::new(),
        })
    }

    /// Waits for the next timestamp of the app, or of an agent.
    pub(super) fn timestamp(&mut self, who: Who) -> Result<Timestamp> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(at) = self.unread.iter().position(|found| found.who == who) {
                return Ok(self.unread.remove(at));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                bail!("no timestamp of {who:?}; it wrote:\n{}", self.others);
            };
            match serde_json::from_str(&line) {
                Ok(timestamp) => self.unread.push(timestamp),
                Err(_) => self.others += &(line + "\n"),
            }
        }
    }

    /// Sends the app SIGTERM, as a container's stop does, and returns the time until it, the agent and the agent's supervisor are
    /// gone.
    pub(super) fn end(self, agent: Timestamp) -> Result<Duration> {
        let beside = [open(agent.pid)?, open(agent.parent)?];
        let deadline = Instant::now() + TIMEOUT;
        let before = now();
        pidfd_send_signal(&self.app, Signal::TERM)?;
        for process in [&self.app].into_iter().chain(&beside) {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(
                is_ready(process, left)?,
                "after SIGTERM to the app not all of it is gone"
            );
        }
        Ok(now().saturating_sub(before))
    }
}

/// Kills the agent, and returns when.
pub(super) fn kill(agent: Timestamp) -> Result<Duration> {
    let agent = open(agent.pid)?;
    let at = now();
    pidfd_send_signal(&agent, Signal::KILL)?;
    Ok(at)
}

fn open(pid: i32) -> Result<OwnedFd> {
    let pid = Pid::from_raw(pid).context("0 is no pid")?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}
