//! The agent's environment: a chosen part of the app's.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use sidecar::Environment;

/// Variables of the app that the agent gets besides `BACKPLANE_*` and those in `BACKPLANE_AGENT_ENV`:
/// a client program needs them to find its files, its proxy and its certificates, and none belongs to
/// the app.
const FORWARDED: [&str; 18] = [
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
const FORWARDED_PREFIXES: [&str; 2] = ["BACKPLANE_", "LC_"];

/// Where programs are looked for when the app has no PATH: a shell's default.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The agent's environment: the allow-listed variables of the app and those in `extra`, PATH with
/// the agent's directory first, and the token.
pub(crate) fn of_agent(
    app: &Environment,
    directory: &Path,
    extra: &[OsString],
    token: &OsStr,
) -> Environment {
    let is_forwarded = |name: &OsStr, value: &OsStr| {
        FORWARDED.iter().any(|known| name == *known)
            || FORWARDED_PREFIXES.iter().any(|prefix| {
                name.as_bytes().starts_with(prefix.as_bytes()) && !is_service_link(name, value)
            })
            || extra.iter().any(|known| name == known)
    };
    let mut path = directory.as_os_str().to_owned();
    path.push(":");
    path.push(app.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH)));
    let ours = [
        (OsString::from("PATH"), path),
        (OsString::from("BACKPLANE_TOKEN"), token.to_owned()),
    ];
    app.iter()
        .filter(|(name, value)| {
            is_forwarded(name, value) && ours.iter().all(|(our, _)| our != name)
        })
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(ours.clone())
        .collect()
}

/// Whether a variable is one of those that Kubernetes sets in each pod for each service of its
/// namespace, so that a service `backplane-frp` sets `BACKPLANE_FRP_PORT` to `tcp://…`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
fn is_service_link(name: &OsStr, value: &OsStr) -> bool {
    const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];
    let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
        return false;
    };
    let is_url = value
        .split_once("://")
        .is_some_and(|(scheme, _)| PROTOCOLS.contains(&scheme));
    // What follows `…_PORT_`: the number of the port, its protocol, and which part of the address
    // it is.
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
    use crate::settings::tests::{environment, with_bytes};

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
        let agent_has = |(name, value): (&str, &str), extra: &[OsString]| {
            let app = environment(&[(name, value)]);
            of_agent(&app, Path::new("/libexec"), extra, OsStr::new("token"))
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
    fn agent_gets_the_allow_listed_variables_and_no_others() {
        let forwarded = [
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
        ];
        let others = [
            ("DATABASE_URL", "postgres://secret"),
            ("BACKPLANE_TOKEN", "from the app's variables"),
            ("MY_BACKPLANE_X", "no"),
            ("LCX", "no"),
            ("PATH", "/app/bin:/usr/bin"),
            ("LD_PRELOAD", "no"),
            ("PORT", "8080"),
        ];
        let own = [
            ("PATH", "/layers/agent/libexec:/app/bin:/usr/bin"),
            ("BACKPLANE_TOKEN", "T"),
        ];
        let with_odd = |variables: [&[(&str, &str)]; 2]| {
            let odd = with_bytes(&environment(variables[0]), b"ODD", b"\xfe\xff");
            let odd = with_bytes(&odd, b"BACKPLANE_\xff", b"\xff");
            let rest = environment(variables[1]);
            odd.iter().chain(rest.iter()).collect::<Environment>()
        };
        let extra = ["MINE", "ODD", "UNSET"].map(OsString::from);
        let directory = Path::new("/layers/agent/libexec");
        let app = with_odd([&forwarded, &others]);
        let agent = of_agent(&app, directory, &extra, OsStr::new("T"));
        assert_eq!(agent, with_odd([&forwarded, &own]));
    }

    #[test]
    fn agent_gets_a_usual_path_where_the_app_has_none() {
        let app = Environment::default();
        let agent = of_agent(&app, Path::new("/x"), &[], OsStr::new("T"));
        let expected = format!("/x:{DEFAULT_PATH}");
        assert_eq!(agent.get("PATH"), Some(OsStr::new(&expected)));
    }
}
