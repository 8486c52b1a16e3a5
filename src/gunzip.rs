//! Readers between a downloaded file and the archive in it.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// What a gzip member begins with.
pub(crate) const MAGIC: &[u8] = b"\x1f\x8b";

/// The content of all members of a gzip stream, one after the other
/// ([RFC 1952, section 2.2](https://www.rfc-editor.org/rfc/rfc1952.html#section-2.2)). What follows the last member and
/// is none is left alone, as gzip does it.
pub(crate) struct Gunzip<R> {
    /// The decoder of the member that is being read; none behind the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gunzip<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            member: Some(GzDecoder::new(source)),
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.member {
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if let Some(mut source) = self.member.take().map(GzDecoder::into_inner)
                && source.fill_buf()?.starts_with(MAGIC)
            {
                *self = Self::new(source);
            }
        }
        Ok(0)
    }
}

/// A reader that fails after a number of bytes, and remembers that it did.
pub(crate) struct Bounded<R> {
    inner: R,
    left: u64,
    exceeded: bool,
}

impl<R> Bounded<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            left: limit,
            exceeded: false,
        }
    }

    /// Whether the limit was the reason for a failure.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count as u64 > self.left {
            self.exceeded = true;
            return Err(io::Error::other("the limit is exceeded"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn member(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(stream: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Gunzip::new(stream).read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn members_are_joined_and_trailing_garbage_is_left_alone() {
        let stream = [member(b"one "), member(b"two"), b"garbage".to_vec()].concat();
        assert_eq!(gunzip(&stream).unwrap(), b"one two");
    }

    #[test]
    fn truncated_and_corrupted_members_are_errors() {
        let stream = [member(b"one "), member(b"two")].concat();
        assert!(gunzip(&stream[..stream.len() - 1]).is_err());
        let mut corrupted = member(b"some content");
        let checksum = corrupted.len() - 8;
        corrupted[checksum] ^= 1;
        assert!(gunzip(&corrupted).is_err());
    }

    #[test]
    fn bound_fails_only_behind_the_limit() {
        let mut exact = Bounded::new(&b"1234"[..], 4);
        assert_eq!(exact.read_to_end(&mut Vec::new()).unwrap(), 4);
        assert!(!exact.is_exceeded());
        let mut over = Bounded::new(&b"12345"[..], 4);
        assert!(over.read_to_end(&mut Vec::new()).is_err());
        assert!(over.is_exceeded());
    }
}
