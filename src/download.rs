//! An agent's source to a verified local file: streamed to disk, hashed on the way, never held in memory.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use fs_err::File;

use crate::checksum::{Checksum, HashingWriter};
use crate::files::{self, Links};
use crate::http::{self, HttpError};
use crate::limits::{BUFFER_BYTES, Limits};
use crate::output::Output;
use crate::release::Source;
use crate::settings::Network;

/// What a server said of a file's version, to be asked about it again
/// ([RFC 9110, section 8.8](https://www.rfc-editor.org/rfc/rfc9110.html#section-8.8)).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

impl Validators {
    /// Whether a value can be kept, and sent again with each request: some servers make very long ones, which others refuse, or use
    /// bytes that no header should have.
    pub(crate) fn is_usable(value: &str) -> bool {
        const LONGEST: usize = 1024;
        let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        value.len() <= LONGEST && value.bytes().all(is_visible)
    }
}

/// The outcome of a download that did not fail.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Fetched {
    /// The server still has the version that the validators name.
    NotModified,
    /// The file is there.
    File(Download),
}

/// A downloaded file, and what is known of it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Download {
    pub(crate) checksum: Checksum,
    pub(crate) bytes: u64,
    pub(crate) validators: Validators,
    /// Whether its source said where it ends. If not, it ended with the connection, and may be half of a file.
    pub(crate) is_delimited: bool,
}

/// Errors that can occur when an agent is fetched.
#[derive(Debug)]
pub(crate) enum DownloadError {
    /// The server, or the way to it.
    Http(HttpError),
    /// A local source is missing or cannot be read. The error is the system's own, without the path, which the user may have meant
    /// as a URL with a secret.
    ReadSource(io::Error),
    /// A local source is a folder or something else that is no file.
    NotAFile,
    /// A vendored source leads out of the app's folder through a link.
    OutsideApp,
    /// There is nothing in it.
    Empty,
    /// It is larger than the limit.
    TooLarge { limit: u64 },
    /// The local file cannot be written.
    Write(io::Error),
}

/// Fetches `source` into the new file `into`; with `known` validators, only if the server has another version.
pub(crate) fn fetch(
    source: &Source,
    known: &Validators,
    into: &Path,
    network: &Network,
    limits: &Limits,
    output: &dyn Output,
) -> Result<Fetched, DownloadError> {
    let fetched = match source {
        Source::Web(url) => http::fetch(url, known, into, network, limits, output),
        Source::File(path) => copy(path, into, limits, output),
        Source::App { folder, path } => copy(&vendored(folder, path)?, into, limits, output),
    }?;
    match fetched {
        Fetched::File(Download { bytes: 0, .. }) => Err(DownloadError::Empty),
        other => Ok(other),
    }
}

/// The real path of a vendored file, which links must not lead out of the app.
fn vendored(folder: &Path, path: &Path) -> Result<PathBuf, DownloadError> {
    let folder = std::fs::canonicalize(folder).map_err(DownloadError::ReadSource)?;
    let real = std::fs::canonicalize(folder.join(path)).map_err(DownloadError::ReadSource)?;
    if real.starts_with(&folder) {
        Ok(real)
    } else {
        Err(DownloadError::OutsideApp)
    }
}

fn copy(
    from: &Path,
    into: &Path,
    limits: &Limits,
    output: &dyn Output,
) -> Result<Fetched, DownloadError> {
    let source = match files::open(from, Links::Follow) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(DownloadError::NotAFile);
        }
        Err(error) => return Err(DownloadError::ReadSource(error)),
    };
    let metadata = source.metadata().map_err(DownloadError::ReadSource)?;
    store(source, Some(metadata.len()), into, limits, output)
        .map(|(checksum, bytes)| {
            Fetched::File(Download {
                checksum,
                bytes,
                validators: Validators::default(),
                is_delimited: true,
            })
        })
        .map_err(|error| match error {
            StoreError::Read(error) => DownloadError::ReadSource(error),
            StoreError::Write(error) => DownloadError::Write(error),
            StoreError::TooLarge => DownloadError::TooLarge {
                limit: limits.download_bytes,
            },
        })
}

/// Errors that can occur when a stream is stored.
#[derive(Debug)]
pub(crate) enum StoreError {
    Read(io::Error),
    Write(io::Error),
    TooLarge,
}

/// Streams `source` into the file `into`, hashing it, and tells now and then how far it is.
pub(crate) fn store(
    mut source: impl Read,
    expected_bytes: Option<u64>,
    into: &Path,
    limits: &Limits,
    output: &dyn Output,
) -> Result<(Checksum, u64), StoreError> {
    if expected_bytes.is_some_and(|bytes| bytes > limits.download_bytes) {
        return Err(StoreError::TooLarge);
    }
    let file = File::create(into).map_err(StoreError::Write)?;
    let mut writer = HashingWriter::new(file);
    let mut progress = Progress::new(limits.progress, expected_bytes);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::Read(error)),
        };
        if writer.written() + count as u64 > limits.download_bytes {
            return Err(StoreError::TooLarge);
        }
        writer
            .write_all(&buffer[..count])
            .map_err(StoreError::Write)?;
        if let Some(line) = progress.line(writer.written(), Instant::now()) {
            output.step(&line);
        }
    }
    let bytes = writer.written();
    let checksum = writer.finish().map_err(StoreError::Write)?;
    Ok((checksum, bytes))
}

/// Decides when a download has something to tell.
struct Progress {
    every: Duration,
    expected_bytes: Option<u64>,
    last: Instant,
}

impl Progress {
    fn new(every: Duration, expected_bytes: Option<u64>) -> Self {
        Self {
            every,
            expected_bytes: expected_bytes.filter(|bytes| *bytes > 0),
            last: Instant::now(),
        }
    }

    fn line(&mut self, bytes: u64, now: Instant) -> Option<String> {
        if now.saturating_duration_since(self.last) < self.every {
            return None;
        }
        self.last = now;
        Some(match self.expected_bytes {
            Some(expected) => format!(
                "{} of {} ({}%)",
                ByteSize(bytes),
                ByteSize(expected),
                bytes.min(expected).saturating_mul(100) / expected
            ),
            None => format!("{} so far", ByteSize(bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Recorded;
    use std::os::unix::fs::symlink;

    fn fetch_from(source: &Source, limits: &Limits) -> Result<(Fetched, Vec<u8>), DownloadError> {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("download");
        let fetched = fetch(
            source,
            &Validators::default(),
            &into,
            &Network::default(),
            limits,
            &Recorded::default(),
        )?;
        Ok((fetched, fs_err::read(into).unwrap()))
    }

    fn app(content: &[u8]) -> (tempfile::TempDir, Source) {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("agent"), content).unwrap();
        let source = Source::App {
            folder: folder.path().to_owned(),
            path: "agent".into(),
        };
        (folder, source)
    }

    #[test]
    fn local_file_is_copied_and_hashed() {
        let (folder, source) = app(b"content");
        let file = Source::File(folder.path().join("agent"));
        for source in [source, file] {
            let (fetched, copied) = fetch_from(&source, &Limits::default()).unwrap();
            assert_eq!(copied, b"content");
            assert_eq!(
                fetched,
                Fetched::File(Download {
                    checksum: Checksum::of_bytes(b"content"),
                    bytes: 7,
                    validators: Validators::default(),
                    is_delimited: true,
                })
            );
        }
    }

    #[test]
    fn vendored_link_may_not_leave_the_app() {
        let (outside, _) = app(b"secret");
        let (folder, _) = app(b"content");
        symlink(outside.path().join("agent"), folder.path().join("out")).unwrap();
        symlink("agent", folder.path().join("in")).unwrap();
        let source = |path: &str| Source::App {
            folder: folder.path().to_owned(),
            path: path.into(),
        };
        assert!(matches!(
            fetch_from(&source("out"), &Limits::default()),
            Err(DownloadError::OutsideApp)
        ));
        assert!(fetch_from(&source("in"), &Limits::default()).is_ok());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let (folder, _) = app(b"");
        let limits = Limits::default();
        assert!(matches!(
            fetch_from(&Source::File(folder.path().to_owned()), &limits),
            Err(DownloadError::NotAFile)
        ));
        assert!(matches!(
            fetch_from(&Source::File(folder.path().join("missing")), &limits),
            Err(DownloadError::ReadSource(_))
        ));
        assert!(matches!(
            fetch_from(&Source::File(folder.path().join("agent")), &limits),
            Err(DownloadError::Empty)
        ));
    }

    #[test]
    fn size_is_limited_whether_it_is_announced_or_not() {
        let (_folder, source) = app(b"content");
        let limits = Limits {
            download_bytes: 6,
            ..Limits::default()
        };
        assert!(matches!(
            fetch_from(&source, &limits),
            Err(DownloadError::TooLarge { limit: 6 })
        ));
        let into = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(
            store(
                &b"content"[..],
                None,
                into.path(),
                &limits,
                &Recorded::default()
            ),
            Err(StoreError::TooLarge)
        ));
    }

    #[test]
    fn progress_is_told_at_intervals_with_and_without_a_known_size() {
        let every = Duration::from_secs(5);
        let start = Instant::now();
        let mut known = Progress::new(every, Some(4096));
        assert_eq!(known.line(1, start), None);
        let line = known.line(1024, start + Duration::from_secs(6)).unwrap();
        assert_eq!(line, "1.0 KiB of 4.0 KiB (25%)");
        assert_eq!(known.line(2048, start + Duration::from_secs(7)), None);
        let mut unknown = Progress::new(every, None);
        let line = unknown.line(2048, start + Duration::from_secs(6)).unwrap();
        assert_eq!(line, "2.0 KiB so far");
    }
}
