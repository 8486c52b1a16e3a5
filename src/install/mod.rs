//! The installation of the agent into a directory, for both front ends.

mod error;
mod layout;
mod notice;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) use self::error::{InstallError, Mismatch};
pub(crate) use self::layout::{FILES_DIRECTORY, prepare, write_buildpack_files};
pub(crate) use self::notice::{Notice, OnNotice};
use crate::archive::{self, FileKind, Files, Unpacked};
use crate::cached_agent::{self, Decision, Previous};
use crate::fetch::{self, Download, FetchError, Validators};
use crate::files::{self, DIRECTORY_MODE};
use crate::limits::Limits;
use crate::metadata::{AgentMetadata, INSTALLER};
use crate::network::Network;
use crate::release::Release;

/// A requested installation.
pub(crate) struct Installation<'a> {
    /// The directory to install into; it exists.
    pub(crate) directory: &'a Path,
    /// A directory to work in, on the same file system. It is removed at the beginning and at the
    /// end.
    pub(crate) staging: &'a Path,
    pub(crate) release: &'a Release,
    /// Whether to continue without an agent that cannot be fetched.
    pub(crate) optional: bool,
    pub(crate) network: &'a Network,
    pub(crate) limits: &'a Limits,
    pub(crate) on_notice: OnNotice<'a>,
}

impl Installation<'_> {
    /// Keeps, refreshes or replaces the installed agent. Returns the metadata of the agent that is
    /// installed afterwards, or `None` if the build continues without one.
    pub(crate) fn run(&self, previous: Previous) -> Result<Option<AgentMetadata>, InstallError> {
        let outcome = self.decide_and_install(previous);
        let cleaned = files::remove(self.staging).map_err(InstallError::Staging);
        let metadata = outcome?;
        cleaned?;
        Ok(metadata)
    }

    fn decide_and_install(
        &self,
        previous: Previous,
    ) -> Result<Option<AgentMetadata>, InstallError> {
        let contents = match &previous {
            Previous::Agent(metadata) => {
                layout::remove_unknown(self.directory, &metadata.files)
                    .map_err(InstallError::Directory)?;
                layout::inspect(self.directory, metadata, self.limits.max_unpacked_bytes)
            }
            Previous::Nothing | Previous::Unreadable(_) => Files::new(),
        };
        match cached_agent::decide(previous, &contents, self.release) {
            Decision::Keep(metadata) => {
                (self.on_notice)(Notice::UsingPinned(&metadata.sha256));
                Ok(Some(metadata))
            }
            Decision::Install(reasons) => {
                (self.on_notice)(Notice::Installing(&reasons));
                self.install()
            }
            Decision::Replace(reason) => {
                (self.on_notice)(Notice::Replacing(&reason));
                self.install()
            }
            Decision::Refresh(metadata) => self.refresh(metadata).map(Some),
        }
    }

    fn install(&self) -> Result<Option<AgentMetadata>, InstallError> {
        match self.fetch_and_replace() {
            Err(error) if self.optional && error.is_about_fetching() => {
                (self.on_notice)(Notice::AgentSkipped(&error));
                // The cached agent is not the one that the user asks for, so it must not be in the
                // image.
                files::remove(&self.files_directory()).map_err(InstallError::Directory)?;
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }

    fn fetch_and_replace(&self) -> Result<AgentMetadata, InstallError> {
        // A server must not respond with 304 to a request without validators.
        let Some(download) = self.fetch(&Validators::default())? else {
            return Err(InstallError::Fetch {
                source: self.release.source.redacted(),
                error: FetchError::Empty,
            });
        };
        let metadata = self.replace(download)?;
        if self.release.pin.is_none() {
            (self.on_notice)(Notice::Unpinned(&metadata.sha256));
        }
        Ok(metadata)
    }

    fn refresh(&self, cached: AgentMetadata) -> Result<AgentMetadata, InstallError> {
        (self.on_notice)(Notice::Checking(&self.release.source.redacted()));
        match self.fetch_if_changed(&cached) {
            // The directory itself cannot be changed, and the installed agent may be damaged.
            Err(error @ InstallError::Directory(_)) => Err(error),
            Err(error) => {
                (self.on_notice)(Notice::Kept {
                    error: &error,
                    checksum: &cached.sha256,
                });
                Ok(cached)
            }
            outcome => outcome,
        }
    }

    fn fetch_if_changed(&self, cached: &AgentMetadata) -> Result<AgentMetadata, InstallError> {
        let Some(download) = self.fetch(&cached.validators())? else {
            (self.on_notice)(Notice::UsingUnchanged);
            return Ok(cached.clone());
        };
        if download.checksum == cached.sha256 {
            (self.on_notice)(Notice::UsingSameDownload);
            return Ok(AgentMetadata {
                etag: download.validators.etag,
                last_modified: download.validators.last_modified,
                ..cached.clone()
            });
        }
        let metadata = self.replace(download)?;
        (self.on_notice)(Notice::Changed {
            from: &cached.sha256,
            to: &metadata.sha256,
        });
        Ok(metadata)
    }

    /// Downloads the agent into the staging directory, and compares it with the pin; `None` if the
    /// server still has the version of the `known` validators.
    fn fetch(&self, known: &Validators) -> Result<Option<Download>, InstallError> {
        let source = self.release.source.redacted();
        files::remove(self.staging)
            .and_then(|()| fs_err::create_dir_all(self.staging))
            .map_err(InstallError::Staging)?;
        if known.is_empty() {
            (self.on_notice)(Notice::Fetching {
                source: &source,
                target: &self.release.target,
            });
        }
        let fetched = fetch::fetch(
            &self.release.source,
            known,
            &self.download_path(),
            self.network,
            self.limits,
            &|event| (self.on_notice)(Notice::Fetch(event)),
        );
        let download = match fetched {
            Ok(Some(download)) => download,
            Ok(None) => return Ok(None),
            Err(error) => return Err(InstallError::Fetch { source, error }),
        };
        if let Some(pin) = &self.release.pin
            && *pin != download.checksum
        {
            return Err(InstallError::Checksum {
                source,
                kind: self.release.source.kind(),
                mismatch: Box::new(Mismatch {
                    expected: pin.clone(),
                    actual: download.checksum,
                    // The kind is only for the message.
                    found: archive::kind_of(&self.download_path()).unwrap_or(FileKind::Other(None)),
                    bytes: download.bytes,
                }),
            });
        }
        (self.on_notice)(Notice::Fetched {
            bytes: download.bytes,
            checksum: &download.checksum,
            is_pinned: self.release.pin.is_some(),
        });
        Ok(Some(download))
    }

    /// Unpacks the download beside the installed agent, which is replaced only after that
    /// succeeded.
    fn replace(&self, download: Download) -> Result<AgentMetadata, InstallError> {
        let scratch = self.staging.join("scratch");
        let fresh = self.staging.join(FILES_DIRECTORY);
        for directory in [&scratch, &fresh] {
            fs_err::create_dir(directory).map_err(InstallError::Staging)?;
        }
        let Unpacked { files, left_out } = archive::unpack(
            &self.download_path(),
            &self.release.program,
            &scratch,
            &fresh,
            &self.release.target,
            self.limits,
            download.is_delimited || self.release.pin.is_some(),
        )
        .map_err(|error| InstallError::Archive {
            source: self.release.source.redacted(),
            kind: self.release.source.kind(),
            error,
        })?;
        if !left_out.is_empty() {
            (self.on_notice)(Notice::LeftOut(&left_out));
        }
        self.swap(&fresh).map_err(InstallError::Directory)?;
        (self.on_notice)(Notice::Installed(&files));
        Ok(AgentMetadata {
            installer: INSTALLER.to_owned(),
            agent: self.release.agent.clone(),
            os: self.release.target.os.clone(),
            arch: self.release.target.arch.clone(),
            source: self.release.source.public_url(),
            sha256: download.checksum,
            etag: download.validators.etag,
            last_modified: download.validators.last_modified,
            files,
        })
    }

    fn swap(&self, fresh: &Path) -> io::Result<()> {
        fs_err::set_permissions(fresh, PermissionsExt::from_mode(DIRECTORY_MODE))?;
        let installed = self.files_directory();
        match fs_err::rename(&installed, self.staging.join("replaced")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs_err::rename(fresh, installed)
    }

    fn files_directory(&self) -> PathBuf {
        self.directory.join(FILES_DIRECTORY)
    }

    fn download_path(&self) -> PathBuf {
        self.staging.join("download")
    }
}

#[cfg(test)]
mod tests;
