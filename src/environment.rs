//! The environment of a build, as a value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The variables of the build process, or the files of a classic buildpack's `ENV_DIR`.
pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// The value of a variable without surrounding white space, which copying a line adds; `None` if
/// nothing is left.
pub(crate) fn value<'a>(environment: &'a Environment, name: &str) -> Option<&'a OsStr> {
    let value = environment.get(OsStr::new(name))?.as_bytes().trim_ascii();
    (!value.is_empty()).then(|| OsStr::from_bytes(value))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Environment;

    pub(crate) fn variables(pairs: &[(&str, &str)]) -> Environment {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }
}
