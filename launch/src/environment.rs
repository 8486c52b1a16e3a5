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
        let is_handed_on = |name: &OsStr, value: &OsStr| {
            HANDED_ON.iter().any(|known| name == *known)
                || HANDED_ON_PREFIXES.iter().any(|prefix| {
                    name.as_bytes().starts_with(prefix.as_bytes()) && !is_service_link(name, value)
                })
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
            .filter(|(name, value)| {
                is_handed_on(name, value) && ours.iter().all(|(our, _)| our != name)
            })
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

/// Whether a variable is one of those that Kubernetes sets in each pod for each service of its namespace, so that a service
/// `backplane-frp` sets `BACKPLANE_FRP_PORT` to `tcp://…`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
fn is_service_link(name: &OsStr, value: &OsStr) -> bool {
    const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];
    let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
        return false;
    };
    let is_url = value
        .split_once("://")
        .is_some_and(|(scheme, _)| PROTOCOLS.contains(&scheme));
    // What follows `…_PORT_`: the number of the port, its protocol, and which part of the address it is.
    let is_of_port = |rest: &str| {
        let mut words = rest.split('_');
        words.next().is_some_and(|port| port.parse::<u16>().is_ok())
            && words.next().is_some_and(|protocol| {
                PROTOCOLS
                    .iter()
                    .any(|known| protocol.eq_ignore_ascii_case(known))
            })
            && words
                .next()
                .is_none_or(|part| ["PROTO", "PORT", "ADDR"].contains(&part))
            && words.next().is_none()
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_url)
        || name
            .match_indices("_PORT_")
            .any(|(at, found)| is_of_port(&name[at + found.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_services_of_kubernetes_are_not_for_the_agent_unless_they_are_named() {
        let links = [
            ("BACKPLANE_SERVICE_HOST", "10.0.0.1"),
            ("BACKPLANE_FRP_SERVICE_PORT", "7000"),
            ("BACKPLANE_FRP_SERVICE_PORT_HTTP", "7000"),
            ("BACKPLANE_FRP_PORT", "tcp://10.0.0.1:7000"),
            ("BACKPLANE_FRP_PORT_7000_TCP", "tcp://10.0.0.1:7000"),
            ("BACKPLANE_FRP_PORT_7000_TCP_PROTO", "tcp"),
            ("BACKPLANE_FRP_PORT_7000_TCP_PORT", "7000"),
            ("BACKPLANE_FRP_PORT_7000_UDP_ADDR", "10.0.0.1"),
        ];
        let others = [
            ("BACKPLANE_FRP_PORT", "7000"),
            ("BACKPLANE_PROXY_URL", "tcp://10.0.0.1:7000"),
            ("BACKPLANE_PORT_NAME", "x"),
            ("BACKPLANE_PORT_80_OTHER", "x"),
            ("BACKPLANE_SERVICE", "x"),
        ];
        let agent_has = |(name, value): (&str, &str), further: &[OsString]| {
            Environment::of(&[(name, value)])
                .for_agent(Path::new("/libexec"), further, OsStr::new("token"))
                .get(name)
                .is_some()
        };
        for link in links {
            assert!(!agent_has(link, &[]), "{link:?}");
            assert!(agent_has(link, &[link.0.into()]), "{link:?}");
        }
        for other in others {
            assert!(agent_has(other, &[]), "{other:?}");
        }
    }

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
