//! Values of a user as they may be shown: no user info, no query and no fragment reaches a log, an error or a label.

use std::fmt;

use url::Url;

use crate::checksum::Checksum;

/// A text without its secrets, made by redaction alone. Errors hold values of users in this type only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Redacted(String);

impl Redacted {
    /// What may be shown of `url`.
    pub(crate) fn url(url: &Url) -> Self {
        Self::text(&without_user_info(url))
    }

    /// What may be shown of a text that may be a URL, or was meant to be one: nothing before the last `@` behind the scheme,
    /// nothing of a query or a fragment. Rather too little than too much.
    pub(crate) fn text(text: &str) -> Self {
        let (scheme, rest) = match text.find("://") {
            Some(position) if is_scheme(&text[..position]) => text.split_at(position + "://".len()),
            _ => ("", text),
        };
        let (hidden, rest) = rest
            .rsplit_once('@')
            .map_or(("", rest), |(hidden, rest)| (hidden, rest));
        // The last `@` may be part of a query: what follows it is no more public than the rest.
        if hidden.contains(['?', '#']) {
            return Self(format!("{scheme}…"));
        }
        // Only user info is left out without a mark. A slash says that it is a part of the path, or of a password.
        let mark = if hidden.contains('/') { "…@" } else { "" };
        let public = match rest.find(['?', '#']) {
            Some(position) => format!("{}…", &rest[..=position]),
            None => rest.to_owned(),
        };
        Self(format!("{scheme}{mark}{public}"))
    }

    /// What a public record may hold of a source that [`without_user_info`] returns: what [`Redacted::text`] shows, with a SHA-256
    /// of what that leaves out, so that two sources that differ in a token are told apart.
    pub(crate) fn record(source: &str) -> String {
        let Self(shown) = Self::text(source);
        let secret = match source.split_once('?') {
            Some((path, query)) if shown == format!("{path}?…") => query,
            _ => source,
        };
        if shown == source {
            shown
        } else {
            let checksum = Checksum::of_bytes(secret.as_bytes());
            format!("{}?sha256={checksum}", shown.trim_end_matches("?…"))
        }
    }

    /// Whether `text` has nothing that redaction would leave out.
    pub(crate) fn is_redacted(text: &str) -> bool {
        let text = text.replacen("…@", "", 1);
        Self::text(&text).0 == text
    }

    /// Whether it may be the address of a server that lacks its `https://`.
    pub(crate) fn may_lack_scheme(&self) -> bool {
        !self.0.contains("://")
            && self
                .0
                .split_once('/')
                .is_some_and(|(host, _)| !host.starts_with('.') && host.contains(['.', ':', '@']))
    }

    /// Whether something other than well-formed user info and a query is hidden: perhaps a password that is not encoded.
    pub(crate) fn may_hide_a_password(&self) -> bool {
        self.0.contains("…@") || self.0.ends_with("://…")
    }

    /// Whether `part` can be seen in it, and so may be shown on its own.
    pub(crate) fn shows(&self, part: &str) -> bool {
        self.0.contains(part)
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether `text` has the form of a URL's scheme ([RFC 3986, section 3.1](https://www.rfc-editor.org/rfc/rfc3986.html#section-3.1)).
pub(crate) fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
}

/// The URL as it names a file: without user info, and without a fragment, unless that is half of a password (`pass#word@host`).
pub(crate) fn without_user_info(url: &Url) -> String {
    // Built from its parts: the setters of `Url` refuse to change some URLs, and a refusal would show the secret.
    format!(
        "{}://{}{}{}{}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.port()
            .map_or_else(String::new, |port| format!(":{port}")),
        url.path(),
        url.query()
            .map_or_else(String::new, |query| format!("?{query}")),
        url.fragment()
            .filter(|fragment| fragment.contains('@'))
            .map_or_else(String::new, |fragment| format!("#{fragment}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Source;
    use proptest::prelude::*;

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
            ("https://host/a#secret", "https://host/a"),
            // What is meant as a password may be taken for a host, a port and a path, or for a query.
            ("https://user:12/s3cr@host/a", "https://…@host/a"),
            ("https://user:12?s3cr@host/a", "https://…"),
            ("https://user:12#s3cr@host/a", "https://…"),
            ("https://host/path?q=s@cret", "https://…"),
            ("https:user:secret@host/a", "https://host/a"),
            (r"https:\\user:secret@host\a", "https://host/a"),
            (
                "https://registry/@scope/agent.tgz",
                "https://…@scope/agent.tgz",
            ),
        ] {
            assert_eq!(Redacted::url(&Url::parse(full).unwrap()).to_string(), shown);
        }
    }

    #[test]
    fn text_is_redacted_even_if_it_is_no_url() {
        for (full, shown) in [
            ("vendor/agent", "vendor/agent"),
            ("https://user:sec/ret@host/path", "https://…@host/path"),
            (
                "https://user:s@cret@host/path?key=secret",
                "https://host/path?…",
            ),
            ("user:secret@host/path", "host/path"),
            ("https:/user:secret@host/path", "…@host/path"),
            ("https://host/path?q=s@cret", "https://…"),
            ("https://user:pass?word@host/path", "https://…"),
            ("https://user:pass#word@host/path", "https://…"),
            ("https://host/path#secret", "https://host/path#…"),
            ("host/agent.tgz?token=secret", "host/agent.tgz?…"),
            ("host/agent.tgz?token=secret#secret?", "host/agent.tgz?…"),
            ("\"https://user:secret@host/a?b\"", "…@host/a?…"),
        ] {
            assert_eq!(Redacted::text(full).to_string(), shown);
        }
    }

    #[test]
    fn address_without_its_scheme_is_recognized() {
        for (text, expected) in [
            ("mirror.example.com/agent.tgz", true),
            ("mirror:8080/agent.tgz", true),
            ("https://mirror.example.com/agent.tgz", false),
            ("vendor/agent.tgz", false),
            ("./vendor/agent", false),
            ("agent.tgz", false),
        ] {
            assert_eq!(Redacted::text(text).may_lack_scheme(), expected, "{text}");
        }
    }

    #[test]
    fn record_tells_sources_apart_that_look_the_same() {
        let sum = |secret: &str| Checksum::of_bytes(secret.as_bytes());
        for (source, expected) in [
            ("https://host/a", "https://host/a".to_owned()),
            ("vendor/agent", "vendor/agent".to_owned()),
            (
                "https://host/a?token=1",
                format!("https://host/a?sha256={}", sum("token=1")),
            ),
            (
                "https://host/a?token=@1",
                format!("https://…?sha256={}", sum("https://host/a?token=@1")),
            ),
            (
                "host/a@1/agent",
                format!("…@1/agent?sha256={}", sum("host/a@1/agent")),
            ),
        ] {
            assert_eq!(Redacted::record(source), expected);
            assert!(Source::is_record(&expected), "{expected}");
        }
    }

    proptest! {
        #[test]
        fn nothing_before_an_at_sign_and_of_a_query_or_fragment_is_shown(
            scheme in "(https?://|ftp://|file://|https:|)",
            user in "[A-Z/?#:{}%]{0,9}",
            host in "[a-z]{1,9}",
            path in "[a-z/]{0,9}",
            end in "([?#][A-Z?#]{0,9})?",
        ) {
            // Before `://` is a scheme, which is shown.
            prop_assume!(!scheme.is_empty() || !user.contains("://"));
            // All that is secret has capital letters, and nothing else.
            let text = format!("{scheme}{user}@{host}/{path}{end}");
            let mut shown = vec![Redacted::text(&text).to_string()];
            if let Ok(url) = Url::parse(&text) {
                shown.push(Redacted::url(&url).to_string());
            }
            for shown in shown {
                prop_assert!(!shown.contains(|char: char| char.is_ascii_uppercase()), "{shown}");
            }
        }
    }
}
