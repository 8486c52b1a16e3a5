//! URLs without their secrets: user info and query never reach a log, an error or a label.

use url::Url;

/// The URL for a log: user info left out, a query only hinted at.
pub(crate) fn url(url: &Url) -> String {
    let mark = if url.query().is_some() { "?…" } else { "" };
    format!("{}{mark}", bare_url(url))
}

/// The URL without user info, query and fragment.
pub(crate) fn bare_url(url: &Url) -> String {
    // Built from its parts: the setters of `Url` refuse to change some URLs, and a refusal would show the secret.
    format!(
        "{}://{}{}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.port()
            .map_or_else(String::new, |port| format!(":{port}")),
        url.path()
    )
}

/// What may be shown of a text that may be an URL, or was meant to be one: nothing up to the last `@` behind the
/// scheme, nothing of the query. Rather too little than too much.
pub(crate) fn text(text: &str) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(position) => text.split_at(position + "://".len()),
        None => ("", text),
    };
    let (before, mark) = match rest.split_once('?') {
        // The question mark may be part of a password as well as the begin of a query.
        Some((_, after)) if after.contains('@') => return format!("{scheme}…"),
        Some((before, _)) => (before, "?…"),
        None => (rest, ""),
    };
    let public = before.rsplit_once('@').map_or(before, |(_, host)| host);
    format!("{scheme}{public}{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_keeps_what_is_public() {
        for (full, shown) in [
            ("https://host/path", "https://host/path"),
            (
                "https://user:secret@host:8443/path",
                "https://host:8443/path",
            ),
            (
                "https://user@[::1]:1/p?q=secret#secret",
                "https://[::1]:1/p?…",
            ),
            ("http://host?secret", "http://host/?…"),
        ] {
            assert_eq!(url(&Url::parse(full).unwrap()), shown);
        }
    }

    #[test]
    fn text_is_redacted_even_where_it_is_no_url() {
        for (full, shown) in [
            ("vendor/agent", "vendor/agent"),
            ("https://user:sec/ret@host/path", "https://host/path"),
            (
                "https://user:s@cret@host/path?key=secret",
                "https://host/path?…",
            ),
            ("user:secret@host/path", "host/path"),
            ("https://host/path?q=s@cret", "https://…"),
            ("https://user:pass?word@host/path", "https://…"),
        ] {
            assert_eq!(text(full), shown);
        }
    }
}
