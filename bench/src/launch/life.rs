//! The life of one launched app and of the agent beside it.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use backplane_bench_probe::{LISTEN_AFTER, Stamp, Who, now};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::image::Image;
use super::port::Port;
use super::stamps::{Stamps, wait_for_input};

/// A launched app. Its household waits for its end.
#[derive(Debug)]
pub(super) struct Life {
    app: OwnedFd,
    stamps: Stamps,
    /// For how long a stamp, or an end, is waited for.
    limit: Duration,
}

impl Life {
    /// Launches the image's app, which listens after this time.
    pub(super) fn start(
        image: &Image,
        listen_after: Duration,
        limit: Duration,
    ) -> io::Result<Self> {
        let port = Port::take()?;
        let (output, writer) = io::pipe()?;
        let child = image
            .launch(port.number)
            .env(LISTEN_AFTER, listen_after.as_millis().to_string())
            .stdin(port.socket)
            .stdout(Stdio::null())
            .stderr(writer)
            .spawn()?;
        Ok(Self {
            app: handle(Pid::from_child(&child))?,
            stamps: Stamps::of(output),
            limit,
        })
    }

    /// Waits for the next stamp of the app, or of an agent.
    pub(super) fn stamp(&mut self, who: Who) -> io::Result<Stamp> {
        self.stamps.next(who, self.limit)
    }

    /// Asks the app to end, as a container's stop does, and gives the time until it, the agent and the agent's supervisor are gone.
    pub(super) fn end(self, agent: Stamp) -> io::Result<Duration> {
        let beside = [handle_of(agent.pid)?, handle_of(agent.parent)?];
        let deadline = Instant::now() + self.limit;
        let before = now();
        pidfd_send_signal(&self.app, Signal::TERM)?;
        for process in [&self.app].into_iter().chain(&beside) {
            if !wait_for_input(process, deadline)? {
                let message = "the app was asked to end, and not all of it is gone";
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        }
        Ok(now().saturating_sub(before))
    }
}

/// Kills the agent, and says when.
pub(super) fn kill(agent: Stamp) -> io::Result<Duration> {
    let agent = handle_of(agent.pid)?;
    let at = now();
    pidfd_send_signal(&agent, Signal::KILL)?;
    Ok(at)
}

fn handle_of(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid);
    handle(pid.ok_or_else(|| io::Error::other("0 is nobody's pid"))?)
}

fn handle(pid: Pid) -> io::Result<OwnedFd> {
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}
