//! Redaction of users' values, so that no user info, query or fragment reaches a log, an error or a
//! label.

use std::fmt;

use url::Url;

use crate::checksum::Checksum;

/// What replaces a secret.
pub(crate) const MARK: &str = "***";

/// A text without its secrets. Only redaction creates it, and errors contain values of users only
/// as this type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Redacted {
    text: String,
    may_hide_a_password: bool,
}

impl Redacted {
    /// Redacts a text that may be a URL, or was meant to be one: everything between the scheme and
    /// the last `@`, the query, and the fragment. It may hide too much, but not too little.
    pub(crate) fn text(text: &str) -> Self {
        let (scheme, rest) = match text.find("://") {
            Some(position) if is_scheme(&text[..position]) => text.split_at(position + "://".len()),
            _ => ("", text),
        };
        let (hidden, rest) = match rest.rsplit_once('@') {
            Some((hidden, rest)) => (Some(hidden), rest),
            None => (None, rest),
        };
        let hides = |characters: &[char]| hidden.is_some_and(|hidden| hidden.contains(characters));
        let user_info = hidden.map_or_else(String::new, |_| format!("{MARK}@"));
        let public = if hides(&['?', '#']) {
            // The last `@` may be part of a query. What follows it is as secret as the rest.
            MARK.to_owned()
        } else if let Some(position) = rest.find(['?', '#']) {
            format!("{user_info}{}{MARK}", &rest[..=position])
        } else {
            format!("{user_info}{rest}")
        };
        Self {
            text: format!("{scheme}{public}"),
            may_hide_a_password: hides(&['/', '?', '#']),
        }
    }

    /// The source that [`without_user_info`] returned, as a public label may show it: redacted,
    /// with a SHA-256 of the hidden part, so that two sources that differ in a token have different
    /// labels.
    pub(crate) fn public(source: &str) -> String {
        let Self { text, .. } = Self::text(source);
        if text == source {
            return text;
        }
        let secret = match source.split_once('?') {
            Some((path, query)) if text == format!("{path}?{MARK}") => query,
            _ => source,
        };
        let shown = text.strip_suffix(&format!("?{MARK}")).unwrap_or(&text);
        format!("{shown}?sha256={}", Checksum::of_bytes(secret.as_bytes()))
    }

    /// Whether `text` contains nothing that redaction would remove.
    pub(crate) fn is_redacted(text: &str) -> bool {
        let text = text.replacen(&format!("{MARK}@"), "", 1);
        Self::text(&text).text == text
    }

    /// Whether it may be the address of a server without `https://`.
    pub(crate) fn may_lack_scheme(&self) -> bool {
        !self.text.contains("://")
            && self
                .text
                .split_once('/')
                .is_some_and(|(host, _)| !host.starts_with('.') && host.contains(['.', ':', '@']))
    }

    /// Whether more than well-formed user info and a query is hidden: perhaps a password that is
    /// not percent-encoded.
    pub(crate) fn may_hide_a_password(&self) -> bool {
        self.may_hide_a_password
    }

    /// Whether `part` is visible in it, and so may be shown on its own.
    pub(crate) fn shows(&self, part: &str) -> bool {
        self.text.contains(part)
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Whether `text` has the form of a URL's scheme ([RFC 3986, section
/// 3.1](https://www.rfc-editor.org/rfc/rfc3986.html#section-3.1)).
pub(crate) fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
}

/// The http or https URL without user info, and without its fragment unless that is half of a
/// password (`pass#word@host`).
pub(crate) fn without_user_info(url: &Url) -> Url {
    let mut bare = url.clone();
    // The setters fail only for URLs without a host, and these have one.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    if !bare
        .fragment()
        .is_some_and(|fragment| fragment.contains('@'))
    {
        bare.set_fragment(None);
    }
    bare
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::release::Source;

    #[test]
    fn nothing_secret_is_shown() {
        for (full, shown) in [
            ("https://host/path", "https://host/path"),
            ("https://us:pw@host:8443/path", "https://***@host:8443/path"),
            ("https://us@[::1]:1/p?s=3#x", "https://***@[::1]:1/p?***"),
            ("http://host/?secret", "http://host/?***"),
            ("https://host/a#secret", "https://host/a#***"),
            // What is meant as a password may be taken for a host, a port and a path, or for a
            // query.
            ("https://user:12/s3cr@host/a", "https://***@host/a"),
            ("https://user:12/?s3cr@host/a", "https://***"),
            ("https://user:12/#s3cr@host/a", "https://***"),
            ("https://host/path?q=s@cret", "https://***"),
            ("https://host/@scope/agent", "https://***@scope/agent"),
            // Texts that are not URLs, or not yet.
            ("vendor/agent", "vendor/agent"),
            ("https://user:sec/ret@host/path", "https://***@host/path"),
            ("https://us:p@w@host/path?k", "https://***@host/path?***"),
            ("user:secret@host/path", "***@host/path"),
            ("https:/user:secret@host/path", "***@host/path"),
            ("https://user:pass?word@host/path", "https://***"),
            ("host/agent.tgz?token=secret", "host/agent.tgz?***"),
            ("host/agent.tgz?token=secret#secret?", "host/agent.tgz?***"),
            ("\"https://user:secret@host/a?b\"", "***@host/a?***"),
        ] {
            assert_eq!(Redacted::text(full).to_string(), shown);
        }
        for url in ["https:user:secret@host/a", r"https:\\user:secret@host\a"] {
            let url = Url::parse(url).unwrap();
            let redacted = Redacted::text(url.as_str()).to_string();
            assert_eq!(redacted, "https://***@host/a");
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
    fn public_url_differs_if_only_a_secret_does() {
        let sum = |shown, secret: &str| {
            format!("{shown}?sha256={}", Checksum::of_bytes(secret.as_bytes()))
        };
        for (source, expected) in [
            ("https://host/a", "https://host/a".to_owned()),
            ("vendor/agent", "vendor/agent".to_owned()),
            ("https://host/a?key=1", sum("https://host/a", "key=1")),
            ("https://h/a?k=@1", sum("https://***", "https://h/a?k=@1")),
            ("host/a@1/agent", sum("***@1/agent", "host/a@1/agent")),
        ] {
            assert_eq!(Redacted::public(source), expected);
            assert!(Source::is_public_url(&expected), "{expected}");
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
                shown.push(Redacted::text(url.as_str()).to_string());
            }
            for shown in shown {
                prop_assert!(!shown.contains(|char: char| char.is_ascii_uppercase()), "{shown}");
            }
        }
    }
}
