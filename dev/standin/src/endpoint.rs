//! Endpoints: the hosts that the edge serves.

use anyhow::{Context as _, Result, bail};
use hyper::http::uri::Authority;

/// Reads a host such as `myendpoint.test`, as a `Host` header may hold it (RFC 9110, section 7.2):
/// a port is ignored, and so are upper case and a final dot.
///
/// # Errors
///
/// If the text is no host.
pub fn parse(text: &str) -> Result<String> {
    let not_a_host = || format!("`{text}` is not a host; write one such as myendpoint.test");
    let authority: Authority = text.parse().with_context(not_a_host)?;
    let host = authority.host().trim_end_matches('.');
    if host.is_empty() || text.contains('@') {
        bail!(not_a_host());
    }
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_the_host_alone() {
        for (text, expected) in [
            ("MyEndpoint.Test", Some("myendpoint.test")),
            ("myendpoint.test:8080", Some("myendpoint.test")),
            ("myendpoint.test.", Some("myendpoint.test")),
            ("[::1]:80", Some("[::1]")),
            ("", None),
            (":80", None),
            ("http://myendpoint.test", None),
            ("myendpoint.test/path", None),
            ("user@myendpoint.test", None),
        ] {
            assert_eq!(parse(text).ok().as_deref(), expected, "{text}");
        }
    }
}
