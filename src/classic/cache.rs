//! What a compile keeps in `CACHE_DIR` for the next one: the agent's files, and the record of them.

use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, Links};
use crate::install::{self, Previous};
use crate::limits::Limits;
use crate::output::Output;
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
    /// Makes the folder below `cache_folder`, in place of whatever else has its name, with nothing in it that no compile keeps.
    pub(super) fn open(cache_folder: &Path, output: &dyn Output) -> io::Result<Self> {
        let folder = cache_folder.join(FOLDER);
        install::prepare(&folder, &[RECORD], output)?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the compile before has left.
    pub(super) fn previous(&self, limits: &Limits) -> Previous {
        match files::read_small(&self.record(), limits.record_bytes, Links::Refuse) {
            Ok(content) => parse(&content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Previous::Nothing,
            Err(error) => Previous::unreadable(&error.to_string()),
        }
    }

    /// Writes the record down, whole or not at all; after the files, so that a compile that dies before leaves one that does not fit
    /// them, and the next one installs anew.
    pub(super) fn remember(&self, record: Option<&Record>) -> io::Result<()> {
        let Some(record) = record else {
            return files::remove(&self.record());
        };
        let text = toml::to_string(record).map_err(io::Error::other)?;
        files::replace(&self.record(), text.as_bytes())
    }

    fn record(&self) -> PathBuf {
        self.folder.join(RECORD)
    }
}

/// Reads a record.
pub(crate) fn parse(content: &[u8]) -> Previous {
    match toml::from_slice(content) {
        Ok(record) => Previous::Record(record),
        Err(error) => Previous::unreadable(error.message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::strange::{STRANGE, assert_untouched, put_strange};
    use crate::output::Recorded;
    use crate::record::tests::record;
    use proptest::prelude::*;

    fn open(cache_folder: &Path) -> Cache {
        Cache::open(cache_folder, &Recorded::default()).unwrap()
    }

    #[test]
    fn record_is_kept_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        // What had the name before does not matter.
        fs_err::write(folder.path().join(FOLDER), "a file").unwrap();
        let limits = Limits::default();
        let previous = || open(folder.path()).previous(&limits);
        assert_eq!(previous(), Previous::Nothing);
        let cache = open(folder.path());
        cache.remember(Some(&record())).unwrap();
        assert_eq!(previous(), Previous::Record(record()));
        for _ in 0..2 {
            cache.remember(None).unwrap();
            assert_eq!(previous(), Previous::Nothing);
        }
    }

    #[test]
    fn whatever_is_in_the_place_of_ours_is_replaced() {
        for place in [
            "backplane",
            "backplane/agent.toml",
            "backplane/agent.toml.new",
            "backplane/staging",
        ] {
            for kind in STRANGE {
                let folder = tempfile::tempdir().unwrap();
                let outside = folder.path().join("outside");
                let cache = open(folder.path());
                cache.remember(Some(&record())).unwrap();
                put_strange(kind, &folder.path().join(place), &outside);

                let cache = open(folder.path());
                let previous = cache.previous(&Limits::default());
                let what = format!("{place} as {kind}: {previous:?}");
                match place {
                    "backplane" => assert_eq!(previous, Previous::Nothing, "{what}"),
                    "backplane/agent.toml" => {
                        assert!(matches!(previous, Previous::Unreadable { .. }), "{what}");
                    }
                    _ => assert_eq!(previous, Previous::Record(record()), "{what}"),
                }
                cache.remember(Some(&record())).unwrap();
                assert_untouched(&outside, &what);
                let cache = open(folder.path());
                assert_eq!(
                    cache.previous(&Limits::default()),
                    Previous::Record(record())
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_record(content: Vec<u8>) {
            let is_unreadable = matches!(parse(&content), Previous::Unreadable { .. });
            prop_assert!(is_unreadable);
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
