//! The target of a redirect, and the credentials for it.

use percent_encoding::{AsciiSet, percent_encode};
use ureq::Body;
use ureq::http::{Response, header};
use url::Url;

use super::error::HttpError;

/// The `Location` of a response that sends the client to another URL.
pub(super) fn location(response: &Response<Body>) -> Option<&[u8]> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let value = response.headers().get(header::LOCATION)?;
    Some(value.as_bytes())
}

/// The URL that `location` means in a response from `from`, in a download of `source`.
///
/// The user info of `source` is kept for its own scheme, host and port. No error contains a part of
/// `location`, which may be signed.
pub(super) fn target(source: &Url, from: &Url, location: &[u8]) -> Result<Url, HttpError> {
    // Bytes that are not ASCII are percent-encoded in any encoding, as browsers do. The parser does
    // the rest.
    let location = percent_encode(location, &AsciiSet::EMPTY).to_string();
    let mut url = from
        .join(&location)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or(HttpError::UnusableRedirect)?;
    if from.scheme() == "https" && url.scheme() != "https" {
        return Err(HttpError::InsecureRedirect);
    }
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    if !has_credentials && url.origin() == source.origin() {
        // The setters fail only for URLs without a host, and http URLs have one.
        let _ = url.set_username(source.username());
        let _ = url.set_password(source.password());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_is_read_as_browsers_do() {
        let source = Url::parse("https://u:s@host:8443/a/b?key=1").unwrap();
        for (location, expected) in [
            (&b"/x y"[..], "https://u:s@host:8443/x%20y"),
            ("/ü?ß".as_bytes(), "https://u:s@host:8443/%C3%BC?%C3%9F"),
            (b"/\xfc", "https://u:s@host:8443/%FC"),
            (b"/%20%zz", "https://u:s@host:8443/%20%zz"),
            (b"/a\tb", "https://u:s@host:8443/ab"),
            (b" /a ", "https://u:s@host:8443/a"),
            (b"c", "https://u:s@host:8443/a/c"),
            (b"../c/./d", "https://u:s@host:8443/c/d"),
            (b"?key=2", "https://u:s@host:8443/a/b?key=2"),
            (b"", "https://u:s@host:8443/a/b?key=1"),
            (b"#part", "https://u:s@host:8443/a/b?key=1#part"),
            (b"//host:8443/x", "https://u:s@host:8443/x"),
            (b"//HOST:8443/x", "https://u:s@host:8443/x"),
            // To another host, port or scheme.
            (b"//host/x", "https://host/x"),
            (b"//other:8443/x", "https://other:8443/x"),
            ("//bücher.de/".as_bytes(), "https://xn--bcher-kva.de/"),
            (b"https://t:t@other/x", "https://t:t@other/x"),
            (b"\\\\other\\x", "https://other/x"),
        ] {
            let url = target(&source, &source, location).unwrap();
            assert_eq!(url.as_str(), expected);
        }
        // Back from another host.
        let other = Url::parse("https://t:t@other/").unwrap();
        let url = target(&source, &other, b"https://host:8443/").unwrap();
        assert_eq!(url.as_str(), "https://u:s@host:8443/");
    }

    #[test]
    fn redirect_that_cannot_be_followed_is_an_error_that_shows_nothing_of_it() {
        let source = Url::parse("https://host/").unwrap();
        for location in [
            &b"https://"[..],
            b"https://ho st/s3cret",
            b"https://[s3cret",
            b"https://host:99999/s3cret",
            b"ftp://host/s3cret",
            b"file:///s3cret",
            b"javascript:s3cret",
            b"http://host/s3cret",
        ] {
            let error = target(&source, &source, location).unwrap_err();
            let is_insecure = location.starts_with(b"http:");
            assert_eq!(matches!(error, HttpError::InsecureRedirect), is_insecure);
            assert!(!format!("{error:?}").contains("s3cret"));
        }
    }
}
