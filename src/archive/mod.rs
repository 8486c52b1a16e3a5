//! The agent's files in a download.
//!
//! No path of an archive is ever used as a path. Regular files are stored under numbers as they
//! come, and when the directory of the agent is known, its files are moved to their names, which
//! are single components.

mod elf_file;
mod error;
pub(crate) mod file_kind;
pub(crate) mod gunzip;
mod tar_entries;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err::File;
use fs_err::os::unix::fs::OpenOptionsExt;

use self::error::read_error;
pub(crate) use self::error::{ArchiveError, Damage, Form};
pub(crate) use self::file_kind::{FileKind, HEAD_BYTES, Mangling};
use self::gunzip::{Bounded, Gunzip};
use self::tar_entries::{Entries, EntryKind};
use crate::checksum::{Checksum, HashingWriter};
use crate::files::{FILE_MODE, PROGRAM_MODE};
use crate::limits::{BUFFER_BYTES, Limits};
use crate::target::Target;

/// The name of the agent's executable, in an archive and in an installation.
pub(crate) const AGENT: &str = "backplane";

/// The names of our own programs in the agent's directory, which no archive may contain.
pub(crate) const RESERVED_NAMES: [&str; 3] =
    ["backplane-drain", "backplane-run", "backplane-status"];

/// How much memory all paths of an archive may take.
const MAX_ALL_PATHS_BYTES: usize = 4 << 20;

/// How deeply gzip files may be nested.
const MAX_WRAPPINGS: usize = 3;

/// The installed files by name, each with its checksum.
pub(crate) type Files = BTreeMap<String, Checksum>;

/// The content of a download.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) files: Files,
    /// The names of the links and devices beside the agent, which are not installed.
    pub(crate) left_out: Vec<String>,
}

/// Extracts the agent's files from `download` into the empty directory `into`: of an archive, the
/// file `program`, and, if that is [`AGENT`], the other files of its directory. For any other
/// program, the buildpack has the files that belong beside it. Other files of an archive stay in the
/// empty directory `scratch`. Unless `is_complete`, the download may be truncated, so its content
/// has to mark its end.
pub(crate) fn unpack(
    download: &Path,
    program: &str,
    scratch: &Path,
    into: &Path,
    target: &Target,
    limits: &Limits,
    is_complete: bool,
) -> Result<Unpacked, ArchiveError> {
    let file = File::open(download).map_err(ArchiveError::Read)?;
    let (kind, wrappings, content) = unwrap(file, limits)?;
    let mut unpacking = Unpacking::new(program, scratch, limits);
    match kind {
        FileKind::Tar => unpacking.archive(content, is_complete)?,
        // The end of a gzip file is checked.
        FileKind::Elf { .. } | FileKind::Script if !is_complete && wrappings == 0 => {
            return Err(ArchiveError::Unproven);
        }
        FileKind::LfsPointer => unpacking.bare_file(content)?,
        kind if kind.is_program() => unpacking.bare_file(content)?,
        found => {
            return Err(ArchiveError::NotAnAgent {
                found,
                is_zipped: wrappings > 0,
            });
        }
    }
    unpacking.finish(into, target)
}

/// The kind of the file at `path`.
pub(crate) fn kind_of(path: &Path) -> io::Result<FileKind> {
    let mut head = Vec::new();
    read_head(File::open(path)?, &mut head)?;
    Ok(FileKind::of(&head))
}

fn read_head(file: impl Read, head: &mut Vec<u8>) -> io::Result<usize> {
    file.take(HEAD_BYTES as u64).read_to_end(head)
}

/// The content of `file` inside of all gzip files around it, and their number.
fn unwrap(
    file: File,
    limits: &Limits,
) -> Result<(FileKind, usize, Box<dyn BufRead>), ArchiveError> {
    let bounded = |reader| Bounded::new(reader, limits.max_unpacked_bytes);
    let mut content: Box<dyn BufRead> = Box::new(buffered(bounded(file)));
    let mut wrappings = 0;
    loop {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        read_head(&mut content, &mut head).map_err(read_error)?;
        let kind = FileKind::of(&head);
        content = Box::new(Cursor::new(head).chain(content));
        if kind != FileKind::Gzip || wrappings == MAX_WRAPPINGS {
            return Ok((kind, wrappings, content));
        }
        let unzipped = Bounded::new(Gunzip::new(content), limits.max_unpacked_bytes);
        content = Box::new(buffered(unzipped));
        wrappings += 1;
    }
}

fn buffered<R: Read>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_BYTES, reader)
}

/// A regular file of the archive, stored under a number.
#[derive(Clone)]
struct Stored {
    number: usize,
    size: u64,
    checksum: Checksum,
    is_executable: bool,
    is_repeated: bool,
}

/// The entries so far, by directory and name in the archive.
struct Unpacking<'a> {
    program: &'a str,
    scratch: &'a Path,
    limits: &'a Limits,
    directories: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Stored>>,
    /// Directory, name and target of each entry that is not installed; only links have a target.
    left_out: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    count: usize,
    bytes: u64,
    path_bytes: usize,
}

impl<'a> Unpacking<'a> {
    fn new(program: &'a str, scratch: &'a Path, limits: &'a Limits) -> Self {
        Self {
            program,
            scratch,
            limits,
            directories: BTreeMap::new(),
            left_out: Vec::new(),
            count: 0,
            bytes: 0,
            path_bytes: 0,
        }
    }

    /// Stores a download that is the agent itself.
    fn bare_file(&mut self, mut content: impl Read) -> Result<(), ArchiveError> {
        let copy = |writer: &mut _| tar_entries::copy(&mut content, u64::MAX, writer).map(drop);
        let stored = self.store(true, copy)?;
        self.insert((Vec::new(), self.program.into()), stored);
        Ok(())
    }

    fn archive(&mut self, content: impl Read, is_complete: bool) -> Result<(), ArchiveError> {
        let mut entries = Entries::new(content, self.limits.max_entries);
        while let Some(entry) = entries.next()? {
            let Some(path) = split_path(&entry.path) else {
                continue;
            };
            self.path_bytes += entry.path.len();
            match entry.kind {
                EntryKind::File(content) => {
                    self.reserve(content.size)?;
                    let is_executable = content.mode & 0o111 != 0;
                    let stored =
                        self.store(is_executable, |writer| entries.copy(&content, writer))?;
                    self.insert(path, stored);
                }
                EntryKind::HardLink(target) => match self.find(&target) {
                    Some(stored) => self.insert(path, stored.clone()),
                    None => self.leave_out(path, target),
                },
                EntryKind::SymbolicLink(target) => self.leave_out(path, target),
                EntryKind::Special => self.leave_out(path, Vec::new()),
                EntryKind::Directory => {}
            }
            if self.path_bytes > MAX_ALL_PATHS_BYTES {
                return Err(ArchiveError::PathTooLong);
            }
        }
        let has_end_mark = entries.has_end_mark();
        // The checksum of the compression follows the end of the archive, and a hostile archive may
        // hide more there.
        io::copy(&mut entries.into_inner(), &mut io::sink()).map_err(read_error)?;
        if is_complete || has_end_mark {
            Ok(())
        } else {
            Err(ArchiveError::Damaged(Damage::EndsEarly))
        }
    }

    /// Counts what will be written.
    fn reserve(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.max_unpacked_bytes {
            return Err(ArchiveError::TooLarge);
        }
        Ok(())
    }

    /// Stores what `write` writes, by the next number.
    fn store(
        &mut self,
        is_executable: bool,
        write: impl FnOnce(&mut HashingWriter<File>) -> Result<(), ArchiveError>,
    ) -> Result<Stored, ArchiveError> {
        let number = self.count;
        self.count += 1;
        let file = fs_err::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(self.stored_path(number))
            .map_err(ArchiveError::Write)?;
        let mut writer = HashingWriter::new(file);
        write(&mut writer)?;
        Ok(Stored {
            number,
            size: writer.written(),
            checksum: writer.finish().map_err(ArchiveError::Write)?,
            is_executable,
            is_repeated: false,
        })
    }

    fn stored_path(&self, number: usize) -> PathBuf {
        self.scratch.join(number.to_string())
    }

    fn insert(&mut self, (directory, name): (Vec<u8>, Vec<u8>), mut stored: Stored) {
        let names = self.directories.entry(directory).or_default();
        stored.is_repeated = names.contains_key(&name);
        names.insert(name, stored);
    }

    /// The stored file of a path.
    fn find(&self, path: &[u8]) -> Option<&Stored> {
        let (directory, name) = split_path(path)?;
        self.directories.get(&directory)?.get(&name)
    }

    fn leave_out(&mut self, (directory, name): (Vec<u8>, Vec<u8>), target: Vec<u8>) {
        self.path_bytes += target.len();
        self.left_out.push((directory, name, target));
    }

    /// Moves the files of the agent's directory to their names.
    fn finish(mut self, into: &Path, target: &Target) -> Result<Unpacked, ArchiveError> {
        let directory = self.agent_directory()?;
        let mut chosen = self.directories.remove(&directory).unwrap_or_default();
        let has_others = self.program == AGENT;
        if !has_others {
            chosen.retain(|name, _| name == self.program.as_bytes());
        }
        let mut files = Files::new();
        let mut moved: BTreeMap<usize, PathBuf> = BTreeMap::new();
        for (name, stored) in chosen {
            let name = usable_name(name)?;
            if stored.is_repeated {
                return Err(ArchiveError::RepeatedName(name));
            }
            let path = into.join(&name);
            // A hard link to a file that was moved becomes a copy of it.
            if let Some(original) = moved.get(&stored.number) {
                self.reserve(stored.size)?;
                fs_err::copy(original, &path).map_err(ArchiveError::Write)?;
            } else {
                fs_err::rename(self.stored_path(stored.number), &path)
                    .map_err(ArchiveError::Write)?;
                moved.insert(stored.number, path.clone());
            }
            let kind = check(&name, self.program, &path, target)?;
            // The archiver or its system may have lost the mode.
            let mode = if stored.is_executable || kind.is_program() {
                PROGRAM_MODE
            } else {
                FILE_MODE
            };
            fs_err::set_permissions(&path, PermissionsExt::from_mode(mode))
                .map_err(ArchiveError::Write)?;
            files.insert(name, stored.checksum);
        }
        let left_out = self
            .left_out
            .into_iter()
            .filter(|(other, ..)| has_others && *other == directory)
            .map(|(_, name, _)| join_path(b"", &name))
            .collect();
        Ok(Unpacked { files, left_out })
    }

    fn agent_directory(&self) -> Result<Vec<u8>, ArchiveError> {
        // Enough for the user to recognize the archive.
        const SHOWN: usize = 5;
        let mut holders: Vec<_> = self
            .directories
            .iter()
            .filter_map(|(directory, names)| Some((directory, names.get(self.program.as_bytes())?)))
            .collect();
        // The others may be completion scripts of a shell or pages of a manual.
        let mut programs = Vec::new();
        for (directory, agent) in &holders {
            let kind = kind_of(&self.stored_path(agent.number)).map_err(ArchiveError::Read)?;
            if kind.is_program() {
                programs.push((*directory, *agent));
            }
        }
        if !programs.is_empty() {
            holders = programs;
        }
        match holders[..] {
            [(directory, agent)] if !agent.is_repeated => Ok(directory.clone()),
            [] => Err(self.agent_link().unwrap_or_else(|| {
                let names = self.directories.iter().flat_map(|(directory, names)| {
                    names.keys().map(|name| join_path(directory, name))
                });
                ArchiveError::NoAgent {
                    program: self.program.to_owned(),
                    names: names.take(SHOWN).collect(),
                }
            })),
            // One directory that holds it twice is named twice.
            ref several => Err(ArchiveError::SeveralAgents {
                paths: several
                    .iter()
                    .cycle()
                    .take(2)
                    .map(|(directory, _)| join_path(directory, self.program.as_bytes()))
                    .collect(),
            }),
        }
    }

    fn agent_link(&self) -> Option<ArchiveError> {
        self.left_out
            .iter()
            .find(|(_, name, target)| name == self.program.as_bytes() && !target.is_empty())
            .map(|(directory, name, target)| ArchiveError::AgentIsLink {
                path: join_path(directory, name),
                target: join_path(b"", target),
            })
    }
}

/// Checks that the file can be installed under `name`.
fn check(
    name: &str,
    program: &str,
    path: &Path,
    target: &Target,
) -> Result<FileKind, ArchiveError> {
    let mut file = File::open(path).map_err(ArchiveError::Read)?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    read_head(&mut file, &mut head).map_err(ArchiveError::Read)?;
    let kind = FileKind::of(&head);
    let is_agent = name == program;
    let name = || name.to_owned();
    Err(match kind {
        FileKind::LfsPointer => ArchiveError::LfsPointer(name()),
        FileKind::Elf {
            machine: Some(machine),
        } if kind.is_foreign_elf(target) => ArchiveError::WrongArchitecture {
            name: name(),
            machine,
            target: target.clone(),
        },
        FileKind::Elf { .. } => match elf_file::is_complete(&mut file, &head) {
            Ok(true) => return Ok(kind),
            Ok(false) => ArchiveError::IncompleteProgram(name()),
            Err(error) => ArchiveError::Read(error),
        },
        FileKind::MangledScript(mangling) if is_agent => {
            ArchiveError::MangledScript(name(), mangling)
        }
        found if is_agent && !found.is_program() => ArchiveError::NotExecutable(name(), found),
        _ => return Ok(kind),
    })
}

fn usable_name(name: Vec<u8>) -> Result<String, ArchiveError> {
    match String::from_utf8(name) {
        Ok(name) if RESERVED_NAMES.contains(&name.as_str()) => {
            Err(ArchiveError::ReservedName(name))
        }
        Ok(name) if name.chars().any(char::is_control) => Err(ArchiveError::UnusableName(name)),
        Ok(name) => Ok(name),
        Err(error) => Err(ArchiveError::UnusableName(join_path(b"", error.as_bytes()))),
    }
}

/// Directory and name of a path in an archive; `None` if it names no file.
fn split_path(path: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    let name = parts.pop().filter(|name| *name != b"..")?;
    Some((parts.join(&b'/'), name.to_vec()))
}

/// A path of an archive, for messages.
fn join_path(directory: &[u8], name: &[u8]) -> String {
    let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
    String::from_utf8_lossy(&[directory, slash, name].concat()).into_owned()
}

#[cfg(test)]
mod tests;
