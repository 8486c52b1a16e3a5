//! A downloaded file, and what identifies its version.

use crate::checksum::Checksum;

/// What identifies a file's version to its server in a conditional request
/// ([RFC 9110, section 8.8](https://www.rfc-editor.org/rfc/rfc9110.html#section-8.8)).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

impl Validators {
    /// Whether a value can be stored and sent with each request. Some servers send very long
    /// values, which others refuse, or bytes that no header should contain.
    pub(crate) fn is_usable(value: &str) -> bool {
        const MAX_BYTES: usize = 1024;
        let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        value.len() <= MAX_BYTES && value.bytes().all(is_visible)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A downloaded file.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Download {
    pub(crate) checksum: Checksum,
    pub(crate) bytes: u64,
    pub(crate) validators: Validators,
    /// Whether its length is known. If not, it ends with the connection, and may be incomplete.
    pub(crate) is_delimited: bool,
}
