//! Small files and whole directories that another process may have put in the place of ours: read and removed without following
//! a link, waiting for a writer or filling the memory.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;

/// Removes whatever is at `path`, which may be nothing; a link is removed, and what it leads to stays.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let metadata = match fs_err::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if metadata.is_dir() {
        fs_err::remove_dir_all(path)
    } else {
        fs_err::remove_file(path)
    }
}

/// Makes `path` a directory that any user may enter, in place of anything else that is there.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    match fs_err::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_dir() => fs_err::remove_file(path)?,
        _ => {}
    }
    fs_err::create_dir_all(path)?;
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o755))
}

/// Whether the last component of a path may be a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Links {
    /// The link is followed, as for a file that the user names.
    Follow,
    /// The link is an error, as for a file of our own.
    Refuse,
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
///
/// Besides the errors of opening and reading: `InvalidInput` if it is no regular file, `FileTooLarge` if it is longer.
pub(crate) fn read_small(path: &Path, limit: u64, links: Links) -> io::Result<Vec<u8>> {
    // Without O_NONBLOCK, opening a FIFO waits for its writer (open(2)).
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let file = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is not a regular file", path.display()),
        ));
    }
    let mut content = Vec::new();
    // Files of /proc say that they are empty.
    if metadata.len() <= limit {
        file.take(limit + 1).read_to_end(&mut content)?;
    }
    if metadata.len().max(content.len() as u64) > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{} is longer than {limit} bytes", path.display()),
        ));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;

    fn fifo(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    #[test]
    fn remove_takes_whatever_is_there_and_follows_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (path, outside) = (
            directory.path().join("ours"),
            directory.path().join("outside"),
        );
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("file"), "theirs").unwrap();
        let kinds: [&dyn Fn(); 6] = [
            &|| {},
            &|| fs_err::write(&path, "a file").unwrap(),
            &|| fifo(&path),
            &|| symlink(&outside, &path).unwrap(),
            &|| symlink("/nowhere", &path).unwrap(),
            &|| {
                fs_err::create_dir(&path).unwrap();
                symlink(&outside, path.join("link")).unwrap();
            },
        ];
        for make in kinds {
            make();
            remove(&path).unwrap();
            assert!(fs_err::symlink_metadata(&path).is_err());
            assert_eq!(fs_err::read(outside.join("file")).unwrap(), b"theirs");
        }
    }

    #[test]
    fn only_a_small_regular_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        fs_err::write(path("file"), "1234").unwrap();
        fifo(&path("fifo"));
        symlink("file", path("link")).unwrap();
        let read = |name, links| read_small(&path(name), 4, links);
        assert_eq!(read("file", Links::Refuse).unwrap(), b"1234");
        assert_eq!(read("link", Links::Follow).unwrap(), b"1234");
        assert!(read("link", Links::Refuse).is_err());
        assert!(read("fifo", Links::Follow).is_err());
        assert!(read(".", Links::Follow).is_err());
        assert!(read_small(&path("file"), 3, Links::Follow).is_err());
        assert!(read_small(Path::new("/dev/zero"), 3, Links::Follow).is_err());
    }
}
