//! The agent's files out of a download.
//!
//! No path of an archive is ever used as a path: regular files are stored under numbers as they come by, and when the
//! folder of the agent is known, its files are moved to their names, which are single components.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err::File;
use fs_err::os::unix::fs::OpenOptionsExt;
use tar::{Archive, EntryType, PaxExtensions};

use crate::checksum::{Checksum, HashingWriter};
use crate::content::{HEAD_BYTES, Kind};
use crate::gunzip::{Bounded, Gunzip};
use crate::limits::{BUFFER_BYTES, Limits};
use crate::target::Target;

/// The name of the agent's executable, in an archive and where it is installed.
pub(crate) const AGENT: &str = "backplane";

/// The names of our own programs in the folder of the agent, which no archive may bring.
pub(crate) const RESERVED_NAMES: [&str; 1] = ["backplane-status"];

/// A path of an archive may be as long as a path of Linux (`PATH_MAX`, limits.h).
const PATH_BYTES: usize = 4096;

/// The modes of installed files: whatever the archive and the umask say, any user must be able to run them.
const EXECUTABLE_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// The installed files by name, each with its checksum.
pub(crate) type Files = BTreeMap<String, Checksum>;

/// Errors that can occur when the agent's files are taken out of a download.
#[derive(Debug)]
pub(crate) enum ArchiveError {
    /// The download is neither an archive nor an executable.
    NotAnAgent { found: Kind },
    /// The archive is truncated or corrupted.
    Damaged { reason: String },
    /// The archive unpacks to more than the limit, in bytes.
    TooLarge { limit: u64 },
    /// The archive has more entries than the limit.
    TooManyEntries { limit: usize },
    /// A path in the archive is too long.
    PathTooLong,
    /// No regular file in the archive is named as the agent.
    NoAgent { names: Vec<String> },
    /// Several folders of the archive hold an agent, or one holds it twice.
    SeveralAgents { paths: Vec<String> },
    /// Two files beside the agent have the same name.
    RepeatedName { name: String },
    /// A file beside the agent has the name of one of our programs.
    ReservedName { name: String },
    /// A file beside the agent has a name that is not UTF-8 or has control characters.
    UnusableName { name: String },
    /// The agent is neither a program nor a script.
    NotExecutable { found: Kind },
    /// A program is for another architecture.
    WrongArchitecture {
        name: String,
        found: Kind,
        target: Target,
    },
    /// The download cannot be read.
    Read(io::Error),
    /// A file cannot be written.
    Write(io::Error),
}

/// Takes the agent's files out of `download` into the empty folder `into`; what else an archive holds is left in the
/// empty folder `scratch`.
pub(crate) fn unpack(
    download: &Path,
    scratch: &Path,
    into: &Path,
    target: &Target,
    limits: &Limits,
) -> Result<Files, ArchiveError> {
    let kind = kind_of(download).map_err(ArchiveError::Read)?;
    let mut unpacking = Unpacking::new(scratch, limits);
    match kind {
        Kind::Elf { .. } | Kind::Script => unpacking.bare_executable(download)?,
        Kind::Gzip => {
            let file = File::open(download).map_err(ArchiveError::Read)?;
            unpacking.archive(Gunzip::new(BufReader::with_capacity(BUFFER_BYTES, file)))?;
        }
        Kind::Tar => {
            let file = File::open(download).map_err(ArchiveError::Read)?;
            unpacking.archive(BufReader::with_capacity(BUFFER_BYTES, file))?;
        }
        Kind::Other(_) => return Err(ArchiveError::NotAnAgent { found: kind }),
    }
    unpacking.finish(into, target)
}

fn kind_of(path: &Path) -> io::Result<Kind> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    File::open(path)?
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    Ok(Kind::of(&head))
}

/// A regular file of the archive, stored under a number.
struct Stored {
    path: PathBuf,
    checksum: Checksum,
    is_executable: bool,
    is_repeated: bool,
}

/// The files that have been stored so far, by folder and name in the archive.
struct Unpacking<'a> {
    scratch: &'a Path,
    limits: &'a Limits,
    folders: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Stored>>,
    count: usize,
}

impl<'a> Unpacking<'a> {
    fn new(scratch: &'a Path, limits: &'a Limits) -> Self {
        Self {
            scratch,
            limits,
            folders: BTreeMap::new(),
            count: 0,
        }
    }

    fn bare_executable(&mut self, download: &Path) -> Result<(), ArchiveError> {
        let file = File::open(download).map_err(ArchiveError::Read)?;
        self.store(AGENT.as_bytes(), true, file)
    }

    fn archive(&mut self, content: impl Read) -> Result<(), ArchiveError> {
        let mut archive = Archive::new(Bounded::new(content, self.limits.unpacked_bytes));
        let outcome = self.entries(&mut archive);
        let mut content = archive.into_inner();
        // Behind the end of the archive is the checksum of the compression, and what a hostile archive hides there.
        let outcome = outcome.and_then(|()| {
            io::copy(&mut content, &mut io::sink()).map_err(|error| damaged(&error))
        });
        match outcome {
            Err(_) if content.is_exceeded() => Err(ArchiveError::TooLarge {
                limit: self.limits.unpacked_bytes,
            }),
            outcome => outcome.map(|_bytes| ()),
        }
    }

    fn entries(&mut self, archive: &mut Archive<impl Read>) -> Result<(), ArchiveError> {
        let mut long_path = None;
        // Raw, because the library would read the long path of a hostile archive into memory whatever its size.
        let entries = archive.entries().map_err(|error| damaged(&error))?;
        for (index, entry) in entries.raw(true).enumerate() {
            if index >= self.limits.entries {
                return Err(ArchiveError::TooManyEntries {
                    limit: self.limits.entries,
                });
            }
            let mut entry = entry.map_err(|error| damaged(&error))?;
            match entry.header().entry_type() {
                EntryType::GNULongName => {
                    let mut path = bounded_text(&mut entry)?;
                    path.truncate(
                        path.iter()
                            .position(|byte| *byte == 0)
                            .unwrap_or(path.len()),
                    );
                    long_path = Some(path);
                }
                EntryType::XHeader => {
                    let extensions = bounded_text(&mut entry)?;
                    long_path = pax_path(&extensions).or(long_path);
                }
                // What belongs to the next entry and does not matter to us.
                EntryType::GNULongLink | EntryType::XGlobalHeader => {}
                kind => {
                    let path = long_path
                        .take()
                        .unwrap_or_else(|| entry.path_bytes().into_owned());
                    if matches!(kind, EntryType::Regular | EntryType::Continuous) {
                        let mode = entry.header().mode().unwrap_or(FILE_MODE);
                        self.store(&path, mode & 0o111 != 0, &mut entry)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Stores a regular file under the next number.
    fn store(
        &mut self,
        archive_path: &[u8],
        is_executable: bool,
        mut content: impl Read,
    ) -> Result<(), ArchiveError> {
        let Some((folder, name)) = split_path(archive_path) else {
            return Ok(());
        };
        if archive_path.len() > PATH_BYTES {
            return Err(ArchiveError::PathTooLong);
        }
        let path = self.scratch.join(self.count.to_string());
        self.count += 1;
        let file = fs_err::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(ArchiveError::Write)?;
        let mut writer = HashingWriter::new(file);
        copy(&mut content, &mut writer)?;
        let checksum = writer.finish().map_err(ArchiveError::Write)?;
        let names = self.folders.entry(folder).or_default();
        let is_repeated = names.contains_key(&name);
        names.insert(
            name,
            Stored {
                path,
                checksum,
                is_executable,
                is_repeated,
            },
        );
        Ok(())
    }

    /// Moves the files of the agent's folder to their names.
    fn finish(mut self, into: &Path, target: &Target) -> Result<Files, ArchiveError> {
        let folder = self.agent_folder()?;
        let chosen = self.folders.remove(&folder).unwrap_or_default();
        let mut files = Files::new();
        for (name, stored) in chosen {
            let name = usable_name(name)?;
            if stored.is_repeated {
                return Err(ArchiveError::RepeatedName { name });
            }
            let kind = kind_of(&stored.path).map_err(ArchiveError::Read)?;
            check_kind(&name, kind, target)?;
            let mode = if stored.is_executable || name == AGENT {
                EXECUTABLE_MODE
            } else {
                FILE_MODE
            };
            fs_err::set_permissions(&stored.path, PermissionsExt::from_mode(mode))
                .and_then(|()| fs_err::rename(&stored.path, into.join(&name)))
                .map_err(ArchiveError::Write)?;
            files.insert(name, stored.checksum);
        }
        Ok(files)
    }

    fn agent_folder(&self) -> Result<Vec<u8>, ArchiveError> {
        // Enough to see what kind of archive it is.
        const SHOWN: usize = 5;
        let show = |folder: &[u8], name: &[u8]| {
            let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
            String::from_utf8_lossy(&[folder, slash, name].concat())
                .escape_debug()
                .to_string()
        };
        let mut holders = self.folders.iter().filter_map(|(folder, names)| {
            let agent = names.get(AGENT.as_bytes())?;
            Some((folder, agent.is_repeated))
        });
        match (holders.next(), holders.next()) {
            (Some((folder, false)), None) => Ok(folder.clone()),
            (None, _) => Err(ArchiveError::NoAgent {
                names: self
                    .folders
                    .iter()
                    .flat_map(|(folder, names)| names.keys().map(|name| show(folder, name)))
                    .take(SHOWN)
                    .collect(),
            }),
            (Some((first, _)), second) => Err(ArchiveError::SeveralAgents {
                paths: [first, second.map_or(first, |(folder, _)| folder)]
                    .map(|folder| show(folder, AGENT.as_bytes()))
                    .to_vec(),
            }),
        }
    }
}

fn check_kind(name: &str, kind: Kind, target: &Target) -> Result<(), ArchiveError> {
    if kind.is_foreign_elf(target) {
        return Err(ArchiveError::WrongArchitecture {
            name: name.to_owned(),
            found: kind,
            target: target.clone(),
        });
    }
    if name == AGENT && !matches!(kind, Kind::Elf { .. } | Kind::Script) {
        return Err(ArchiveError::NotExecutable { found: kind });
    }
    Ok(())
}

fn usable_name(name: Vec<u8>) -> Result<String, ArchiveError> {
    let unusable = |name: &[u8]| ArchiveError::UnusableName {
        name: String::from_utf8_lossy(name).escape_debug().to_string(),
    };
    let name = String::from_utf8(name).map_err(|error| unusable(error.as_bytes()))?;
    if name.chars().any(char::is_control) {
        return Err(unusable(name.as_bytes()));
    }
    if RESERVED_NAMES.contains(&name.as_str()) {
        return Err(ArchiveError::ReservedName { name });
    }
    Ok(name)
}

/// Folder and name of a path in an archive; none where it names no file.
fn split_path(path: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    let name = parts.pop().filter(|name| *name != b"..")?;
    Some((parts.join(&b'/'), name.to_vec()))
}

/// The content of a small entry that describes the next one.
fn bounded_text(entry: &mut impl Read) -> Result<Vec<u8>, ArchiveError> {
    // A path, and room for the extended attributes that some archivers write.
    const LIMIT: usize = 16 * PATH_BYTES;
    let mut text = Vec::new();
    entry
        .take(LIMIT as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| damaged(&error))?;
    if text.len() > LIMIT {
        return Err(ArchiveError::PathTooLong);
    }
    Ok(text)
}

fn pax_path(extensions: &[u8]) -> Option<Vec<u8>> {
    PaxExtensions::new(extensions)
        .filter_map(Result::ok)
        .find(|extension| extension.key_bytes() == b"path")
        .map(|extension| extension.value_bytes().to_vec())
}

/// Copies, and keeps apart whose fault it is when that fails.
fn copy(content: &mut impl Read, file: &mut impl Write) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => file
                .write_all(&buffer[..count])
                .map_err(ArchiveError::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damaged(&error)),
        }
    }
}

fn damaged(error: &io::Error) -> ArchiveError {
    ArchiveError::Damaged {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
