//! Strange things in the place of a file or directory of ours.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Kinds of things that a build cannot use.
pub const STRANGE: [&str; 12] = [
    "fifo",
    "socket",
    "directory",
    "locked directories",
    "file",
    "unreadable file",
    "hard link",
    "link to a file",
    "link to a directory",
    "link to nowhere",
    "link to a device",
    "loop",
];

/// Puts one of [`STRANGE`] in the place of what is `at`. Links lead to the directory `outside`, and
/// to the file `theirs` in it.
pub fn put_strange(kind: &str, at: &Path, outside: &Path) {
    let theirs = outside.join("theirs");
    fs::create_dir_all(outside).unwrap();
    fs::write(&theirs, "theirs").unwrap();
    remove(at);
    match kind {
        "fifo" => mknodat(CWD, at, FileType::Fifo, Mode::RUSR, 0).unwrap(),
        // A path of the test may be longer than that of a socket.
        "socket" => {
            let short = tempfile::tempdir_in("/tmp").unwrap();
            let socket = short.path().join("socket");
            drop(UnixListener::bind(&socket).unwrap());
            fs::rename(socket, at).unwrap();
        }
        "directory" => fs::create_dir_all(at.join("inner")).unwrap(),
        "locked directories" => {
            let inner = at.join("a/b");
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join("file"), "").unwrap();
            symlink(outside, at.join("link")).unwrap();
            for locked in [&inner, &at.join("a"), at] {
                set_mode(locked, 0);
            }
        }
        "file" => fs::write(at, "damaged").unwrap(),
        "unreadable file" => {
            fs::write(at, "damaged").unwrap();
            set_mode(at, 0);
        }
        "hard link" => fs::hard_link(theirs, at).unwrap(),
        "link to a file" => symlink(theirs, at).unwrap(),
        "link to a directory" => symlink(outside, at).unwrap(),
        "link to nowhere" => symlink(outside.join("nowhere"), at).unwrap(),
        "link to a device" => symlink("/dev/zero", at).unwrap(),
        "loop" => symlink(at, at).unwrap(),
        other => panic!("{other}"),
    }
}

/// Asserts that nothing was changed at the target of the links.
#[track_caller]
pub fn assert_untouched(outside: &Path, what: &str) {
    let theirs = outside.join("theirs");
    let mode = fs::metadata(&theirs).unwrap().permissions().mode();
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1, "{what}");
    assert_eq!(fs::read(theirs).unwrap(), b"theirs", "{what}");
    assert_eq!(mode & 0o700, 0o600, "{what}");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let unlocked = Command::new("chmod")
                .args(["-R", "u+rwX"])
                .arg(path)
                .status();
            assert!(unlocked.unwrap().success());
            fs::remove_dir_all(path).unwrap();
        }
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}
