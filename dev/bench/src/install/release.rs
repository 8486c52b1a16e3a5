//! A release of an agent: an archive on a server, as it is published.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use fs_err::File;
use harness::release_server::ReleaseServer;

use crate::bundle::{AGENT, Bundle};
use crate::measure;

#[derive(Clone, Debug)]
pub(super) struct Release<'a> {
    pub(super) server: &'a ReleaseServer,
    pub(super) archive: PathBuf,
    pub(super) file_name: &'static str,
    /// In lower-case hex digits.
    pub(super) sha256: String,
    pub(super) agent: PathBuf,
}

impl<'a> Release<'a> {
    /// Puts an archive with this agent into the server's directory.
    pub(super) fn publish(
        bundle: &Bundle,
        server: &'a ReleaseServer,
        file_name: &'static str,
        agent: &Path,
    ) -> Result<Self> {
        let archive = bundle.work("releases").join(file_name);
        let log = bundle.work("log");
        let rename = format!("--transform=s|.*|{AGENT}|");
        let options = ["--create", "--gzip", "--absolute-names", &rename, "--file"];
        let mut tar = Command::new("tar");
        measure::run(tar.args(options).args([&archive, agent]), &log)?;
        measure::run(Command::new("sha256sum").arg(&archive), &log)?;
        Ok(Self {
            server,
            sha256: fs_err::read_to_string(&log)?.chars().take(64).collect(),
            archive,
            file_name,
            agent: agent.to_owned(),
        })
    }

    pub(super) fn url(&self) -> String {
        self.server.url(&format!("/{}", self.file_name))
    }

    /// The settings of a build that installs this agent and no other.
    pub(super) fn pinned(&self) -> [(&'static str, String); 2] {
        [
            ("BACKPLANE_AGENT_URL", self.url()),
            ("BACKPLANE_AGENT_SHA256", self.sha256.clone()),
        ]
    }

    /// Fails unless `installed` is the agent, and the server has got this number of requests for it and no other.
    pub(super) fn check(&self, installed: &Path, requests: usize) -> Result<()> {
        let request = format!("GET /{} HTTP/1.1", self.file_name);
        let seen = self.server.take_requests();
        let is_expected = seen.iter().all(|seen| seen.line == request);
        ensure!(
            is_expected && seen.len() == requests,
            "it made the requests {seen:?}"
        );
        let status = Command::new("cmp")
            .arg("--quiet")
            .args([installed, &self.agent])
            .status()?;
        let name = installed.display();
        ensure!(status.success(), "{name} is not the released agent");
        Ok(())
    }
}

/// Writes a program of about this size that no compression makes smaller, and that must not be run.
pub(super) fn write_random_agent(path: &Path, bytes: u64) -> Result<()> {
    let mut agent = File::create(path)?;
    agent.write_all(b"#!/bin/false\n")?;
    io::copy(&mut File::open("/dev/urandom")?.take(bytes), &mut agent)?;
    Ok(agent.set_permissions(PermissionsExt::from_mode(0o755))?)
}
