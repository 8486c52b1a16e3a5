//! Whether a cached agent can stay: the table of decisions, free of I/O.

use std::collections::BTreeSet;

use crate::archive::Files;
use crate::record::{INSTALLER, Record};
use crate::release::Release;

/// What an earlier build left behind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Cached {
    /// Nothing: a first build, or the previous image or the cache is gone.
    Nothing,
    /// Something, but its record cannot be read.
    Unreadable { reason: String },
    /// A recorded agent, and the files that are really there.
    Agent { record: Record, files: Files },
}

/// What to do with it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// It cannot be used; download, for all these reasons.
    Install { reasons: Vec<String> },
    /// It has the pinned checksum; keep it without any request.
    Keep(Record),
    /// It is not what is asked for; download, and never fall back to it.
    Replace { reason: String },
    /// It may be outdated; ask its source, and keep it whatever goes wrong.
    Refresh(Record),
}

/// Decides what to do with what is `cached` when `release` is asked for; the first row that fits wins.
pub(crate) fn decide(cached: Cached, release: &Release) -> Decision {
    let (record, files) = match cached {
        Cached::Nothing => {
            return Decision::Install {
                reasons: vec!["no agent is cached".to_owned()],
            };
        }
        Cached::Unreadable { reason } => {
            return Decision::Install {
                reasons: vec![format!(
                    "the cached agent's record is unreadable ({reason})"
                )],
            };
        }
        Cached::Agent { record, files } => (record, files),
    };
    let reasons = reasons_against(&record, &files, release);
    if !reasons.is_empty() {
        return Decision::Install { reasons };
    }
    match &release.pin {
        Some(pin) if *pin == record.sha256 => Decision::Keep(record),
        Some(pin) => Decision::Replace {
            reason: format!(
                "the pinned checksum has changed from {} to {}",
                record.sha256.short(),
                pin.short()
            ),
        },
        None if release.source.record() != record.source => Decision::Replace {
            reason: format!("the source has changed from {}", record.source),
        },
        None => Decision::Refresh(record),
    }
}

/// Everything that makes a cached agent unusable, whoever asks for it. All of it, so that nobody looks for the cause of
/// a download in the wrong change.
fn reasons_against(record: &Record, files: &Files, release: &Release) -> Vec<String> {
    // Without `..`: a new field has to be considered here.
    let Record {
        installer,
        os,
        arch,
        source: _,
        sha256: _,
        etag: _,
        last_modified: _,
        files: recorded,
    } = record;
    let mut reasons = Vec::new();
    let mut changed = |what: &str, from: &str, to: &str| {
        if from != to {
            reasons.push(format!("the {what} has changed from {from} to {to}"));
        }
    };
    changed("installer", installer, INSTALLER);
    changed("operating system", os, &release.target.os);
    changed("architecture", arch, &release.target.arch);
    let names: BTreeSet<_> = recorded.keys().chain(files.keys()).collect();
    for name in names {
        let problem = match (recorded.get(name), files.get(name)) {
            (Some(_), None) => "missing",
            (None, _) => "not ours",
            (Some(recorded), Some(real)) if recorded != real => "altered",
            (Some(_), Some(_)) => continue,
        };
        reasons.push(format!("the cached file {name} is {problem}"));
    }
    if recorded.is_empty() {
        reasons.push("the cached agent has no files".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Checksum;
    use crate::record::tests::record;
    use crate::release::Source;
    use crate::release::tests::target;

    fn release(arch: &str, source: &str, pin: Option<&Checksum>) -> Release {
        Release {
            source: Source::Web(source.parse().unwrap()),
            target: target(arch),
            pin: pin.cloned(),
        }
    }

    fn same_release(pin: Option<&Checksum>) -> Release {
        release("amd64", "https://mirror.example/agent.tgz", pin)
    }

    fn agent(record: Record) -> Cached {
        Cached::Agent {
            files: record.files.clone(),
            record,
        }
    }

    fn install_reasons(cached: Cached, release: &Release) -> Vec<String> {
        match decide(cached, release) {
            Decision::Install { reasons } => reasons,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn row_1_nothing_cached() {
        assert_eq!(
            install_reasons(Cached::Nothing, &same_release(None)),
            ["no agent is cached"]
        );
    }

    #[test]
    fn row_1_metadata_unreadable() {
        let cached = Cached::Unreadable {
            reason: "missing field".to_owned(),
        };
        assert_eq!(
            install_reasons(cached, &same_release(None)),
            ["the cached agent's record is unreadable (missing field)"]
        );
    }

    #[test]
    fn row_1_each_difference_is_a_reason() {
        let change = |change: fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            agent(record)
        };
        for (cached, expected) in [
            (
                change(|record| record.installer = "0".to_owned()),
                "the installer has changed from 0 to 1",
            ),
            (
                change(|record| record.os = "windows".to_owned()),
                "the operating system has changed from windows to linux",
            ),
            (
                change(|record| record.arch = "arm64".to_owned()),
                "the architecture has changed from arm64 to amd64",
            ),
            (
                change(|record| record.files.clear()),
                "the cached agent has no files",
            ),
            (
                Cached::Agent {
                    record: record(),
                    files: Files::new(),
                },
                "the cached file backplane is missing",
            ),
            (
                Cached::Agent {
                    record: record(),
                    files: Files::from([("backplane".to_owned(), Checksum::of_bytes(b"other"))]),
                },
                "the cached file backplane is altered",
            ),
        ] {
            // Not even the right checksum of the download makes up for it.
            for pin in [None, Some(&record().sha256)] {
                let reasons = install_reasons(cached.clone(), &same_release(pin));
                assert_eq!(reasons, [expected]);
            }
        }
    }

    #[test]
    fn row_1_all_reasons_are_told() {
        let mut record = record();
        record.installer = "7".to_owned();
        record.arch = "arm64".to_owned();
        let files = Files::from([("stranger".to_owned(), Checksum::of_bytes(b"x"))]);
        assert_eq!(
            install_reasons(Cached::Agent { record, files }, &same_release(None)),
            [
                "the installer has changed from 7 to 1",
                "the architecture has changed from arm64 to amd64",
                "the cached file backplane is missing",
                "the cached file stranger is not ours",
            ]
        );
    }

    #[test]
    fn row_2_pinned_and_cached_keeps_whatever_the_source() {
        let pin = record().sha256;
        for source in [
            "https://mirror.example/agent.tgz",
            "https://other.example/x",
        ] {
            assert_eq!(
                decide(agent(record()), &release("amd64", source, Some(&pin))),
                Decision::Keep(record())
            );
        }
    }

    #[test]
    fn row_3_pinned_to_another_replaces() {
        let pin = Checksum::of_bytes(b"another archive");
        assert!(matches!(
            decide(agent(record()), &same_release(Some(&pin))),
            Decision::Replace { reason } if reason.contains("pinned checksum")
        ));
    }

    #[test]
    fn row_4_other_source_replaces() {
        for source in [
            "https://other.example/agent.tgz",
            "https://mirror.example/agent.tgz?token=1",
        ] {
            assert!(matches!(
                decide(agent(record()), &release("amd64", source, None)),
                Decision::Replace { reason } if reason.contains("the source has changed")
            ));
        }
    }

    #[test]
    fn row_5_same_source_refreshes() {
        assert_eq!(
            decide(agent(record()), &same_release(None)),
            Decision::Refresh(record())
        );
        // Credentials do not make it another source.
        let with_credentials = release("amd64", "https://u:p@mirror.example/agent.tgz", None);
        assert_eq!(
            decide(agent(record()), &with_credentials),
            Decision::Refresh(record())
        );
    }
}
