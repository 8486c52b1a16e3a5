//! The download of an agent: from its source to a local file with a checksum.

mod download;
mod error;
mod event;
pub(crate) mod http;
mod store;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use self::download::{Download, Validators};
pub(crate) use self::error::FetchError;
pub(crate) use self::event::{Event, OnEvent};
use crate::files::{self, Links};
use crate::limits::Limits;
use crate::network::Network;
use crate::release::Source;

/// Fetches `source` into the new file `into`. Returns `None` if the server still has the version of
/// the `known` validators.
pub(crate) fn fetch(
    source: &Source,
    known: &Validators,
    into: &Path,
    network: &Network,
    limits: &Limits,
    on_event: OnEvent<'_>,
) -> Result<Option<Download>, FetchError> {
    let fetched = match source {
        Source::Web(url) => http::fetch(url, known, into, network, limits, on_event)?,
        Source::File(path) => copy(path, into, limits, on_event)?,
        Source::App { directory, path } => {
            copy(&vendored(directory, path)?, into, limits, on_event)?
        }
    };
    match fetched {
        Some(Download { bytes: 0, .. }) => Err(FetchError::Empty),
        fetched => Ok(fetched),
    }
}

/// The real path of a vendored file, which links must not lead out of the app.
fn vendored(directory: &Path, path: &Path) -> Result<PathBuf, FetchError> {
    let directory = std::fs::canonicalize(directory).map_err(FetchError::ReadSource)?;
    let real = std::fs::canonicalize(directory.join(path)).map_err(FetchError::ReadSource)?;
    if real.starts_with(&directory) {
        Ok(real)
    } else {
        Err(FetchError::OutsideApp)
    }
}

fn copy(
    from: &Path,
    into: &Path,
    limits: &Limits,
    on_event: OnEvent<'_>,
) -> Result<Option<Download>, FetchError> {
    let source = files::open(from, Links::Follow).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => FetchError::NotAFile,
        _ => FetchError::ReadSource(error),
    })?;
    let metadata = source.metadata().map_err(FetchError::ReadSource)?;
    let read_error = |error, _| FetchError::ReadSource(error);
    let size = Some(metadata.len());
    let (checksum, bytes) = store::store(source, size, into, limits, on_event, read_error)?;
    Ok(Some(Download {
        checksum,
        bytes,
        validators: Validators::default(),
        is_delimited: true,
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::checksum::Checksum;

    fn fetch_from(source: &Source) -> Result<(Option<Download>, Vec<u8>), FetchError> {
        let directory = tempfile::tempdir().unwrap();
        let into = directory.path().join("download");
        let fetched = fetch(
            source,
            &Validators::default(),
            &into,
            &Network::default(),
            &Limits::default(),
            &|_| {},
        )?;
        Ok((fetched, fs_err::read(into).unwrap()))
    }

    fn app(content: &[u8]) -> (tempfile::TempDir, Source) {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("agent"), content).unwrap();
        let source = Source::App {
            directory: directory.path().to_owned(),
            path: "agent".into(),
        };
        (directory, source)
    }

    #[test]
    fn local_file_is_copied_and_hashed() {
        let (directory, source) = app(b"content");
        let file = Source::File(directory.path().join("agent"));
        let expected = Download {
            checksum: Checksum::of_bytes(b"content"),
            bytes: 7,
            validators: Validators::default(),
            is_delimited: true,
        };
        let expected = (Some(expected), b"content".to_vec());
        for source in [source, file] {
            assert_eq!(fetch_from(&source).unwrap(), expected);
        }
    }

    #[test]
    fn file_that_cannot_be_fetched_is_refused() {
        let (outside, _) = app(b"secret");
        let (directory, _) = app(b"");
        let path = |name| directory.path().join(name);
        symlink(outside.path().join("agent"), path("out")).unwrap();
        fs_err::write(path("content"), "content").unwrap();
        symlink("content", path("in")).unwrap();
        let vendored = |path: &str| Source::App {
            directory: directory.path().to_owned(),
            path: path.into(),
        };
        assert!(fetch_from(&vendored("in")).is_ok());
        for (source, expected) in [
            (vendored("out"), "OutsideApp"),
            (Source::File(path("")), "NotAFile"),
            (Source::File(path("missing")), "ReadSource("),
            (Source::File(path("agent")), "Empty"),
        ] {
            let error = format!("{:?}", fetch_from(&source).unwrap_err());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
