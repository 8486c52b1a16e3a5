//! Installs the agent into a folder: `libexec/` below it holds the agent's files and our own program beside them.
//!
//! Nothing here knows of layers or of libcnb, so that every front end can call it.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use crate::archive::{self, ArchiveError, Files, RESERVED_NAMES, Unpacked};
use crate::cache::{self, Cached, Decision, Names};
use crate::checksum::Checksum;
use crate::content::{HEAD_BYTES, Kind};
use crate::download::{self, Download, DownloadError, Fetched, Validators};
use crate::files::{self, DIRECTORY_MODE, FILE_MODE, Links};
use crate::limits::Limits;
use crate::output::Output;
use crate::record::{INSTALLER, Record};
use crate::redact::Redacted;
use crate::release::{Place, Release};
use crate::settings::Network;
use crate::warnings;

/// The folder of the agent's files, below the folder that is installed into.
pub(crate) const FILES_FOLDER: &str = "libexec";

/// Where a front end puts the launch program, seen from that folder: under another name it tells the agent's status.
const LAUNCH_PROGRAM: &str = "../exec.d/launch";

/// Any user must be able to run the programs.
const PROGRAM_MODE: u32 = 0o755;

/// An installation that is asked for.
pub(crate) struct Installation<'a> {
    /// The folder to install into; it exists.
    pub(crate) folder: &'a Path,
    /// A folder to work in, on the same file system; what is in it is removed, and it is gone afterwards.
    pub(crate) staging: &'a Path,
    pub(crate) release: &'a Release,
    /// Whether to go on without an agent that cannot be fetched.
    pub(crate) optional: bool,
    pub(crate) network: &'a Network,
    pub(crate) limits: &'a Limits,
    pub(crate) output: &'a dyn Output,
}

/// The record that an earlier build left beside the folder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Previous {
    Nothing,
    Unreadable { reason: String },
    Record(Record),
}

impl Previous {
    /// A record that is damaged, for a `reason` that may quote it: one line of it, of a length that can be read.
    pub(crate) fn unreadable(reason: &str) -> Self {
        const LONGEST: usize = 200;
        Self::Unreadable {
            reason: reason
                .trim()
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(LONGEST)
                .collect(),
        }
    }
}

/// Errors that can occur when an agent is installed; each `source` is as it may be shown.
#[derive(Debug)]
pub(crate) enum InstallError {
    /// The agent cannot be fetched.
    Download {
        source: Redacted,
        error: DownloadError,
    },
    /// What was fetched is not what the pin asks for.
    Checksum {
        source: Redacted,
        place: Place,
        mismatch: Box<Mismatch>,
    },
    /// What was fetched holds no agent that can be installed.
    Archive {
        source: Redacted,
        place: Place,
        error: ArchiveError,
    },
    /// The folder to work in cannot be made or removed.
    Staging(io::Error),
    /// The installed files cannot be read or replaced.
    Folder(io::Error),
}

/// What the pin asks for, and what came.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) expected: Checksum,
    pub(crate) actual: Checksum,
    pub(crate) found: Kind,
    pub(crate) bytes: u64,
}

impl Installation<'_> {
    /// Keeps, refreshes or replaces what is installed; gives the record of what is installed afterwards, or none where
    /// the build goes on without an agent.
    pub(crate) fn run(&self, previous: Previous) -> Result<Option<Record>, InstallError> {
        let outcome = self.carry_out(previous);
        let cleaned = files::remove(self.staging).map_err(InstallError::Staging);
        let record = outcome?;
        cleaned?;
        Ok(record)
    }

    fn carry_out(&self, previous: Previous) -> Result<Option<Record>, InstallError> {
        match cache::decide(self.inspect(previous), self.release) {
            Decision::Keep(record) => {
                self.output.step(&format!(
                    "Using the cached agent: it has the pinned checksum {}",
                    record.sha256
                ));
                Ok(Some(record))
            }
            Decision::Install { reasons } => {
                self.output
                    .step(&format!("Installing the agent: {}", reasons.join("; ")));
                self.install()
            }
            Decision::Replace { reason } => {
                self.output.step(&format!("Replacing the agent: {reason}"));
                self.install()
            }
            Decision::Refresh(record) => self.refresh(record).map(Some),
        }
    }

    /// What is really there, file by file.
    fn inspect(&self, previous: Previous) -> Cached {
        let record = match previous {
            Previous::Nothing => return Cached::Nothing,
            Previous::Unreadable { reason } => return Cached::Unreadable { reason },
            Previous::Record(record) => record,
        };
        // What cannot be read is as good as altered: it is replaced, which is no reason to stop a build.
        let altered = || Checksum::of_bytes(b"not a readable regular file");
        let mut budget = self.limits.unpacked_bytes;
        let files: Files = record
            .files
            .keys()
            .map(|name| (name, self.files_folder().join(name)))
            .filter(|(_, path)| fs_err::symlink_metadata(path).is_ok())
            .map(|(name, path)| {
                let checksum = checksum_with_mode_set(&path, &mut budget);
                (name.clone(), checksum.unwrap_or_else(|_| altered()))
            })
            .collect();
        let is_known = |name: &OsStr| {
            name.to_str().is_some_and(|name| {
                record.files.contains_key(name) || RESERVED_NAMES.contains(&name)
            })
        };
        let mut foreign = Box::<Names>::default();
        let entries = fs_err::read_dir(self.files_folder());
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !is_known(&name) {
                foreign.add(&name.to_string_lossy());
            }
        }
        Cached::Agent {
            record,
            files,
            foreign,
        }
    }

    fn install(&self) -> Result<Option<Record>, InstallError> {
        match self.fetch_and_replace() {
            Ok(record) => Ok(Some(record)),
            Err(error) if self.optional && self.is_about_fetching(&error) => {
                self.output.warning(&warnings::going_without(&error));
                // What is cached is not what was asked for: it may not be in the image.
                files::remove(&self.files_folder()).map_err(InstallError::Folder)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a build may go on without an agent after `error`: it could not be fetched, but nothing says that what is
    /// asked for is wrong.
    fn is_about_fetching(&self, error: &InstallError) -> bool {
        match error {
            InstallError::Download { error, .. } => matches!(
                error,
                DownloadError::Http(_) | DownloadError::ReadSource(_) | DownloadError::Empty
            ),
            // A page of a captive portal, an error with status 200, half an archive: trouble of a server.
            InstallError::Archive { error, .. } => {
                self.release.source.place() == Place::Server
                    && matches!(
                        error,
                        ArchiveError::NotAnAgent { .. }
                            | ArchiveError::Damaged { .. }
                            | ArchiveError::IncompleteProgram { .. }
                            | ArchiveError::Unproven
                    )
            }
            InstallError::Checksum { .. } | InstallError::Staging(_) | InstallError::Folder(_) => {
                false
            }
        }
    }

    fn fetch_and_replace(&self) -> Result<Record, InstallError> {
        // Without validators no server may say that it has nothing newer.
        let Some(download) = self.fetch(&Validators::default())? else {
            return Err(InstallError::Download {
                source: self.release.source.redacted(),
                error: DownloadError::Empty,
            });
        };
        let record = self.replace(download)?;
        if self.release.pin.is_none() {
            self.output.warning(&warnings::unpinned(&record.sha256));
        }
        Ok(record)
    }

    fn refresh(&self, cached: Record) -> Result<Record, InstallError> {
        self.output.step(&format!(
            "Asking {} whether there is another agent than the cached one",
            self.release.source.redacted()
        ));
        let outcome = self.fetch(&cached.validators()).and_then(|fetched| {
            let Some(download) = fetched else {
                self.output.step("Using the cached agent: it is unchanged");
                return Ok(cached.clone());
            };
            if download.checksum == cached.sha256 {
                self.output
                    .step("Using the cached agent: the download has the same checksum");
                return Ok(Record {
                    etag: download.validators.etag,
                    last_modified: download.validators.last_modified,
                    ..cached.clone()
                });
            }
            let record = self.replace(download)?;
            self.output
                .warning(&warnings::changed(&cached.sha256, &record.sha256));
            Ok(record)
        });
        match outcome {
            // The folder itself is in trouble, and so may be what is installed.
            Err(error @ InstallError::Folder(_)) => Err(error),
            Err(error) => {
                self.output.warning(&warnings::kept(&error, &cached.sha256));
                Ok(cached)
            }
            outcome => outcome,
        }
    }

    /// Fetches the download into the folder to work in, and checks it against the pin.
    fn fetch(&self, known: &Validators) -> Result<Option<Download>, InstallError> {
        let source = &self.release.source;
        files::remove(self.staging)
            .and_then(|()| fs_err::create_dir_all(self.staging))
            .map_err(InstallError::Staging)?;
        if *known == Validators::default() {
            self.output.step(&format!(
                "Fetching {} for {}",
                source.redacted(),
                self.release.target
            ));
        }
        let fetched = download::fetch(
            source,
            known,
            &self.download_path(),
            self.network,
            self.limits,
            self.output,
        )
        .map_err(|error| InstallError::Download {
            source: source.redacted(),
            error,
        })?;
        let Fetched::File(download) = fetched else {
            return Ok(None);
        };
        let result = match &self.release.pin {
            Some(pin) if *pin != download.checksum => {
                return Err(InstallError::Checksum {
                    source: source.redacted(),
                    place: source.place(),
                    mismatch: Box::new(Mismatch {
                        expected: pin.clone(),
                        actual: download.checksum,
                        // It only makes the message better.
                        found: archive::kind_of(&self.download_path()).unwrap_or(Kind::Other(None)),
                        bytes: download.bytes,
                    }),
                });
            }
            Some(_) => "which is the pinned one",
            None => "which nothing pins",
        };
        self.output.step(&format!(
            "Fetched {} with the SHA-256 checksum {}, {result}",
            ByteSize(download.bytes),
            download.checksum
        ));
        Ok(Some(download))
    }

    /// Unpacks the download beside what is installed, and only when that is complete, puts it in its place.
    fn replace(&self, download: Download) -> Result<Record, InstallError> {
        let scratch = self.staging.join("scratch");
        let fresh = self.staging.join(FILES_FOLDER);
        for folder in [&scratch, &fresh] {
            fs_err::create_dir(folder).map_err(InstallError::Staging)?;
        }
        let Unpacked { files, left_out } = archive::unpack(
            &self.download_path(),
            &scratch,
            &fresh,
            &self.release.target,
            self.limits,
            download.is_delimited || self.release.pin.is_some(),
        )
        .map_err(|error| InstallError::Archive {
            source: self.release.source.redacted(),
            place: self.release.source.place(),
            error,
        })?;
        if !left_out.is_empty() {
            self.output.step(&left_out_line(&left_out));
        }
        self.swap(&fresh).map_err(InstallError::Folder)?;
        self.output.step(&format!(
            "Installed {}",
            files.keys().cloned().collect::<Vec<_>>().join(", ")
        ));
        Ok(Record {
            installer: INSTALLER.to_owned(),
            os: self.release.target.os.clone(),
            arch: self.release.target.arch.clone(),
            source: self.release.source.record(),
            sha256: download.checksum,
            etag: download.validators.etag,
            last_modified: download.validators.last_modified,
            files,
        })
    }

    fn swap(&self, fresh: &Path) -> io::Result<()> {
        fs_err::set_permissions(fresh, PermissionsExt::from_mode(DIRECTORY_MODE))?;
        let installed = self.files_folder();
        match fs_err::rename(&installed, self.staging.join("replaced")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs_err::rename(fresh, installed)
    }

    fn files_folder(&self) -> PathBuf {
        self.folder.join(FILES_FOLDER)
    }

    fn download_path(&self) -> PathBuf {
        self.staging.join("download")
    }
}

/// Leaves in `folder`, which is ours, only what an installation can use of an earlier one: the agent's files, and what is named in
/// `kept`. Nothing is read or written by way of a link: what is no directory is replaced by an empty one.
pub(crate) fn prepare(folder: &Path, kept: &[&str], output: &dyn Output) -> io::Result<()> {
    let make_directory = |path: &Path| {
        if fs_err::symlink_metadata(path).is_ok() && !files::is_directory(path) {
            output.step(&format!("Removing {}: it is no directory", path.display()));
        }
        files::make_directory(path)
    };
    make_directory(folder)?;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == FILES_FOLDER {
            make_directory(&entry.path())?;
            for name in RESERVED_NAMES {
                files::remove(&entry.path().join(name))?;
            }
        } else if !kept.iter().any(|kept| name == *kept) {
            files::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The checksum of a file that is installed, with the mode that it has to have; takes its size off `budget`.
fn checksum_with_mode_set(path: &Path, budget: &mut u64) -> io::Result<Checksum> {
    let mut file = files::open(path, Links::Refuse)?;
    let metadata = file.metadata()?;
    *budget = budget
        .checked_sub(metadata.len())
        .ok_or(io::ErrorKind::FileTooLarge)?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    (&mut file).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let is_program = matches!(Kind::of(&head), Kind::Elf { .. } | Kind::Script);
    // A program of a shell may lack its `#!`: then only the archive said that it is one.
    let mode = if is_program || metadata.mode() & 0o111 != 0 {
        PROGRAM_MODE
    } else {
        FILE_MODE
    };
    if metadata.mode() & 0o7777 != mode {
        file.set_permissions(PermissionsExt::from_mode(mode))?;
    }
    // It ends where it ended when it was opened, whoever makes it longer meanwhile.
    let rest = metadata.len().saturating_sub(head.len() as u64);
    Checksum::of_reader(head.chain(file.take(rest)))
}

/// Puts what is our own into `folder`: beside the agent's files, links to the launch program, and for that program, the checksum
/// of the agent's download.
pub(crate) fn put_own_files(folder: &Path, record: Option<&Record>) -> io::Result<()> {
    let directory = folder.join(FILES_FOLDER);
    files::make_directory(&directory)?;
    for name in RESERVED_NAMES {
        let link = directory.join(name);
        files::remove(&link)?;
        fs_err::os::unix::fs::symlink(LAUNCH_PROGRAM, link)?;
    }
    let checksum = record.map_or_else(String::new, |record| format!("{}\n", record.sha256));
    files::replace(
        &folder.join(backplane_launch::CHECKSUM_FILE),
        checksum.as_bytes(),
    )
}

/// Names what is beside the agent in the archive and is not installed.
fn left_out_line(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    let others = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    format!("Left out {shown}{others}: links and devices are not installed")
}

#[cfg(test)]
mod tests;
