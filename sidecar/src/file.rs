//! Opening files that may have been replaced by something that blocks its reader.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a regular file, or a link to one, for reading, without ever waiting.
///
/// # Errors
///
/// The error of open(2), and another one if it is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Without NONBLOCK, opening a named pipe waits for a writer, and without NOCTTY, a terminal
    // becomes that of a session leader.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// The longest value of a variable that is read from a file, in bytes.
const MAX_VALUE: u64 = 64 * 1024;

/// Reads what a file holds as the value of a variable, without the white space around it. It may be
/// empty.
///
/// # Errors
///
/// The one of [`open_regular`] or read(2), and those of its own for what no variable can hold.
pub fn read_value(path: &Path) -> io::Result<OsString> {
    let mut content = Vec::new();
    let file = open_regular(path)?;
    file.take(MAX_VALUE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_VALUE {
        let error = format!("it is longer than {MAX_VALUE} bytes");
        return Err(io::Error::other(error));
    }
    let value = content.trim_ascii();
    if value.contains(&0) {
        return Err(io::Error::other("it holds a zero byte"));
    }
    Ok(OsString::from_vec(value.to_vec()))
}

/// The same for a value that must not be empty.
///
/// # Errors
///
/// Those of [`read_value`], and another one for an empty value.
pub fn read_nonempty_value(path: &Path) -> io::Result<OsString> {
    let value = read_value(path)?;
    if value.is_empty() {
        return Err(io::Error::other("it is empty"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType};

    use super::*;

    #[test]
    fn value_that_must_not_be_empty_is_more_than_white_space() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("value");
        for (content, value) in [("", None), (" \n", None), (" x\n", Some("x"))] {
            fs::write(&path, content).unwrap();
            let found = read_nonempty_value(&path).ok();
            assert_eq!(found.as_deref(), value.map(OsStr::new), "{content:?}");
        }
    }

    #[test]
    fn regular_files_and_links_to_them_alone_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "content").unwrap();
        symlink("file", path("link")).unwrap();
        for name in ["file", "link"] {
            let mut content = String::new();
            let mut file = open_regular(&path(name)).unwrap();
            file.read_to_string(&mut content).unwrap();
            assert_eq!(content, "content");
        }

        rustix::fs::mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        symlink("fifo", path("link to a fifo")).unwrap();
        fs::create_dir(path("directory")).unwrap();
        let _listener = UnixListener::bind(path("socket")).unwrap();
        for name in ["fifo", "link to a fifo", "directory", "socket", "missing"] {
            assert!(open_regular(&path(name)).is_err(), "{name}");
        }
        for device in ["/dev/null", "/dev/zero"] {
            assert!(open_regular(Path::new(device)).is_err(), "{device}");
        }
    }
}
