//! The config vars of the app: in `ENV_DIR`, a file for each.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::files::{self, Links};
use crate::limits::Limits;
use crate::settings::{Environment, Setting};

/// How all names begin that are ours, or may be meant to be.
const BEGINNING: &str = "BACKPL";

/// Errors that can occur when the config vars are read.
#[derive(Debug)]
pub(crate) enum ConfigVarsError {
    /// Their directory cannot be listed.
    List(io::Error),
    /// One that a build needs cannot be read.
    Read {
        name: &'static str,
        error: io::Error,
    },
}

/// Reads the settings in `folder`, and the names beside them that may be meant to be ours. No other value is read: the app's secrets
/// are no business of ours. There is no folder where whoever builds sets no config var.
pub(super) fn read(folder: Option<&Path>, limits: &Limits) -> Result<Environment, ConfigVarsError> {
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else {
        return Ok(Environment::new());
    };
    let mut variables = Environment::new();
    for entry in fs_err::read_dir(folder).map_err(ConfigVarsError::List)? {
        let name = entry.map_err(ConfigVarsError::List)?.file_name();
        if name
            .to_string_lossy()
            .to_ascii_uppercase()
            .starts_with(BEGINNING)
        {
            variables.insert(name, OsString::new());
        }
    }
    for name in Setting::ALL.map(Setting::name) {
        if let Some(value) = variables.get_mut(OsStr::new(name)) {
            let path = folder.join(name);
            *value = files::read_small(&path, limits.config_var_bytes, Links::Follow)
                .map(value_of)
                .map_err(|error| ConfigVarsError::Read { name, error })?;
        }
    }
    Ok(variables)
}

/// The value in a file: without the newlines at its end, as Heroku's own buildpacks read it (`$(cat FILE)`).
fn value_of(mut content: Vec<u8>) -> OsString {
    while content.last() == Some(&b'\n') {
        content.pop();
    }
    OsString::from_vec(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::files::strange::{STRANGE, put_strange};
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    fn read_in(folder: &Path) -> Result<Environment, ConfigVarsError> {
        let limits = Limits {
            config_var_bytes: 32,
            ..Limits::default()
        };
        read(Some(folder), &limits)
    }

    #[test]
    fn settings_are_read_and_of_others_only_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, content) in [
            ("BACKPLANE_AGENT_URL", &b"vendor/backplane\n\n"[..]),
            ("BACKPLANE_AGENT_CHANNEL", b"\xff"),
            ("backplane_token", b"secret"),
            ("DATABASE_URL", b"postgres://"),
        ] {
            fs_err::write(path(name), content).unwrap();
        }
        // Neither waited for, nor read, nor of any consequence.
        for name in ["BACKPLANE_FIFO", "DATABASE_FIFO"] {
            mknodat(CWD, path(name), FileType::Fifo, Mode::empty(), 0).unwrap();
        }
        let expected = [
            ("BACKPLANE_AGENT_CHANNEL", &b"\xff"[..]),
            ("BACKPLANE_AGENT_URL", b"vendor/backplane"),
            ("BACKPLANE_FIFO", b""),
            ("backplane_token", b""),
        ];
        let expected = expected.map(|(name, value)| {
            let value = OsString::from_vec(value.to_vec());
            (OsStr::new(name).to_owned(), value)
        });
        assert_eq!(read_in(folder.path()).unwrap(), Environment::from(expected));
    }

    #[test]
    fn setting_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (vars, outside) = (folder.path().join("env"), folder.path().join("outside"));
        let variable = vars.join("BACKPLANE_AGENT_URL");
        fs_err::create_dir(&vars).unwrap();
        for kind in STRANGE {
            put_strange(kind, &variable, &outside);
            match read_in(&vars) {
                Ok(_) => assert!(kind.ends_with("file") || kind == "hard link", "{kind}"),
                Err(ConfigVarsError::Read { name, .. }) => assert_eq!(name, "BACKPLANE_AGENT_URL"),
                Err(error) => panic!("{kind}: {error:?}"),
            }
        }
        files::remove(&variable).unwrap();
        fs_err::write(&variable, "x".repeat(33)).unwrap();
        assert!(read_in(&vars).is_err());
    }

    #[test]
    fn no_folder_is_no_variable() {
        for folder in [None, Some(Path::new("/nowhere/env"))] {
            assert_eq!(
                read(folder, &Limits::default()).unwrap(),
                Environment::new()
            );
        }
    }
}
