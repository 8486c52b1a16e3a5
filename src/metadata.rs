//! The metadata of an installed agent, by which the next build decides whether it can stay.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::archive::{Files, RESERVED_NAMES};
use crate::checksum::Checksum;
use crate::fetch::Validators;
use crate::limits::Limits;
use crate::release::Source;

/// The version of the installer. Raise it if the same download would be installed differently than
/// before.
pub(crate) const INSTALLER: &str = "2";

/// An installed agent.
///
/// It becomes part of a public image label, so nothing in it is secret. The lifecycle restores it
/// from that label, which is JSON and turns `1` into `1.0`, so all values are texts. The channel is
/// not in it, because it is part of the source if it matters.
///
/// It is restored from a cache that other programs may have written, and its values go into logs,
/// labels, the SBOM and paths. So deserializing refuses every value that no build writes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentMetadata {
    /// The [`INSTALLER`] that installed it.
    #[serde(deserialize_with = "word")]
    pub(crate) installer: String,
    /// The name of the agent's table in buildpack.toml.
    #[serde(deserialize_with = "word")]
    pub(crate) agent: String,
    /// Operating system and architecture, by their names in the CNB specification.
    #[serde(deserialize_with = "word")]
    pub(crate) os: String,
    #[serde(deserialize_with = "word")]
    pub(crate) arch: String,
    /// [`Source::public_url`].
    #[serde(deserialize_with = "source")]
    pub(crate) source: String,
    /// The checksum of the download.
    pub(crate) sha256: Checksum,
    #[serde(default, deserialize_with = "validator")]
    pub(crate) etag: Option<String>,
    #[serde(default, deserialize_with = "validator")]
    pub(crate) last_modified: Option<String>,
    /// The installed files by name. Last, because a table ends the simple values of TOML.
    #[serde(deserialize_with = "files")]
    pub(crate) files: Files,
}

impl AgentMetadata {
    /// The server's validators of the installed version.
    pub(crate) fn validators(&self) -> Validators {
        Validators {
            etag: self.etag.clone(),
            last_modified: self.last_modified.clone(),
        }
    }
}

/// Deserializes a text that `is_valid`. The error does not show an invalid text.
fn checked<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_valid: impl Fn(&str) -> bool,
    problem: &str,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    is_valid(&text)
        .then_some(text)
        .ok_or_else(|| D::Error::custom(problem))
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const MAX_BYTES: usize = 32;
    let is_word_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_word = |text: &str| text.len() <= MAX_BYTES && text.bytes().all(is_word_byte);
    checked(
        deserializer,
        is_word,
        "invalid installer, agent or platform",
    )
}

fn source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, Source::is_public_url, "invalid source")
}

fn validator<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let problem = "invalid etag or last_modified";
    checked(deserializer, Validators::is_usable, problem).map(Some)
}

fn files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Files, D::Error> {
    let files = Files::deserialize(deserializer)?;
    let problem = if files.is_empty() {
        "no files"
    } else if files.len() > Limits::default().max_entries {
        "too many files"
    } else if !files.keys().all(|name| is_file_name(name)) {
        "invalid file name"
    } else {
        return Ok(files);
    };
    Err(D::Error::custom(problem))
}

/// Whether an agent's file may have this name: one component of a path.
fn is_file_name(name: &str) -> bool {
    /// `NAME_MAX` (limits.h).
    const MAX_BYTES: usize = 255;
    name.len() <= MAX_BYTES
        && !["", ".", ".."].contains(&name)
        && !name.contains('/')
        && !name.chars().any(char::is_control)
        && !RESERVED_NAMES.contains(&name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn agent_metadata() -> AgentMetadata {
        AgentMetadata {
            installer: INSTALLER.to_owned(),
            agent: "backplane".to_owned(),
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            source: "https://mirror.example/agent.tgz".to_owned(),
            sha256: Checksum::of_bytes(b"archive"),
            etag: Some("\"1\"".to_owned()),
            last_modified: None,
            files: Files::from([("backplane".to_owned(), Checksum::of_bytes(b"agent"))]),
        }
    }

    // All values are texts. A change here makes every cached agent unreadable: raise INSTALLER and
    // add it to the changelog.
    #[test]
    fn serialized_form_is_stable() {
        let text = toml::to_string(&agent_metadata()).unwrap();
        insta::assert_snapshot!(text, @r#"
        installer = "2"
        agent = "backplane"
        os = "linux"
        arch = "amd64"
        source = "https://mirror.example/agent.tgz"
        sha256 = "0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3"
        etag = '"1"'

        [files]
        backplane = "d4f0bc5a29de06b510f9aa428f1eedba926012b591fef7a518e776a7c9bd1824"
        "#);
        assert_eq!(toml::from_str(&text), Ok(agent_metadata()));
    }

    #[test]
    fn value_that_no_build_writes_is_refused() {
        let sum = Checksum::of_bytes(b"agent").to_string();
        let long = |length| "x".repeat(length);
        let with = |edit: &dyn Fn(&mut toml::Table)| {
            let mut table = toml::Table::try_from(agent_metadata()).unwrap();
            edit(&mut table);
            // The error is logged, and must not show a secret of the value.
            AgentMetadata::deserialize(table)
                .inspect_err(|error| assert!(!error.message().contains("example")))
                .is_ok()
        };
        let is_accepted = |key: &str, value: &str| {
            with(&|table| drop(table.insert(key.to_owned(), value.into())))
        };
        let is_accepted_file = |name: &str| {
            with(&|table| {
                let files = table["files"].as_table_mut().unwrap();
                files.insert(name.to_owned(), sum.as_str().into());
            })
        };
        for (key, value) in [
            ("installer", "1\nError: x"),
            ("agent", "a b"),
            ("os", "lin/ux"),
            ("arch", &long(33)),
            ("source", ""),
            ("source", "https://user@mirror.example/agent.tgz"),
            ("source", "https://user:word@mirror.example/agent.tgz"),
            ("source", "https://mirror.example/agent.tgz?token=secret"),
            ("source", "https://mirror.example/agent.tgz#part"),
            ("source", "HTTPS://mirror.example/agent.tgz"),
            ("source", "ftp://mirror.example/agent.tgz"),
            ("source", "file://host/agent"),
            ("source", "https://"),
            ("source", "/etc/passwd"),
            ("source", "vendor/../../agent"),
            ("source", "./vendor/agent"),
            ("source", "vendor/\u{1b}[31m"),
            ("source", &format!("vendor/{}", long(5000))),
            ("sha256", "abc"),
            ("etag", "\"\u{1b}\""),
            ("etag", "\"\u{e9}\""),
            ("etag", &long(1025)),
            ("last_modified", "yesterday\n"),
            ("files", "backplane"),
        ] {
            assert!(!is_accepted(key, value), "{key} = {value:?}");
        }
        for name in [
            "",
            ".",
            "..",
            "../backplane",
            "/etc/passwd",
            "a/b",
            "a\0b",
            "\u{9b}31m",
            "backplane-drain",
            "backplane-run",
            "backplane-status",
            &long(256),
        ] {
            assert!(!is_accepted_file(name), "{name:?}");
        }
        assert!(!with(&|table| drop(table.remove("sha256"))));
        assert!(!with(&|table| {
            table.insert("files".to_owned(), toml::Table::new().into());
        }));

        for (key, value) in [
            ("source", "https://mirror.example:8443/a%20b"),
            ("source", "http://[::1]/agent"),
            ("source", "file:///opt/backplane%20agent"),
            ("source", "vendor/back plane:1"),
            ("source", &format!("https://mirror.example/a?sha256={sum}")),
            ("etag", &long(1024)),
            ("last_modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            assert!(is_accepted(key, value), "{key} = {value:?}");
        }
        for name in ["frpc.toml", "a b", "...", "ä", &long(255)] {
            assert!(is_accepted_file(name), "{name:?}");
        }
    }
}
