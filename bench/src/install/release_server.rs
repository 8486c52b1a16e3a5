//! The release server that all fetch the agent from: a process of its own, which logs each request.

use std::cell::Cell;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fs_err::File;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::kit::Kit;
use crate::measure::Limits;
use crate::rounds::SubjectError;

/// The server. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct ReleaseServer {
    child: Child,
    address: String,
    log: PathBuf,
    /// How many lines of the log have been looked at.
    seen: Cell<usize>,
}

impl ReleaseServer {
    /// Starts a server of the files in `folder`.
    pub(super) fn start(kit: &Kit, folder: &Path, limits: &Limits) -> io::Result<Self> {
        let log = kit.work("release-server.log");
        // However this program ends, the server ends with it.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(kit.program("release-server"))
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?.into_parts().0)
            .spawn()?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut server = Self {
            child,
            address: String::new(),
            log,
            seen: Cell::new(0),
        };
        let limit = Timespec::try_from(limits.start).map_err(io::Error::other)?;
        let mut line = String::new();
        if poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&limit))? > 0 {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim_end().strip_prefix("listening ") {
            Some(address) => address.clone_into(&mut server.address),
            None => return Err(io::Error::other("the release server does not start")),
        }
        Ok(server)
    }

    pub(super) fn url(&self, file_name: &str) -> String {
        format!("http://{}/{file_name}", self.address)
    }

    /// The requests since the last time that this was asked: method, path and status.
    fn take_requests(&self) -> io::Result<Vec<String>> {
        let log = fs_err::read_to_string(&self.log)?;
        let lines = log.lines().skip(self.seen.get());
        let new: Vec<String> = lines
            .map(|line| line.trim_start_matches("release-server: ").to_owned())
            .collect();
        self.seen.set(self.seen.get() + new.len());
        Ok(new)
    }

    /// Forgets the requests of what is not measured.
    pub(super) fn skip_requests(&self) -> io::Result<()> {
        self.take_requests().map(drop)
    }

    /// Fails unless the requests since the last time that this was asked were these: method, path and status.
    pub(super) fn check_requests(&self, expected: &[String]) -> Result<(), SubjectError> {
        let new = self.take_requests()?;
        if new == expected {
            Ok(())
        } else {
            let claim = format!("it made the requests {new:?}, not {expected:?}");
            Err(SubjectError::Broken(claim))
        }
    }

    /// Fails unless a file was fetched once, and nothing else was asked for.
    pub(super) fn check_one_download(&self, file_name: &str) -> Result<(), SubjectError> {
        self.check_requests(&[format!("GET /{file_name} 200")])
    }
}

impl Drop for ReleaseServer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
