//! SHA-256 checksums.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A SHA-256 checksum as 64 lower-case hex digits. Only parsing or computing makes one.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub(crate) struct Checksum(String);

/// The text is not 64 hex digits.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct NotAChecksum;

impl Checksum {
    /// The checksum of all that `content` returns, read in small pieces.
    pub(crate) fn of_reader(mut content: impl Read) -> io::Result<Self> {
        let mut writer = HashingWriter::new(io::sink());
        io::copy(&mut content, &mut writer)?;
        writer.finish()
    }

    /// The checksum of bytes in memory.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// The first 12 digits, enough to distinguish two in a log.
    pub(crate) fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Checksum {
    type Err = NotAChecksum;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(NotAChecksum)
        }
    }
}

impl TryFrom<String> for Checksum {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
            .map_err(|NotAChecksum| "a checksum has 64 hex digits")
    }
}

/// A writer that hashes and counts what is written through it.
pub(crate) struct HashingWriter<W> {
    inner: W,
    hasher: Sha256,
    written: u64,
}

impl<W: Write> HashingWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            written: 0,
        }
    }

    /// How many bytes were written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Flushes; returns the checksum of all bytes that were written.
    pub(crate) fn finish(mut self) -> io::Result<Checksum> {
        self.inner.flush()?;
        Ok(Checksum(hex::encode(self.hasher.finalize())))
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The SHA-256 of no bytes at all.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parse_accepts_either_case_and_shows_lower_case() {
        let parsed: Checksum = EMPTY.to_ascii_uppercase().parse().unwrap();
        assert_eq!(parsed.to_string(), EMPTY);
    }

    #[test]
    fn parse_refuses_everything_else() {
        for text in [
            "",
            "abc",
            &EMPTY[1..],
            &EMPTY.replace('e', "g"),
            &format!("{EMPTY}0"),
        ] {
            assert_eq!(text.parse::<Checksum>(), Err(NotAChecksum), "{text}");
        }
    }

    #[test]
    fn writer_reader_and_bytes_agree() {
        let mut content = Vec::new();
        let mut writer = HashingWriter::new(&mut content);
        writer.write_all(b"some ").unwrap();
        writer.write_all(b"bytes").unwrap();
        assert_eq!(writer.written(), 10);
        let written = writer.finish().unwrap();
        assert_eq!(content, b"some bytes");
        assert_eq!(written, Checksum::of_bytes(&content));
        assert_eq!(written, Checksum::of_reader(&content[..]).unwrap());
    }
}
