//! The build cache: the agent's files and their metadata in `CACHE_DIR`, for the next compile.

use std::io;
use std::path::{Path, PathBuf};

use crate::cached_agent::Previous;
use crate::files::{self, Links};
use crate::install::{self, OnNotice};
use crate::limits::Limits;
use crate::metadata::AgentMetadata;

/// Our directory in `CACHE_DIR`.
const DIRECTORY: &str = "backplane";

/// The file with the metadata in that directory. The other front end stores the same metadata with
/// its layer.
const METADATA: &str = "agent.toml";

/// The directory that the agent is kept in.
pub(super) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// Creates the directory in `cache_directory`, in place of anything else with its name, and
    /// removes everything that no compile keeps.
    pub(super) fn open(cache_directory: &Path, on_notice: OnNotice<'_>) -> io::Result<Self> {
        let directory = cache_directory.join(DIRECTORY);
        install::prepare(&directory, &[METADATA], on_notice)?;
        Ok(Self { directory })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Reads the metadata that the previous compile left.
    pub(super) fn previous(&self, limits: &Limits) -> Previous {
        match files::read_small(
            &self.metadata_path(),
            limits.max_metadata_bytes,
            Links::Refuse,
        ) {
            Ok(content) => parse(&content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Previous::Nothing,
            Err(error) => Previous::unreadable(&error.to_string()),
        }
    }

    /// Writes the metadata, completely or not at all. This is the last step, so that a compile that
    /// is killed earlier leaves metadata that does not match, and the next one installs again.
    pub(super) fn write(&self, metadata: Option<&AgentMetadata>) -> io::Result<()> {
        let Some(metadata) = metadata else {
            return files::remove(&self.metadata_path());
        };
        let text = toml::to_string(metadata).map_err(io::Error::other)?;
        files::replace(&self.metadata_path(), text.as_bytes())
    }

    fn metadata_path(&self) -> PathBuf {
        self.directory.join(METADATA)
    }
}

/// Parses metadata.
pub(crate) fn parse(content: &[u8]) -> Previous {
    match toml::from_slice(content) {
        Ok(metadata) => Previous::Agent(metadata),
        Err(error) => Previous::unreadable(error.message()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::tests::agent_metadata;

    #[test]
    fn metadata_is_kept_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        // What had the name before does not matter.
        fs_err::write(directory.path().join(DIRECTORY), "a file").unwrap();
        let open = || Cache::open(directory.path(), &|_| {}).unwrap();
        let previous = || open().previous(&Limits::default());
        assert_eq!(previous(), Previous::Nothing);
        open().write(Some(&agent_metadata())).unwrap();
        assert_eq!(previous(), Previous::Agent(agent_metadata()));
        let file = fs_err::File::create(open().metadata_path()).unwrap();
        file.set_len(1 << 40).unwrap();
        let reason = format!("{:?}", previous());
        assert!(reason.contains("is longer than"), "{reason}");
        for _ in 0..2 {
            open().write(None).unwrap();
            assert_eq!(previous(), Previous::Nothing);
        }
    }

    #[test]
    fn metadata_of_another_version_or_damaged_is_unreadable() {
        for content in [
            &b"installer = 'one'"[..],
            b"invented_later = true",
            b"[half a ta",
            b"\xff",
            b"",
        ] {
            let Previous::Unreadable(reason) = parse(content) else {
                panic!("{content:?}");
            };
            assert!(!reason.contains('\n'), "{reason}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_unreadable(content: Vec<u8>) {
            let is_unreadable = matches!(parse(&content), Previous::Unreadable(_));
            prop_assert!(is_unreadable);
        }
    }
}
