//! The config vars of the app: one file for each in `ENV_DIR`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::environment::Environment;
use crate::error::BackplaneError;
use crate::files::{self, Links};
use crate::limits::Limits;
use crate::settings::{PREFIX, Setting};

/// Reads the settings in `directory`, and the names of other variables that a user may mean to be
/// ours. No other value is read, because it may be a secret of the app. If there are no config
/// vars, the directory may be missing.
pub(super) fn read(
    directory: Option<&Path>,
    limits: &Limits,
) -> Result<Environment, BackplaneError> {
    let Some(directory) = directory.filter(|directory| directory.is_dir()) else {
        return Ok(Environment::new());
    };
    let mut variables = Environment::new();
    for entry in fs_err::read_dir(directory).map_err(BackplaneError::ConfigVars)? {
        let name = entry.map_err(BackplaneError::ConfigVars)?.file_name();
        if name
            .to_string_lossy()
            .to_ascii_uppercase()
            .starts_with(PREFIX)
        {
            variables.insert(name, OsString::new());
        }
    }
    for name in Setting::ALL.map(Setting::name) {
        if let Some(value) = variables.get_mut(OsStr::new(name)) {
            let path = directory.join(name);
            *value = files::read_small(&path, limits.max_config_var_bytes, Links::Follow)
                .map(value_of)
                .map_err(|error| BackplaneError::ConfigVar { name, error })?;
        }
    }
    Ok(variables)
}

/// The value in a file, without newlines at its end, as Heroku's own buildpacks read it (`$(cat
/// FILE)`).
fn value_of(mut content: Vec<u8>) -> OsString {
    while content.last() == Some(&b'\n') {
        content.pop();
    }
    OsString::from_vec(content)
}

#[cfg(test)]
mod tests {
    use harness::{STRANGE, put_strange};
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn read_in(directory: &Path) -> Result<Environment, BackplaneError> {
        let limits = Limits {
            max_config_var_bytes: 32,
            ..Limits::default()
        };
        read(Some(directory), &limits)
    }

    #[test]
    fn settings_are_read_and_of_others_only_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for (name, content) in [
            ("BACKPLANE_AGENT_URL", &b"vendor/backplane\n\n"[..]),
            ("BACKPLANE_AGENT_CHANNEL", b"\xff"),
            ("backplane_token", b"secret"),
            ("DATABASE_URL", b"postgres://"),
        ] {
            fs_err::write(path(name), content).unwrap();
        }
        // The build must not open these, because that would wait for a writer.
        for name in ["BACKPLANE_FIFO", "DATABASE_FIFO"] {
            mknodat(CWD, path(name), FileType::Fifo, Mode::empty(), 0).unwrap();
        }
        let expected = [
            ("BACKPLANE_AGENT_CHANNEL", &b"\xff"[..]),
            ("BACKPLANE_AGENT_URL", b"vendor/backplane"),
            ("BACKPLANE_FIFO", b""),
            ("backplane_token", b""),
        ];
        let expected =
            expected.map(|(name, value)| (name.into(), OsString::from_vec(value.to_vec())));
        let read = read_in(directory.path()).unwrap();
        assert_eq!(read, Environment::from(expected));
    }

    #[test]
    fn setting_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let [vars, outside] = ["env", "outside"].map(|name| directory.path().join(name));
        let variable = vars.join("BACKPLANE_AGENT_URL");
        fs_err::create_dir(&vars).unwrap();
        for kind in STRANGE {
            put_strange(kind, &variable, &outside);
            match read_in(&vars) {
                Ok(_) => assert!(kind.ends_with("file") || kind == "hard link", "{kind}"),
                Err(BackplaneError::ConfigVar { name, .. }) => {
                    assert_eq!(name, "BACKPLANE_AGENT_URL");
                }
                Err(error) => panic!("{kind}: {error:?}"),
            }
        }
        files::remove(&variable).unwrap();
        fs_err::write(&variable, "x".repeat(33)).unwrap();
        assert!(read_in(&vars).is_err());
    }

    #[test]
    fn no_directory_is_no_variable() {
        for directory in [None, Some(Path::new("/nowhere/env"))] {
            let read = read(directory, &Limits::default()).unwrap();
            assert_eq!(read, Environment::new());
        }
    }
}
