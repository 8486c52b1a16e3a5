//! A service binding: credentials in files, as Kubernetes and `pack` mount them.
//!
//! <https://github.com/buildpacks/spec/blob/main/extensions/bindings.md> and
//! <https://servicebinding.io/spec/core/1.0.0/>: each directory below the root is a binding, its
//! files are its entries. Kubernetes makes those files links to `..data/…`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where bindings are when `SERVICE_BINDING_ROOT` does not say.
pub(crate) const DEFAULT_ROOT: &str = "/bindings";

/// What the first binding of type `backplane`, by its directory's name, holds.
#[derive(Debug, Default)]
pub(crate) struct Binding {
    pub(crate) token: Option<OsString>,
    /// The file of the token, which changes when the token is rotated.
    pub(crate) token_path: Option<PathBuf>,
    pub(crate) labels: Option<OsString>,
    /// What of this binding, or of any that could be this one, is there but cannot be read.
    pub(crate) unreadable: Vec<Unreadable>,
}

/// A file or directory that is there but cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

/// Reads the binding of type `backplane` below `root`. No such directory, or none with that type,
/// is an empty binding.
pub(crate) fn read(root: &Path) -> Binding {
    let mut binding = Binding::default();
    let mut directories = match directories_in(root) {
        Ok(directories) => directories,
        Err(error) => {
            binding.unreadable.push(Unreadable {
                path: root.to_owned(),
                error,
            });
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
    /// One entry without the white space around it; a missing, empty or unreadable one is none.
    fn entry(&mut self, path: PathBuf) -> Option<OsString> {
        match sidecar::read_value(&path) {
            Ok(value) => (!value.is_empty()).then_some(value),
            Err(error) if is_absent(&error) => None,
            Err(error) => {
                self.unreadable.push(Unreadable { path, error });
                None
            }
        }
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

    use rustix::fs::Mode;
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

    fn found(binding: &Binding) -> (Option<&str>, Option<&str>) {
        let text = |value: &'_ Option<OsString>| {
            value
                .as_ref()
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let leak = |value: Option<String>| value.map(|value| &*value.leak());
        (leak(text(&binding.token)), leak(text(&binding.labels)))
    }

    #[test]
    fn binding_is_found_by_its_type() {
        for (files, expected) in [
            (&[][..], (None, None)),
            (
                &[
                    ("b/type", "backplane"),
                    ("b/token", "T"),
                    ("b/labels", "a=b"),
                ],
                (Some("T"), Some("a=b")),
            ),
            (
                &[("b/type", "backplane\n"), ("b/token", "T\r\n")],
                (Some("T"), None),
            ),
            (
                &[("b/type", "Backplane"), ("b/token", " T ")],
                (Some("T"), None),
            ),
            (&[("b/type", "backplane"), ("b/token", "\n")], (None, None)),
            (&[("b/type", "postgresql"), ("b/token", "T")], (None, None)),
            (&[("backplane/token", "T")], (None, None)),
            (&[("type", "backplane"), ("token", "T")], (None, None)),
            (&[(".b/type", "backplane"), (".b/token", "T")], (None, None)),
            (
                &[
                    ("z/type", "backplane"),
                    ("z/token", "Z"),
                    ("m/type", "backplane"),
                    ("m/token", "M"),
                    ("a/type", "other"),
                ],
                (Some("M"), None),
            ),
        ] {
            let root = bindings(files);
            let binding = read(root.path());
            assert_eq!(found(&binding), expected, "{files:?}");
            assert!(binding.unreadable.is_empty(), "{:?}", binding.unreadable);
        }
        let absent = read(Path::new("/nowhere/at/all"));
        assert_eq!(found(&absent), (None, None));
        assert!(absent.unreadable.is_empty(), "{:?}", absent.unreadable);
    }

    #[test]
    fn links_are_followed_as_kubernetes_makes_them() {
        let root = bindings(&[
            ("b/..2026/type", "backplane"),
            ("b/..2026/token", "T"),
            ("b/..2026/labels", "a=b\n"),
        ]);
        symlink("..2026", root.path().join("b/..data")).unwrap();
        for name in ["type", "token", "labels"] {
            symlink(
                Path::new("..data").join(name),
                root.path().join("b").join(name),
            )
            .unwrap();
        }
        let outer = tempfile::tempdir().unwrap();
        symlink(root.path().join("b"), outer.path().join("linked")).unwrap();
        assert_eq!(found(&read(outer.path())), (Some("T"), Some("a=b")));
    }

    #[test]
    fn values_need_not_be_text() {
        let root = bindings(&[("b/type", "backplane")]);
        fs::write(root.path().join("b/token"), b"\xff\xfe\n").unwrap();
        assert_eq!(read(root.path()).token.unwrap().as_bytes(), b"\xff\xfe");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let root = bindings(&[
            ("b/type", "backplane"),
            ("b/labels", "a=b"),
            ("c/type", "other"),
        ]);
        fs::create_dir(root.path().join("b/token")).unwrap();
        let binding = read(root.path());
        assert_eq!(found(&binding), (None, Some("a=b")));
        assert_eq!(binding.unreadable.len(), 1);
        assert_eq!(binding.unreadable[0].path, root.path().join("b/token"));

        let root = bindings(&[("b/type", "backplane")]);
        fs::write(root.path().join("b/token"), vec![b'x'; 70_000]).unwrap();
        symlink("loop", root.path().join("b/loop")).unwrap();
        symlink("loop", root.path().join("b/labels")).unwrap();
        let binding = read(root.path());
        assert_eq!(found(&binding), (None, None));
        assert_eq!(binding.unreadable.len(), 2, "{:?}", binding.unreadable);

        let root = tempfile::tempdir().unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        let path = root.path().join("loop");
        assert_eq!(read(&path).unreadable[0].path, path, "the root itself");

        let root = bindings(&[("b/type", "backplane"), ("b/token", "T\0x")]);
        assert_eq!(read(root.path()).unreadable.len(), 1);
    }

    #[test]
    fn entry_may_be_64_kib_long() {
        let root = bindings(&[("b/type", "backplane")]);
        for (length, is_read) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
            fs::write(root.path().join("b/token"), vec![b'x'; length]).unwrap();
            let token = read(root.path()).token;
            assert_eq!(token.map(|token| token.len()), is_read.then_some(length));
        }
    }

    #[test]
    fn named_pipe_without_a_writer_does_not_hold_up_the_boot() {
        let root = bindings(&[("b/type", "backplane")]);
        let path = root.path().join("b/token");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let binding = read(root.path());
        assert_eq!(found(&binding), (None, None));
        assert_eq!(binding.unreadable.len(), 1);
    }
}
