//! What a compile keeps in `CACHE_DIR` for the next one: the agent's files, and the record of them.

use std::io;
use std::path::{Path, PathBuf};

use crate::install::Previous;
use crate::record::Record;

/// The folder of `CACHE_DIR` that is ours.
const FOLDER: &str = "backplane";

/// The record's file below it, in the form that the layer of the other front end has it as metadata.
const RECORD: &str = "agent.toml";

/// The folder that the agent is kept in.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Makes the folder below `cache_folder`, in place of whatever else has its name.
    pub(super) fn open(cache_folder: &Path) -> io::Result<Self> {
        let folder = cache_folder.join(FOLDER);
        match fs_err::symlink_metadata(&folder) {
            Ok(metadata) if !metadata.is_dir() => fs_err::remove_file(&folder)?,
            _ => {}
        }
        fs_err::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the compile before has left.
    pub(super) fn previous(&self) -> io::Result<Previous> {
        match fs_err::read(self.record()) {
            Ok(content) => Ok(parse(&content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Previous::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Writes the record down, whole or not at all; after the files, so that a compile that dies before leaves one that does not fit
    /// them, and the next one installs anew.
    pub(super) fn remember(&self, record: Option<&Record>) -> io::Result<()> {
        let Some(record) = record else {
            return match fs_err::remove_file(self.record()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };
        let text = toml::to_string(record).map_err(io::Error::other)?;
        let new = self.folder.join("agent.toml.new");
        fs_err::write(&new, text)?;
        fs_err::rename(new, self.record())
    }

    fn record(&self) -> PathBuf {
        self.folder.join(RECORD)
    }
}

fn parse(content: &[u8]) -> Previous {
    match toml::from_slice(content) {
        Ok(record) => Previous::Record(record),
        Err(error) => Previous::Unreadable {
            reason: error.message().to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn record_is_kept_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        // What had the name before does not matter.
        fs_err::write(folder.path().join(FOLDER), "a file").unwrap();
        let previous = || Cache::open(folder.path()).unwrap().previous().unwrap();
        assert_eq!(previous(), Previous::Nothing);
        let cache = Cache::open(folder.path()).unwrap();
        cache.remember(Some(&record())).unwrap();
        assert_eq!(previous(), Previous::Record(record()));
        for _ in 0..2 {
            cache.remember(None).unwrap();
            assert_eq!(previous(), Previous::Nothing);
        }
    }

    #[test]
    fn record_of_another_version_or_damaged_is_unreadable() {
        for content in [
            &b"installer = 'one'"[..],
            b"invented_later = true",
            b"[half a ta",
            b"\xff",
            b"",
        ] {
            assert!(
                matches!(parse(content), Previous::Unreadable { reason } if !reason.contains('\n')),
                "{}",
                content.escape_ascii()
            );
        }
    }
}
