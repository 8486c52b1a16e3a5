//! The environment: the app's, as it was read once, and the agent's, which is a chosen part of it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Environment variables, in their order; neither names nor values need be UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment(Vec<(OsString, OsString)>);

/// Variables that the agent gets beside `BACKPLANE_*` and `BACKPLANE_AGENT_ENV`: what a program that dials out needs to find its
/// files, its proxy and its certificates, and nothing that belongs to the app.
const HANDED_ON: [&str; 18] = [
    "HOME",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
];

/// Families of variables that the agent gets, by the start of their names.
const HANDED_ON_PREFIXES: [&str; 2] = ["BACKPLANE_", "LC_"];

/// Where programs are looked for when the app has no PATH: what a shell would take.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Environment {
    /// Reads the process's environment. Each role does so once, at its start.
    pub(crate) fn of_process() -> Self {
        Self(env::vars_os().collect())
    }

    /// The value of a variable; an empty or blank one is the same as none.
    pub(crate) fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        let name = name.as_ref();
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_os_str())
            .filter(|value| !value.as_bytes().trim_ascii().is_empty())
    }

    /// The agent's environment: the allow-listed variables and those in `further`, PATH with the folder of the agent first, and
    /// the token wherever it came from.
    pub(crate) fn for_agent(&self, folder: &Path, further: &[OsString], token: &OsStr) -> Self {
        let is_handed_on = |name: &OsStr| {
            HANDED_ON.iter().any(|known| name == *known)
                || HANDED_ON_PREFIXES
                    .iter()
                    .any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
                || further.iter().any(|known| name == known)
        };
        let mut path = folder.as_os_str().to_owned();
        path.push(":");
        path.push(self.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH)));
        let ours = [
            (OsString::from("PATH"), path),
            (OsString::from("BACKPLANE_TOKEN"), token.to_owned()),
        ];
        let handed_on = self
            .0
            .iter()
            .filter(|(name, _)| is_handed_on(name) && ours.iter().all(|(our, _)| our != name))
            .cloned();
        Self(handed_on.chain(ours.clone()).collect())
    }

    /// All variables, for [`std::process::Command::envs`].
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// An environment of these variables.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        Self(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// The same with one more variable, of any bytes.
    #[cfg(test)]
    pub(crate) fn with_bytes(mut self, name: &[u8], value: &[u8]) -> Self {
        use std::os::unix::ffi::OsStringExt as _;
        let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        self.0.push((owned(name), owned(value)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_takes_the_first_and_an_empty_value_for_none() {
        let environment =
            Environment::of(&[("A", "1"), ("A", "2"), ("EMPTY", ""), ("BLANK", " \n")])
                .with_bytes(b"RAW", b"\xff");
        assert_eq!(environment.get("A"), Some(OsStr::new("1")));
        assert_eq!(environment.get("EMPTY"), None);
        assert_eq!(environment.get("BLANK"), None);
        assert_eq!(environment.get("NONE"), None);
        assert_eq!(environment.get("RAW"), Some(OsStr::from_bytes(b"\xff")));
    }

    #[test]
    fn agent_gets_the_allow_listed_variables_and_no_others() {
        let environment = Environment::of(&[
            ("DATABASE_URL", "postgres://secret"),
            ("BACKPLANE_LABELS", "a=b"),
            ("BACKPLANE_TOKEN", "from the app's variables"),
            ("BACKPLANE_ANYTHING", "x"),
            ("MY_BACKPLANE_X", "no"),
            ("HOME", "/home/app"),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C"),
            ("LCX", "no"),
            ("TZ", "UTC"),
            ("TMPDIR", "/scratch"),
            ("https_proxy", "http://proxy"),
            ("NO_PROXY", "localhost"),
            ("SSL_CERT_FILE", "/ca.pem"),
            ("PATH", "/app/bin:/usr/bin"),
            ("LD_PRELOAD", "no"),
            ("PORT", "8080"),
            ("MINE", "yes"),
        ])
        .with_bytes(b"ODD", b"\xfe\xff")
        .with_bytes(b"BACKPLANE_\xff", b"\xff");
        let further = ["MINE", "ODD", "UNSET"].map(OsString::from);

        let agent = environment.for_agent(
            Path::new("/layers/agent/libexec"),
            &further,
            OsStr::new("T"),
        );

        let expected = Environment::of(&[
            ("BACKPLANE_LABELS", "a=b"),
            ("BACKPLANE_ANYTHING", "x"),
            ("HOME", "/home/app"),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("TMPDIR", "/scratch"),
            ("https_proxy", "http://proxy"),
            ("NO_PROXY", "localhost"),
            ("SSL_CERT_FILE", "/ca.pem"),
            ("MINE", "yes"),
        ])
        .with_bytes(b"ODD", b"\xfe\xff")
        .with_bytes(b"BACKPLANE_\xff", b"\xff")
        .with_bytes(b"PATH", b"/layers/agent/libexec:/app/bin:/usr/bin")
        .with_bytes(b"BACKPLANE_TOKEN", b"T");
        assert_eq!(agent, expected);
    }

    #[test]
    fn agent_gets_a_usual_path_where_the_app_has_none() {
        let agent = Environment::default().for_agent(Path::new("/x"), &[], OsStr::new("T"));
        assert_eq!(
            agent.get("PATH").unwrap().to_str().unwrap(),
            format!("/x:{DEFAULT_PATH}")
        );
    }
}
