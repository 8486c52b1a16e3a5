//! Safe access to files and directories that another process may have put in the place of ours:
//! without following a link, waiting for a writer or filling the memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;

/// The modes of all that a build leaves, independent of the archive and of the umask, because any
/// user may run the image.
pub(crate) const DIRECTORY_MODE: u32 = 0o755;
pub(crate) const PROGRAM_MODE: u32 = 0o755;
pub(crate) const FILE_MODE: u32 = 0o644;

/// Removes the file, link or directory at `path`, if it exists. Links are not followed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let metadata = match fs_err::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.is_dir() {
        return fs_err::remove_file(path);
    }
    fs_err::remove_dir_all(path).or_else(|_error| remove_tree(path))
}

/// Removes a tree of directories that the library can't remove, because directories in it lack the
/// permissions of their owner, or because it has more levels than a process may have files open.
/// Sets the permissions of the directories of a level, and moves those below them up to it.
fn remove_tree(root: &Path) -> io::Result<()> {
    // If this fails, the error of the removal that follows is reported.
    let unlock = |path: &Path| drop(set_mode(path, DIRECTORY_MODE));
    let mut names = (0_u64..).map(|number| root.join(number.to_string()));
    unlock(root);
    loop {
        let mut is_empty = true;
        for entry in fs_err::read_dir(root)? {
            is_empty = false;
            let path = entry?.path();
            if !is_directory(&path) {
                fs_err::remove_file(path)?;
                continue;
            }
            unlock(&path);
            for child in fs_err::read_dir(&path)? {
                let child = child?.path();
                if is_directory(&child) {
                    unlock(&child);
                    let free = names.find(|name| fs_err::symlink_metadata(name).is_err());
                    fs_err::rename(child, free.unwrap_or_default())?;
                } else {
                    fs_err::remove_file(child)?;
                }
            }
            fs_err::remove_dir(path)?;
        }
        if is_empty {
            return fs_err::remove_dir(root);
        }
    }
}

/// Whether a directory is at `path`, and not a link to one.
pub(crate) fn is_directory(path: &Path) -> bool {
    fs_err::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Creates the directory `path`, which any user may enter, in place of anything else at `path`.
///
/// # Errors
///
/// Besides those of creating it: the directory exists, but this process can't change anything in
/// it, because it belongs to another user.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    if !is_directory(path) {
        remove(path)?;
        fs_err::create_dir_all(path)?;
    }
    set_mode(path, DIRECTORY_MODE)?;
    rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let error = io::Error::from(error);
        let text = format!("failed to get write access to {}: {error}", path.display());
        io::Error::new(error.kind(), text)
    })
}

/// Atomically puts a new file with `content`, which any user may read, in place of anything at
/// `path`.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    remove(&new)?;
    fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&new)?
        .write_all(content)?;
    set_mode(&new, FILE_MODE)?;
    if is_directory(path) {
        remove(path)?;
    }
    fs_err::rename(new, path)
}

/// Sets the mode of what is at `path`, unless it has that mode.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    if fs_err::metadata(path)?.mode() & 0o7777 == mode {
        return Ok(());
    }
    fs_err::set_permissions(path, PermissionsExt::from_mode(mode))
}

/// Whether the last component of a path may be a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Links {
    /// The link is followed, as for a file that the user names.
    Follow,
    /// The link is an error, as for a file of our own.
    Refuse,
}

/// Opens a regular file for reading.
///
/// # Errors
///
/// Besides the errors of opening: `InvalidInput` if it is not a regular file. No error contains the
/// path, which the user may have meant as a URL with a secret.
pub(crate) fn open(path: &Path, links: Links) -> io::Result<File> {
    let irregular = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    // Without O_NONBLOCK, opening a FIFO waits for its writer (open(2)).
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // A link, or links in a circle; a socket.
        Err(Errno::LOOP | Errno::NXIO) => return Err(irregular()),
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(irregular())
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
///
/// Besides those of [`open`] and of reading: `FileTooLarge` if it is longer.
pub(crate) fn read_small(path: &Path, limit: u64, links: Links) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = open(path, links)?;
    file.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {limit} bytes"),
        ));
    }
    Ok(content)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use harness::{STRANGE, assert_untouched, put_strange};
    use tempfile::TempDir;

    use super::*;

    /// The permissions of a file or a directory.
    pub(crate) fn mode(path: &Path) -> u32 {
        fs_err::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    /// A directory, and two paths in it: one for a file of ours, one for a directory outside of it.
    fn paths() -> (TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let [ours, outside] = ["ours", "outside"].map(|name| directory.path().join(name));
        (directory, ours, outside)
    }

    #[test]
    fn anything_is_removed_or_replaced_and_no_link_is_followed() {
        let (directory, path, outside) = paths();
        for kind in STRANGE {
            put_strange(kind, &path, &outside);
            for _ in 0..2 {
                remove(&path).unwrap();
                assert!(fs_err::symlink_metadata(&path).is_err(), "{kind}");
            }
            assert_untouched(&outside, kind);

            put_strange(kind, &path, &outside);
            make_directory(&path).unwrap();
            assert!(is_directory(&path), "{kind}");
            assert_eq!(mode(&path), DIRECTORY_MODE, "{kind}");
            assert_untouched(&outside, kind);

            for name in ["ours", "ours.new"] {
                put_strange(kind, &directory.path().join(name), &outside);
                replace(&path, b"ours").unwrap();
                assert!(path.is_file() && !path.is_symlink(), "{kind}");
                assert_eq!(mode(&path), FILE_MODE, "{kind}");
                assert_eq!(fs_err::read(&path).unwrap(), b"ours", "{kind}");
                assert_untouched(&outside, kind);
                assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 2);
            }
        }
    }

    #[test]
    fn tree_is_removed_however_deep_and_locked() {
        let (_directory, root, outside) = paths();
        fs_err::create_dir_all(root.join("1/0/2/2")).unwrap();
        fs_err::write(root.join("2"), "").unwrap();
        for kind in STRANGE {
            for parent in ["1", "1/0", "1/0/2", "1/0/2/2"] {
                put_strange(kind, &root.join(parent).join(kind), &outside);
            }
        }
        // Deeper than a path may be long.
        let mut deep = root.join("deep");
        for _ in 0..3000 {
            let parent = deep.with_file_name("parent");
            fs_err::create_dir(&parent).unwrap();
            if deep.exists() {
                fs_err::rename(&deep, parent.join("d")).unwrap();
            }
            fs_err::rename(parent, &deep).unwrap();
        }
        deep.push("d/d");
        for locked in [&deep, &root.join("1/0/2"), &root.join("1/0"), &root] {
            set_mode(locked, 0).unwrap();
        }
        remove_tree(&root).unwrap();
        assert!(!root.exists());
        assert_untouched(&outside, "a tree");
    }

    #[test]
    fn only_a_small_regular_file_is_read() {
        let (_directory, path, outside) = paths();
        let read = |limit, links| read_small(&path, limit, links);
        fs_err::write(&path, "1234").unwrap();
        assert_eq!(read(4, Links::Refuse).unwrap(), b"1234");
        let error = read(3, Links::Refuse).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        for kind in STRANGE {
            put_strange(kind, &path, &outside);
            let (followed, refused) = (read(6, Links::Follow), read(6, Links::Refuse));
            if kind == "link to a file" {
                assert_eq!(followed.unwrap(), b"theirs");
                assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
            } else if !kind.ends_with("file") && kind != "hard link" {
                assert!(followed.is_err() && refused.is_err(), "{kind}");
            }
            if kind == "loop" || kind == "socket" {
                let error = read(6, Links::Follow).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{kind}");
            }
        }
        remove(&path).unwrap();
        let error = read(6, Links::Refuse).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
