//! Endpoints: the hosts that the edge serves.

use hyper::http::uri::Authority;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::str::FromStr;

/// A host that requests can be for, such as `myendpoint.test`: without a port, in lower case, without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(String);

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Takes what a `Host` header may hold (RFC 9110, section 7.2), so a port is allowed, and ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let not_a_host = || EndpointError::NotAHost(text.to_owned());
        let authority = Authority::from_str(text).map_err(|_| not_a_host())?;
        let host = authority.host();
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(not_a_host());
        }
        Ok(Endpoint(host.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.0
    }
}

impl Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Errors that can occur when an endpoint is read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// This is not a host name or address.
    #[error("`{0}` is not a host; write one such as myendpoint.test")]
    NotAHost(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_the_host_alone() {
        for (text, expected) in [
            ("myendpoint.test", "myendpoint.test"),
            ("MyEndpoint.Test", "myendpoint.test"),
            ("myendpoint.test:8080", "myendpoint.test"),
            ("myendpoint.test.", "myendpoint.test"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn endpoint_that_is_no_host_is_refused() {
        for text in [
            "",
            ":80",
            ".",
            "http://myendpoint.test",
            "myendpoint.test/path",
            "user@myendpoint.test",
            "two words",
            "line\nbreak",
        ] {
            assert_eq!(
                text.parse::<Endpoint>(),
                Err(EndpointError::NotAHost(text.to_owned()))
            );
        }
    }
}
