//! Builds of the build program: the first one, and those that find the agent in the cache.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use backplane_test_server::{Answer, Authority, ReleaseServer as HttpsServer, etag};

use super::archive::{Archive, check_installed};
use super::build_program::BuildProgram;
use super::release_server::ReleaseServer;
use crate::kit::Kit;
use crate::rounds::{Subject, SubjectError};

/// A build on an empty folder of layers.
#[derive(Debug)]
pub(super) struct ColdInstall<'a> {
    pub(super) name: String,
    pub(super) program: BuildProgram,
    pub(super) server: &'a ReleaseServer,
    pub(super) archive: &'a Archive,
    pub(super) agent: &'a Path,
}

impl Subject for ColdInstall<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn prepare(&mut self) -> Result<(), SubjectError> {
        Ok(self.program.empty()?)
    }

    fn command(&self) -> Command {
        self.program.command()
    }

    fn check(&mut self, _output: &str) -> Result<(), SubjectError> {
        self.server.check_one_download(self.archive.file_name)?;
        check_installed(&self.program.installed(), self.agent)
    }
}

/// A build that finds the pinned agent in the cache.
#[derive(Debug)]
pub(super) struct PinnedRebuild<'a> {
    pub(super) program: BuildProgram,
    pub(super) server: &'a ReleaseServer,
    pub(super) agent: &'a Path,
    pub(super) log: &'a Path,
    /// How long the first build may take.
    pub(super) limit: Duration,
}

impl Subject for PinnedRebuild<'_> {
    fn name(&self) -> &'static str {
        "pinned rebuild"
    }

    fn prepare(&mut self) -> Result<(), SubjectError> {
        if self.program.install_once(self.log, self.limit)? {
            self.server.skip_requests()?;
        }
        Ok(self.program.restore()?)
    }

    fn command(&self) -> Command {
        self.program.command()
    }

    fn check(&mut self, output: &str) -> Result<(), SubjectError> {
        self.server.check_requests(&[])?;
        check_said(output, "Using the cached agent")?;
        check_installed(&self.program.installed(), self.agent)
    }
}

/// A build that finds an agent in the cache, and asks the server whether it still is the current one.
#[derive(Debug)]
pub(super) struct RevalidatedRebuild<'a> {
    program: BuildProgram,
    server: HttpsServer,
    etag: String,
    agent: &'a Path,
    log: &'a Path,
    limit: Duration,
}

impl<'a> RevalidatedRebuild<'a> {
    /// Starts a server of its own, with a certificate: without a pin, nothing is fetched over http.
    pub(super) fn new(
        kit: &Kit,
        archive: &Archive,
        agent: &'a Path,
        log: &'a Path,
        limit: Duration,
    ) -> io::Result<Self> {
        let content = fs_err::read(&archive.path)?;
        let etag = etag(&content);
        let authority = Authority::new();
        let ca_file = kit.work("ca.pem");
        fs_err::write(&ca_file, authority.pem())?;
        let server = HttpsServer::https(&authority, [Answer::File(content)]);
        let url = server.url("/agent.tgz");
        let variables = [
            ("BACKPLANE_AGENT_URL", url.into()),
            ("SSL_CERT_FILE", ca_file.into()),
        ];
        Ok(Self {
            program: BuildProgram::new(kit, "revalidated", &variables)?,
            server,
            etag,
            agent,
            log,
            limit,
        })
    }
}

impl Subject for RevalidatedRebuild<'_> {
    fn name(&self) -> &'static str {
        "revalidated rebuild"
    }

    fn prepare(&mut self) -> Result<(), SubjectError> {
        if self.program.install_once(self.log, self.limit)? {
            // From now on without the file, which the server would hash at each request to tell its version.
            self.server.will_answer([Answer::Status {
                status: 304,
                headers: vec![("ETag".to_owned(), self.etag.clone())],
                body: Vec::new(),
            }]);
            let _of_the_first_build = self.server.take_requests();
        }
        Ok(self.program.restore()?)
    }

    fn command(&self) -> Command {
        self.program.command()
    }

    fn check(&mut self, output: &str) -> Result<(), SubjectError> {
        let requests = self.server.take_requests();
        let is_conditional = match &requests[..] {
            [request] => request.header("If-None-Match") == Some(&self.etag),
            _ => false,
        };
        if !is_conditional {
            let claim = format!("its requests are not one conditional request: {requests:?}");
            return Err(SubjectError::Broken(claim));
        }
        check_said(output, "Using the cached agent: it is unchanged")?;
        check_installed(&self.program.installed(), self.agent)
    }
}

fn check_said(output: &str, words: &str) -> Result<(), SubjectError> {
    if output.contains(words) {
        Ok(())
    } else {
        Err(SubjectError::Broken(format!("it did not say '{words}'")))
    }
}
