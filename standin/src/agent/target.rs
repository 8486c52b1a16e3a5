//! Where the app is.

use hyper::Uri;
use hyper::http::uri::Scheme;
use std::fmt::{self, Display};
use std::str::FromStr;

/// An app's address, written as an URL such as `http://127.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// What to connect to; the host may be a name that is still to be resolved.
    pub(super) fn address(&self) -> (&str, u16) {
        // Brackets belong to an IPv6 address in an URL only.
        (self.host.trim_matches(['[', ']']), self.port)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Uri::from_str(text).map_err(|_| TargetError::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return Err(TargetError::NotAUrl);
        };
        if *scheme != Scheme::HTTP {
            return Err(TargetError::NotHttp);
        }
        if url.path() != "/" || url.query().is_some() || authority.as_str().contains('@') {
            return Err(TargetError::TooMuch);
        }
        let host = authority.host();
        let port = if host == authority.as_str() {
            80
        } else {
            authority.port_u16().ok_or(TargetError::NotAUrl)?
        };
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

/// Errors that can occur when an app's URL is read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It has no scheme or no host.
    #[error("write an URL such as http://127.0.0.1:8080")]
    NotAUrl,
    /// The scheme is another one.
    #[error("the app must speak plain HTTP: write http://…")]
    NotHttp,
    /// There is a path, a query or a user, which all requests would have to get.
    #[error("write host and port alone, such as http://127.0.0.1:8080")]
    TooMuch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_host_and_port_of_the_url() {
        for (text, host, port) in [
            ("http://127.0.0.1:8080", "127.0.0.1", 8080),
            ("http://localhost:8080/", "localhost", 8080),
            ("HTTP://app", "app", 80),
            ("http://[::1]:8080", "::1", 8080),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.address(), (host, port), "{text}");
        }
    }

    #[test]
    fn target_that_cannot_be_one_is_refused() {
        for (text, expected) in [
            ("", TargetError::NotAUrl),
            ("127.0.0.1:8080", TargetError::NotAUrl),
            ("/path", TargetError::NotAUrl),
            ("http://127.0.0.1:99999", TargetError::NotAUrl),
            ("https://127.0.0.1", TargetError::NotHttp),
            ("http://127.0.0.1/path", TargetError::TooMuch),
            ("http://127.0.0.1/?query", TargetError::TooMuch),
            ("http://user@127.0.0.1", TargetError::TooMuch),
        ] {
            assert_eq!(text.parse::<Target>(), Err(expected), "{text}");
        }
    }
}
