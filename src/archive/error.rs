//! Errors of an archive.

use std::io;

use super::file_kind::{FileKind, Mangling};
use crate::target::Target;

/// Errors that can occur when the agent's files are extracted from a download.
#[derive(Debug)]
pub(crate) enum ArchiveError {
    /// The download is neither an archive nor an executable, nor a gzip file of one.
    NotAnAgent { found: FileKind, is_zipped: bool },
    /// The download is a program of unknown length, which may be incomplete.
    Unproven,
    /// The archive is truncated or corrupted.
    Damaged(Damage),
    /// The archive has an entry of a form that cannot be unpacked.
    Unsupported { path: String, form: Form },
    /// The archive unpacks to more than the limit.
    TooLarge,
    /// The archive has more entries than the limit.
    TooManyEntries { limit: usize },
    /// A path or an extension header in the archive is too long, or all paths together are.
    PathTooLong,
    /// No regular file in the archive has the name of the agent's `program`.
    NoAgent { program: String, names: Vec<String> },
    /// The agent is a link, and does not lead to a file of the archive.
    AgentIsLink { path: String, target: String },
    /// Several directories of the archive hold an agent, or one holds it twice.
    SeveralAgents { paths: Vec<String> },
    /// Two files beside the agent have the same name.
    RepeatedName(String),
    /// A file beside the agent has the name of one of our programs.
    ReservedName(String),
    /// A file beside the agent has a name that is not UTF-8 or has control characters.
    UnusableName(String),
    /// The agent, a file of this name, is neither a program nor a script.
    NotExecutable(String, FileKind),
    /// The agent, a file of this name, is a script that cannot be run.
    MangledScript(String, Mangling),
    /// A file is a pointer of Git LFS.
    LfsPointer(String),
    /// A program is shorter than its own headers indicate.
    IncompleteProgram(String),
    /// A program is for another architecture.
    WrongArchitecture {
        name: String,
        machine: u16,
        target: Target,
    },
    /// The download cannot be read.
    Read(io::Error),
    /// A file cannot be written.
    Write(io::Error),
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Damage {
    EndsEarly,
    Compression,
    Header,
    ExtensionHeader,
    SparseMap,
}

/// A form of an entry that cannot be unpacked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// The rest of a file from another volume.
    Continuation,
    /// A sparse file of star or Solaris.
    ForeignSparse,
    /// A sparse file of an unknown version.
    UnknownSparse,
    /// A sparse file of too many pieces.
    ManyPieces,
}

/// Why the content of a download cannot be read. A library's message may quote it, and is left out.
pub(super) fn read_error(error: io::Error) -> ArchiveError {
    let damage = match error.kind() {
        io::ErrorKind::UnexpectedEof => Damage::EndsEarly,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Damage::Compression,
        io::ErrorKind::FileTooLarge => return ArchiveError::TooLarge,
        _ => return ArchiveError::Read(error),
    };
    ArchiveError::Damaged(damage)
}
