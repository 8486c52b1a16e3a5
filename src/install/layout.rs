//! The directory of an installation: `libexec/` contains the agent's files, and links to our own
//! program.

use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::notice::{Notice, OnNotice};
use crate::archive::{FileKind, Files, HEAD_BYTES, RESERVED_NAMES};
use crate::checksum::Checksum;
use crate::files::{self, FILE_MODE, Links, PROGRAM_MODE};
use crate::metadata::AgentMetadata;
use crate::wrapper::Wrapper;

/// The directory of the agent's files, below the directory of the installation.
pub(crate) const FILES_DIRECTORY: &str = "libexec";

/// The path of the launch program, relative to that directory. If it is run by the name of a link
/// in there, it plays the role of that name: status, drain or run.
const LAUNCH_PROGRAM: &str = "../exec.d/launch";

/// Removes from `directory` everything that an installation can't use: all except the agent's files
/// and the entries in `kept`. Never follows a link: anything that should be a directory and is not
/// one is replaced by an empty one.
pub(crate) fn prepare(directory: &Path, kept: &[&str], on_notice: OnNotice<'_>) -> io::Result<()> {
    let make_directory = |path: &Path| {
        if fs_err::symlink_metadata(path).is_ok() && !files::is_directory(path) {
            on_notice(Notice::ReplacingByDirectory(path));
        }
        files::make_directory(path)
    };
    make_directory(directory)?;
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == FILES_DIRECTORY {
            make_directory(&entry.path())?;
        } else if !kept.iter().any(|kept| name == *kept) {
            files::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Writes the buildpack's own files to `directory`: links to the launch program; the files of the
/// agent's `wrapper`; and what the launch program reads, the checksum of the agent's download and
/// its variables.
pub(crate) fn write_buildpack_files(
    directory: &Path,
    metadata: Option<&AgentMetadata>,
    wrapper: Option<&Wrapper>,
) -> io::Result<()> {
    let agent_files = directory.join(FILES_DIRECTORY);
    files::make_directory(&agent_files)?;
    for name in RESERVED_NAMES {
        let link = agent_files.join(name);
        files::remove(&link)?;
        fs_err::os::unix::fs::symlink(LAUNCH_PROGRAM, link)?;
    }
    let checksum = metadata.map_or_else(String::new, |agent| format!("{}\n", agent.sha256));
    let variables = match wrapper.filter(|_| metadata.is_some()) {
        Some(wrapper) => {
            wrapper.install(&agent_files)?;
            wrapper.variables()?
        }
        None => Vec::new(),
    };
    for (name, content) in [
        (backplane_launch::CHECKSUM_FILE, checksum.as_bytes()),
        (backplane_launch::VARIABLES_FILE, &variables),
    ] {
        files::replace(&directory.join(name), content)?;
    }
    Ok(())
}

/// Removes from `directory` all files beside the agent's program that no build has recorded: those
/// of the buildpack, which each build writes, and those of others.
pub(super) fn remove_unknown(directory: &Path, known: &Files) -> io::Result<()> {
    let agent_files = directory.join(FILES_DIRECTORY);
    if !files::is_directory(&agent_files) {
        return Ok(());
    }
    for entry in fs_err::read_dir(agent_files)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| known.contains_key(name)) {
            files::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Inspects, file by file, what is in `directory` of the agent that `metadata` describes.
pub(super) fn inspect(directory: &Path, metadata: &AgentMetadata, max_bytes: u64) -> Files {
    let agent_files = directory.join(FILES_DIRECTORY);
    let mut budget = max_bytes;
    let mut contents = Files::new();
    for name in metadata.files.keys() {
        let path = agent_files.join(name);
        if fs_err::symlink_metadata(&path).is_ok() {
            // A file that cannot be read counts as altered: it is replaced, which is no reason to
            // stop a build.
            let checksum = checksum_with_mode_set(&path, &mut budget)
                .unwrap_or_else(|_| Checksum::of_bytes(b"not a readable regular file"));
            contents.insert(name.clone(), checksum);
        }
    }
    contents
}

/// The checksum of an installed file, whose mode is corrected. Subtracts its size from `budget`.
fn checksum_with_mode_set(path: &Path, budget: &mut u64) -> io::Result<Checksum> {
    let mut file = files::open(path, Links::Refuse)?;
    let metadata = file.metadata()?;
    *budget = budget
        .checked_sub(metadata.len())
        .ok_or(io::ErrorKind::FileTooLarge)?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    (&mut file).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let is_program = matches!(FileKind::of(&head), FileKind::Elf { .. } | FileKind::Script);
    // A shell script may lack its `#!`: then only its mode in the archive marked it as a program.
    let mode = if is_program || metadata.mode() & 0o111 != 0 {
        PROGRAM_MODE
    } else {
        FILE_MODE
    };
    if metadata.mode() & 0o7777 != mode {
        file.set_permissions(PermissionsExt::from_mode(mode))?;
    }
    // Only the bytes that it had when it was opened, even if another process appends to it.
    let rest = metadata.len().saturating_sub(head.len() as u64);
    Checksum::of_reader(head.chain(file.take(rest)))
}
