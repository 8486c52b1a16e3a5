//! The app's address.

use anyhow::{Context as _, Error, ensure};
use hyper::Uri;
use hyper::http::uri::Scheme;
use std::fmt::{self, Display};
use std::str::FromStr;

/// An app's address, written as a URL such as `http://127.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// What to connect to; the host may be a name that is still to be resolved.
    pub(super) fn address(&self) -> (&str, u16) {
        // Brackets belong to an IPv6 address in a URL only.
        (self.host.trim_matches(['[', ']']), self.port)
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const EXAMPLE: &str = "write a URL such as http://127.0.0.1:8080";
        let url: Uri = text.parse().context(EXAMPLE)?;
        let authority = url.authority().context(EXAMPLE)?;
        ensure!(
            url.scheme() == Some(&Scheme::HTTP),
            "the app must speak plain HTTP: write http://…"
        );
        // A path, a query or a user would have to go into all requests.
        let is_all = url.path() == "/" && url.query().is_none() && !text.contains('@');
        ensure!(
            is_all,
            "write host and port alone, such as http://127.0.0.1:8080"
        );
        let host = authority.host();
        let default = (host == authority.as_str()).then_some(80);
        let port = authority.port_u16().or(default).context(EXAMPLE)?;
        Ok(Target {
            host: host.to_owned(),
            port,
        })
    }
}

impl Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_host_and_port_of_the_url() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", Some(("127.0.0.1", 8080))),
            ("http://localhost:8080/", Some(("localhost", 8080))),
            ("HTTP://app", Some(("app", 80))),
            ("http://[::1]:8080", Some(("::1", 8080))),
            ("127.0.0.1:8080", None),
            ("/path", None),
            ("http://127.0.0.1:99999", None),
            ("https://127.0.0.1", None),
            ("http://127.0.0.1/path", None),
            ("http://user@127.0.0.1", None),
        ] {
            let target = text.parse::<Target>();
            let address = target.as_ref().map(Target::address);
            assert_eq!(address.ok(), expected, "{text}");
        }
    }
}
