//! The config vars of the app: in `ENV_DIR`, a file for each.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::settings::Environment;

/// How all names begin that are ours, or may be meant to be. Nothing else is read: the app's secrets are no business of ours.
const BEGINNING: &str = "BACKPL";

/// Reads the files in `folder` whose names may be ours. There is none where whoever builds sets no config var.
pub(super) fn read(folder: Option<&Path>) -> io::Result<Environment> {
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else {
        return Ok(Environment::new());
    };
    let mut variables = Environment::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name
            .to_string_lossy()
            .to_ascii_uppercase()
            .starts_with(BEGINNING)
            || !entry.path().is_file()
        {
            continue;
        }
        variables.insert(name, value_of(fs_err::read(entry.path())?));
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
    use std::ffi::OsStr;

    #[test]
    fn ours_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("BACKPLANE_AGENT_URL", &b"vendor/backplane\n\n"[..]),
            ("BACKPLANE_AGENT_CHANNEL", b"\xff"),
            ("backplane_token", b""),
            ("DATABASE_URL", b"postgres://"),
        ] {
            fs_err::write(folder.path().join(name), content).unwrap();
        }
        fs_err::create_dir(folder.path().join("BACKPLANE_FOLDER")).unwrap();
        let variables = read(Some(folder.path())).unwrap();
        let expected = [
            ("BACKPLANE_AGENT_CHANNEL", &b"\xff"[..]),
            ("BACKPLANE_AGENT_URL", b"vendor/backplane"),
            ("backplane_token", b""),
        ];
        let expected = expected.map(|(name, value)| {
            let value = OsString::from_vec(value.to_vec());
            (OsStr::new(name).to_owned(), value)
        });
        assert_eq!(variables, Environment::from(expected));
    }

    #[test]
    fn no_folder_is_no_variable() {
        for folder in [None, Some(Path::new("/nowhere/env"))] {
            assert_eq!(read(folder).unwrap(), Environment::new());
        }
    }
}
