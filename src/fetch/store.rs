//! Storing a stream as a file: bounded, hashed on the way, never held in memory as a whole.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Instant;

use fs_err::File;

use super::error::FetchError;
use super::event::{Event, OnEvent};
use crate::checksum::{Checksum, HashingWriter};
use crate::limits::{BUFFER_BYTES, Limits};

/// Streams `source` into the file `into`; returns the checksum and the number of bytes. If `source`
/// fails, `read_error` creates the error, from its cause and the number of bytes so far.
pub(super) fn store(
    mut source: impl Read,
    expected_bytes: Option<u64>,
    into: &Path,
    limits: &Limits,
    on_event: OnEvent<'_>,
    read_error: impl FnOnce(io::Error, u64) -> FetchError,
) -> Result<(Checksum, u64), FetchError> {
    let limit = limits.max_download_bytes;
    if expected_bytes.is_some_and(|bytes| bytes > limit) {
        return Err(FetchError::TooLarge { limit });
    }
    let file = File::create(into).map_err(FetchError::Write)?;
    let mut writer = HashingWriter::new(file);
    let mut reported = Instant::now();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_error(error, writer.written())),
        };
        if writer.written() + count as u64 > limit {
            return Err(FetchError::TooLarge { limit });
        }
        writer
            .write_all(&buffer[..count])
            .map_err(FetchError::Write)?;
        if reported.elapsed() >= limits.progress_interval {
            reported = Instant::now();
            on_event(Event::Progress {
                bytes: writer.written(),
                expected_bytes,
            });
        }
    }
    let bytes = writer.written();
    let checksum = writer.finish().map_err(FetchError::Write)?;
    Ok((checksum, bytes))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    /// Stores a file under these limits; returns whether that succeeds, and the events.
    fn store_content(expected_bytes: Option<u64>, limits: &Limits) -> (bool, Vec<String>) {
        let events = RefCell::<Vec<String>>::default();
        let into = tempfile::NamedTempFile::new().unwrap();
        let on_event = |event: Event<'_>| events.borrow_mut().push(format!("{event:?}"));
        let content = &b"content"[..];
        let read_error = |error, _| FetchError::ReadSource(error);
        let path = into.path();
        let stored = store(content, expected_bytes, path, limits, &on_event, read_error);
        match &stored {
            Ok(stored) => {
                assert_eq!(*stored, (Checksum::of_bytes(content), 7));
                assert_eq!(fs_err::read(into.path()).unwrap(), content);
            }
            Err(error) => assert!(matches!(error, FetchError::TooLarge { limit: 6 })),
        }
        (stored.is_ok(), events.into_inner())
    }

    #[test]
    fn size_is_limited_whether_it_is_announced_or_not() {
        for (max_download_bytes, is_stored) in [(7, true), (6, false)] {
            let limits = Limits {
                max_download_bytes,
                ..Limits::default()
            };
            for announced in [None, Some(7)] {
                assert_eq!(store_content(announced, &limits).0, is_stored);
            }
        }
    }

    #[test]
    fn progress_is_reported_at_intervals() {
        let event = "Progress { bytes: 7, expected_bytes: Some(7) }";
        for (interval, expected) in [
            (Duration::ZERO, &[event][..]),
            (Duration::from_hours(1), &[]),
        ] {
            let limits = Limits {
                progress_interval: interval,
                ..Limits::default()
            };
            assert_eq!(store_content(Some(7), &limits).1, expected);
        }
    }
}
