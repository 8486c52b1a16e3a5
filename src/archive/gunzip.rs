//! Decompression of gzip streams, and a limit for its output.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The beginning of a gzip member.
pub(crate) const MAGIC: &[u8] = b"\x1f\x8b";

/// The content of all members of a gzip stream ([RFC 1952, section
/// 2.2](https://www.rfc-editor.org/rfc/rfc1952.html#section-2.2)). Zeros after a member are
/// padding, as for gzip; flate2's `MultiGzDecoder` takes them for a damaged member. Anything else
/// there is an error.
///
/// It holds the decoder of the current member; `None` after the last one.
pub(crate) struct Gunzip<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Gunzip<R> {
    pub(crate) fn new(source: R) -> Self {
        Self(Some(GzDecoder::new(source)))
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if let Some(mut source) = self.0.take().map(GzDecoder::into_inner)
                && has_content_after_padding(&mut source)?
            {
                *self = Self::new(source);
            }
        }
        Ok(0)
    }
}

/// Skips zeros; returns whether anything follows.
fn has_content_after_padding(source: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let ahead = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            ahead => ahead?,
        };
        let length = ahead.len();
        let padding = ahead.iter().take_while(|byte| **byte == 0).count();
        source.consume(padding);
        if length == 0 || padding < length {
            return Ok(length > 0);
        }
    }
}

/// A reader that fails with `FileTooLarge` after a number of bytes.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R> Bounded<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use crate::archive::tests::gzip as member;

    fn gunzip(stream: &[u8], buffer: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Gunzip::new(BufReader::with_capacity(buffer, stream)).read_to_end(&mut content)?;
        Ok(content)
    }

    // A member's end, its padding and the next one's start may all lie at the end of the buffer or
    // across it.
    #[test]
    fn all_members_are_read_from_a_buffer_of_any_size() {
        let padding = [0; 5];
        for stream in [
            [member(b"one "), member(b"two")].concat(),
            [member(b"one "), member(b""), member(b"two")].concat(),
            [&member(b"one "), &padding[..], &member(b"two"), &padding].concat(),
        ] {
            for buffer in 1..=stream.len() {
                assert_eq!(gunzip(&stream, buffer).unwrap(), b"one two", "{buffer}");
            }
        }
    }

    #[test]
    fn truncated_and_corrupted_members_are_errors() {
        let stream = [member(b"one "), member(b"two")].concat();
        for length in member(b"one ").len() + 1..stream.len() {
            assert!(gunzip(&stream[..length], 64).is_err(), "{length}");
        }
        let mut corrupted = member(b"some content");
        let checksum = corrupted.len() - 8;
        corrupted[checksum] ^= 1;
        assert!(gunzip(&corrupted, 64).is_err());
        let garbage = [member(b"one "), b"garbage".to_vec()].concat();
        assert!(gunzip(&garbage, 64).is_err());
    }

    #[test]
    fn bound_fails_only_after_the_limit() {
        let mut exact = Bounded::new(&b"1234"[..], 4);
        assert_eq!(exact.read_to_end(&mut Vec::new()).unwrap(), 4);
        let mut over = Bounded::new(&b"12345"[..], 4);
        let error = over.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
