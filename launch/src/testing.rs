//! Helpers of the unit tests.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use sidecar::Environment;

/// An environment of these variables.
pub(crate) fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

pub(crate) trait WithBytes {
    /// The same with one more variable, of any bytes.
    fn with_bytes(self, name: &[u8], value: &[u8]) -> Self;
}

impl WithBytes for Environment {
    fn with_bytes(self, name: &[u8], value: &[u8]) -> Self {
        let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let mut variables: Vec<_> = self
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        variables.push((owned(name), owned(value)));
        variables.into_iter().collect()
    }
}
