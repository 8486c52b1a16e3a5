//! A service binding: credentials in files, as Kubernetes and `pack` mount them.
//!
//! <https://github.com/buildpacks/spec/blob/main/extensions/bindings.md> and
//! <https://servicebinding.io/spec/core/1.0.0/>: each directory below the root is a binding, its
//! files are its entries. Kubernetes makes those files links to `..data/…`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::messages::Message;

/// The content of the first binding of type `backplane`, by the names of the directories.
#[derive(Debug, Default)]
pub(crate) struct Binding {
    pub(crate) token: Option<OsString>,
    /// The file of the token, which changes when the token is rotated.
    pub(crate) token_path: Option<PathBuf>,
    pub(crate) labels: Option<OsString>,
    /// A message for each file or directory of this binding, or of one that could be this one, that
    /// exists but cannot be read.
    pub(crate) unreadable: Vec<Message>,
}

/// Reads the binding of type `backplane` below `root`. No such directory, or none with that type,
/// is an empty binding.
pub(crate) fn read(root: &Path) -> Binding {
    let mut binding = Binding::default();
    let mut directories = match directories_in(root) {
        Ok(directories) => directories,
        Err(error) => {
            binding.add_unreadable(root.to_owned(), &error);
            return binding;
        }
    };
    directories.sort();
    for directory in directories {
        let kind = binding.entry(directory.join("type"));
        if kind.is_some_and(|kind| {
            kind.as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"backplane")
        }) {
            let path = directory.join("token");
            binding.token = binding.entry(path.clone());
            binding.token_path = binding.token.is_some().then_some(path);
            binding.labels = binding.entry(directory.join("labels"));
            break;
        }
    }
    binding
}

impl Binding {
    /// One entry without the white space around it. `None` if it is missing, empty or unreadable.
    fn entry(&mut self, path: PathBuf) -> Option<OsString> {
        match sidecar::read_value(&path) {
            Ok(value) => (!value.is_empty()).then_some(value),
            Err(error) if is_absent(&error) => None,
            Err(error) => {
                self.add_unreadable(path, &error);
                None
            }
        }
    }

    fn add_unreadable(&mut self, path: PathBuf, error: &io::Error) {
        let error = error.to_string();
        self.unreadable
            .push(Message::BindingUnreadable { path, error });
    }
}

/// The directories below `root`, links to directories included; hidden ones are Kubernetes' own.
fn directories_in(root: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match root.read_dir() {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut directories = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !is_hidden(&entry.file_name()) && entry.path().is_dir() {
            directories.push(entry.path());
        }
    }
    Ok(directories)
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode};
    use tempfile::TempDir;

    use super::*;

    fn bindings(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    /// Token and labels of a binding, and how many of its entries are unreadable.
    #[track_caller]
    fn assert_read(root: &Path, token: Option<&str>, labels: Option<&str>, unreadable: usize) {
        let found = read(root);
        let texts =
            [&found.token, &found.labels].map(|value| value.as_deref().map(OsStr::as_bytes));
        let expected = [token, labels].map(|value| value.map(str::as_bytes));
        assert_eq!(texts, expected, "{found:?}");
        assert_eq!(found.unreadable.len(), unreadable, "{found:?}");
    }

    #[test]
    fn binding_is_found_by_its_type() {
        let typed = |name| ("b/type", name);
        let has = |token| ("b/token", token);
        let labels = ("b/labels", "a=b");
        let t = Some("T");
        let two = [
            ("z/type", "backplane"),
            ("z/token", "Z"),
            ("m/type", "backplane"),
            ("m/token", "M"),
            ("a/type", "other"),
        ];
        for (files, token, labels) in [
            (&[][..], None, None),
            (&[typed("backplane"), has("T"), labels], t, Some("a=b")),
            (&[typed("backplane\n"), has("T\r\n")], t, None),
            (&[typed("Backplane"), has(" T ")], t, None),
            (&[typed("backplane"), has("\n")], None, None),
            (&[typed("postgresql"), has("T")], None, None),
            (&[("backplane/token", "T")], None, None),
            (&[("type", "backplane"), ("token", "T")], None, None),
            (&[(".b/type", "backplane"), (".b/token", "T")], None, None),
            (&two, Some("M"), None),
        ] {
            assert_read(bindings(files).path(), token, labels, 0);
        }
        assert_read(Path::new("/nowhere/at/all"), None, None, 0);
    }

    #[test]
    fn links_are_followed_as_kubernetes_makes_them() {
        let root = bindings(&[
            ("b/..2026/type", "backplane"),
            ("b/..2026/token", "T"),
            ("b/..2026/labels", "a=b\n"),
        ]);
        let directory = root.path().join("b");
        symlink("..2026", directory.join("..data")).unwrap();
        for name in ["type", "token", "labels"] {
            symlink(Path::new("..data").join(name), directory.join(name)).unwrap();
        }
        let outer = tempfile::tempdir().unwrap();
        symlink(directory, outer.path().join("linked")).unwrap();
        assert_read(outer.path(), Some("T"), Some("a=b"), 0);
    }

    #[test]
    fn values_need_not_be_text() {
        let root = bindings(&[("b/type", "backplane")]);
        fs::write(root.path().join("b/token"), b"\xff\xfe\n").unwrap();
        assert_eq!(read(root.path()).token.unwrap().as_bytes(), b"\xff\xfe");
    }

    #[test]
    fn unreadable_entries_are_reported() {
        let root = bindings(&[
            ("b/type", "backplane"),
            ("b/labels", "a=b"),
            ("c/type", "other"),
        ]);
        let token = root.path().join("b/token");
        fs::create_dir(&token).unwrap();
        assert_read(root.path(), None, Some("a=b"), 1);
        let message = read(root.path()).unreadable.remove(0);
        let error = "it is not a regular file".to_owned();
        assert_eq!(message, Message::BindingUnreadable { path: token, error });

        // A link to itself, and a named pipe without a writer, which must not delay the boot.
        let root = bindings(&[("b/type", "backplane")]);
        symlink("labels", root.path().join("b/labels")).unwrap();
        let pipe = root.path().join("b/token");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_read(root.path(), None, None, 2);

        let root = tempfile::tempdir().unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        assert_read(&root.path().join("loop"), None, None, 1);

        let root = bindings(&[("b/type", "backplane"), ("b/token", "T\0x")]);
        assert_read(root.path(), None, None, 1);
    }

    #[test]
    fn entry_may_be_64_kib_long() {
        for (length, is_read) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
            let token = "x".repeat(length);
            let root = bindings(&[("b/type", "backplane"), ("b/token", &token)]);
            let expected = is_read.then_some(token.as_str());
            assert_read(root.path(), expected, None, usize::from(!is_read));
        }
    }
}
