//! What is written down of an installed agent, to decide at the next build whether it can stay.

use serde::{Deserialize, Serialize};

use crate::archive::Files;
use crate::checksum::Checksum;
use crate::download::Validators;

/// Goes up whenever the same download would be installed otherwise than before.
pub(crate) const INSTALLER: &str = "1";

/// An installed agent. It becomes part of a public image label, so nothing in it is secret.
///
/// All its values are texts, as nothing else comes back as it was: the lifecycle takes the record out of that label, which is JSON, where `1`
/// turns into `1.0`.
///
/// The channel is not in it: it is part of the source where it matters.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The [`INSTALLER`] that installed it.
    pub(crate) installer: String,
    /// Operating system and architecture that it is for, in the names of the CNB specification.
    pub(crate) os: String,
    pub(crate) arch: String,
    /// Where it came from, as [`crate::release::Source::record`] shows it.
    pub(crate) source: String,
    /// The checksum of the download.
    pub(crate) sha256: Checksum,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_modified: Option<String>,
    /// The installed files by name. Last, because a table ends the simple values of a TOML document.
    pub(crate) files: Files,
}

impl Record {
    /// What the server said of the version that is installed.
    pub(crate) fn validators(&self) -> Validators {
        Validators {
            etag: self.etag.clone(),
            last_modified: self.last_modified.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record() -> Record {
        Record {
            installer: INSTALLER.to_owned(),
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            source: "https://mirror.example/agent.tgz".to_owned(),
            sha256: Checksum::of_bytes(b"archive"),
            etag: Some("\"1\"".to_owned()),
            last_modified: None,
            files: Files::from([("backplane".to_owned(), Checksum::of_bytes(b"agent"))]),
        }
    }

    // A change here makes every cached agent unreadable: raise INSTALLER and say so in the changelog.
    #[test]
    fn serialised_form_is_stable() {
        let text = toml::to_string(&record()).unwrap();
        insta::assert_snapshot!(text, @r#"
        installer = "1"
        os = "linux"
        arch = "amd64"
        source = "https://mirror.example/agent.tgz"
        sha256 = "0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3"
        etag = '"1"'

        [files]
        backplane = "d4f0bc5a29de06b510f9aa428f1eedba926012b591fef7a518e776a7c9bd1824"
        "#);
        assert_eq!(toml::from_str::<Record>(&text).unwrap(), record());
    }

    #[test]
    fn all_values_are_texts() {
        let record = Record {
            last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            ..record()
        };
        let table = toml::Table::try_from(record).unwrap();
        for (name, value) in table {
            let is_text = match &value {
                toml::Value::Table(files) => files.values().all(toml::Value::is_str),
                value => value.is_str(),
            };
            assert!(is_text, "{name} = {value}");
        }
    }
}
