//! Proxies and certificate authorities, as the usual variables name them.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::environment::{self, Environment};

/// How to reach servers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Network {
    /// The proxy for `https://` sources.
    pub(crate) https_proxy: Option<ProxyVariable>,
    /// The proxy for `http://` sources.
    pub(crate) http_proxy: Option<ProxyVariable>,
    /// The hosts that are reached without a proxy, as a list.
    pub(crate) no_proxy: String,
    /// A PEM file of certificate authorities that replaces the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Directories of certificate authorities that replace the system's.
    pub(crate) ca_directories: Vec<PathBuf>,
}

/// A variable that names a proxy.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct ProxyVariable {
    /// The variable's name.
    pub(crate) name: &'static str,
    /// A URL that may contain a password, or anything else.
    pub(crate) value: OsString,
}

impl fmt::Debug for ProxyVariable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl Network {
    /// Reads the network settings of `environment`.
    pub(crate) fn read(environment: &Environment) -> Self {
        let value = |name| environment::value(environment, name);
        // Lower case first, as curl does (https://everything.curl.dev/usingcurl/proxies/env.html).
        let proxy = |names: [&'static str; 4]| {
            names.into_iter().find_map(|name| {
                let value = value(name)?.to_owned();
                Some(ProxyVariable { name, value })
            })
        };
        Self {
            https_proxy: proxy(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http_proxy: proxy(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            // An entry that is not UTF-8 is not a host name.
            no_proxy: value("no_proxy")
                .or_else(|| value("NO_PROXY"))
                .map_or_else(String::new, |list| list.to_string_lossy().into_owned()),
            ca_file: value("SSL_CERT_FILE").map(PathBuf::from),
            ca_directories: value("SSL_CERT_DIR")
                .iter()
                .flat_map(env::split_paths)
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

    use super::*;
    use crate::environment::tests::variables;

    #[test]
    fn lower_case_wins_and_all_proxy_is_the_fallback() {
        let proxy = |name, value: &str| {
            Some(ProxyVariable {
                name,
                value: value.into(),
            })
        };
        let both = Network::read(&variables(&[
            ("https_proxy", "a"),
            ("HTTPS_PROXY", "b"),
            ("ALL_PROXY", "c"),
        ]));
        assert_eq!(both.https_proxy, proxy("https_proxy", "a"));
        assert_eq!(both.http_proxy, proxy("ALL_PROXY", "c"));
        let upper = Network::read(&variables(&[
            ("HTTP_PROXY", "p"),
            ("NO_PROXY", "n"),
            ("https_proxy", ""),
        ]));
        assert_eq!(upper.http_proxy, proxy("HTTP_PROXY", "p"));
        assert_eq!(upper.no_proxy, "n");
        assert_eq!(upper.https_proxy, None);
    }

    #[test]
    fn values_are_trimmed_and_may_be_any_bytes() {
        let bytes = OsString::from_vec(b"http://\xff\n".to_vec());
        let network = Network::read(&Environment::from([
            ("all_proxy".into(), bytes.clone()),
            ("HTTPS_PROXY".into(), " \r\n".into()),
            ("NO_PROXY".into(), bytes),
            ("SSL_CERT_FILE".into(), " /ca.pem\n".into()),
            ("SSL_CERT_DIR".into(), "/a::/b\n".into()),
        ]));
        let proxy = network.https_proxy.unwrap();
        assert_eq!(proxy.name, "all_proxy");
        assert_eq!(proxy.value.as_bytes(), b"http://\xff");
        assert_eq!(network.no_proxy, "http://\u{fffd}");
        assert_eq!(network.ca_file, Some("/ca.pem".into()));
        assert_eq!(network.ca_directories, ["/a", "/b"].map(PathBuf::from));
    }
}
