//! The variables that the installed agent requires, and its defaults for others.

use std::io::Read as _;
use std::path::Path;

use sidecar::Environment;

/// The name of the file that the build leaves in the agent's layer. It has the syntax of Docker's
/// [`--env-file`](https://docs.docker.com/reference/cli/docker/container/run/#env): a line
/// `NAME=value` is a default for a variable that is not set, and a line with a name only is a
/// variable that the agent requires. Lines that begin with `#` are comments.
pub const VARIABLES_FILE: &str = "agent.variables";

/// The content of that file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Variables {
    required: Vec<String>,
    defaults: Vec<(String, String)>,
}

impl Variables {
    /// Reads the file in this layer. One that cannot be read has no content.
    pub(crate) fn read(layer: &Path) -> Self {
        const MAX_BYTES: u64 = 1 << 16;
        let mut content = String::new();
        match sidecar::open_regular(&layer.join(VARIABLES_FILE))
            .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut content))
        {
            Ok(_) => Self::parse(&content),
            Err(_) => Self::default(),
        }
    }

    pub(crate) fn parse(content: &str) -> Self {
        let mut variables = Self::default();
        let lines = content.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once('=') {
                Some((name, value)) => variables.defaults.push((name.into(), value.into())),
                None => variables.required.push(line.to_owned()),
            }
        }
        variables
    }

    /// The environment with the defaults for variables that are not set in it.
    pub(crate) fn complete(&self, environment: &Environment) -> Environment {
        let defaults = || {
            let unset = |(name, _): &&(String, String)| environment.get(name).is_none();
            self.defaults.iter().filter(unset)
        };
        let set = environment
            .iter()
            .filter(|(name, _)| defaults().all(|(default, _)| *name != default.as_str()))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let added = defaults().map(|(name, value)| (name.into(), value.into()));
        set.chain(added).collect()
    }

    /// The names of the required variables that are not set.
    pub(crate) fn missing(&self, environment: &Environment) -> Vec<String> {
        let is_missing = |name: &&String| environment.get(name).is_none();
        self.required.iter().filter(is_missing).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::environment;

    #[test]
    fn defaults_are_for_unset_variables_and_the_others_are_required() {
        let variables = Variables::parse(
            "# Of the tunnel\n\nBACKPLANE_LABELS=agent=tunnel\nBACKPLANE_DRAIN=stop\r\n\
             EMPTY=default\nBACKPLANE_SERVER\n  BACKPLANE_DOMAIN  \n",
        );
        let set = environment(&[
            ("BACKPLANE_DRAIN", "keep"),
            ("EMPTY", ""),
            ("BACKPLANE_DOMAIN", " "),
        ]);
        let complete = variables.complete(&set);
        let expected = environment(&[
            ("BACKPLANE_DRAIN", "keep"),
            ("BACKPLANE_DOMAIN", " "),
            ("BACKPLANE_LABELS", "agent=tunnel"),
            ("EMPTY", "default"),
        ]);
        assert_eq!(complete, expected);
        let missing = ["BACKPLANE_SERVER", "BACKPLANE_DOMAIN"];
        assert_eq!(variables.missing(&set), missing);
        let set = environment(&missing.map(|name| (name, "x")));
        assert_eq!(variables.missing(&set), [""; 0]);
    }

    #[test]
    fn file_that_cannot_be_read_has_no_variables() {
        let layer = tempfile::tempdir().unwrap();
        assert_eq!(Variables::read(layer.path()), Variables::default());
        let path = layer.path().join(VARIABLES_FILE);
        std::fs::write(&path, "BACKPLANE_SERVER\n").unwrap();
        assert_eq!(Variables::read(layer.path()).required, ["BACKPLANE_SERVER"]);
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(Variables::read(layer.path()), Variables::default());
    }
}
