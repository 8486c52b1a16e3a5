//! The environment of a process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// Environment variables, in their order. Neither names nor values need be UTF-8.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Reads the environment of this process. Each role does so once, at its start.
    pub(crate) fn of_process() -> Self {
        env::vars_os().collect()
    }

    /// The value of a variable. An empty or blank one counts as unset.
    #[must_use]
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        let name = name.as_ref();
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_os_str())
            .filter(|value| !value.as_bytes().trim_ascii().is_empty())
    }

    /// All variables, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let owned = |(name, value): (N, V)| (name.into(), value.into());
        Self(variables.into_iter().map(owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_takes_the_first_and_an_empty_value_for_none() {
        let raw = OsStr::from_bytes(b"\xff");
        let environment: Environment = [
            ("A", OsStr::new("1")),
            ("A", OsStr::new("2")),
            ("EMPTY", OsStr::new("")),
            ("BLANK", OsStr::new(" \n")),
            ("RAW", raw),
        ]
        .into_iter()
        .collect();
        assert_eq!(environment.get("A"), Some(OsStr::new("1")));
        assert_eq!(environment.get("EMPTY"), None);
        assert_eq!(environment.get("BLANK"), None);
        assert_eq!(environment.get("NONE"), None);
        assert_eq!(environment.get("RAW"), Some(raw));
    }
}
