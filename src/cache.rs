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
    /// A recorded agent, those of its files that are really there, and what is there besides.
    Agent {
        record: Record,
        files: Files,
        foreign: Box<Names>,
    },
}

/// The first names of many, and how many more there are: enough for a line of a log, and no more memory than that.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Names {
    first: BTreeSet<String>,
    more: usize,
}

impl Names {
    /// How many are kept.
    const SHOWN: usize = 5;

    pub(crate) fn add(&mut self, name: &str) {
        self.first.insert(name.to_owned());
        if self.first.len() > Self::SHOWN {
            self.first.pop_last();
            self.more += 1;
        }
    }

    /// A sentence for each name, and one for the others: the cached file of that name is `problem`.
    fn problems(&self, problem: &str) -> Vec<String> {
        let mut problems: Vec<String> = self
            .first
            .iter()
            .map(|name| format!("the cached file {name} is {problem}"))
            .collect();
        match self.more {
            0 => {}
            1 => problems.push(format!("and 1 more is {problem}")),
            more => problems.push(format!("and {more} more are {problem}")),
        }
        problems
    }
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
    let (record, files, foreign) = match cached {
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
        Cached::Agent {
            record,
            files,
            foreign,
        } => (record, files, foreign),
    };
    let reasons = reasons_against(&record, &files, &foreign, release);
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
fn reasons_against(
    record: &Record,
    files: &Files,
    foreign: &Names,
    release: &Release,
) -> Vec<String> {
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
    let (mut altered, mut missing) = (Names::default(), Names::default());
    for (name, checksum) in recorded {
        match files.get(name) {
            None => missing.add(name),
            Some(real) if real != checksum => altered.add(name),
            Some(_) => {}
        }
    }
    reasons.extend(altered.problems("altered"));
    reasons.extend(missing.problems("missing"));
    reasons.extend(foreign.problems("not ours"));
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
            foreign: Box::default(),
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
                Cached::Agent {
                    record: record(),
                    files: Files::new(),
                    foreign: Box::default(),
                },
                "the cached file backplane is missing",
            ),
            (
                Cached::Agent {
                    record: record(),
                    files: Files::from([("backplane".to_owned(), Checksum::of_bytes(b"other"))]),
                    foreign: Box::default(),
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
        let mut foreign = Names::default();
        foreign.add("stranger");
        let cached = Cached::Agent {
            record,
            files: Files::new(),
            foreign: Box::new(foreign),
        };
        assert_eq!(
            install_reasons(cached, &same_release(None)),
            [
                "the installer has changed from 7 to 1",
                "the architecture has changed from arm64 to amd64",
                "the cached file backplane is missing",
                "the cached file stranger is not ours",
            ]
        );
    }

    #[test]
    fn row_1_of_many_files_five_of_each_kind_are_named() {
        let sum = Checksum::of_bytes(b"x");
        let (mut record, mut files, mut foreign) = (record(), Files::new(), Names::default());
        for number in 0..2000 {
            record.files.insert(format!("a{number:04}"), sum.clone());
            files.insert(format!("a{number:04}"), Checksum::of_bytes(b"other"));
            record.files.insert(format!("m{number:04}"), sum.clone());
            foreign.add(&format!("f{:04}", 1999 - number));
        }
        foreign.add("f");
        record.files.remove("backplane");
        let cached = Cached::Agent {
            record,
            files,
            foreign: Box::new(foreign),
        };
        let reasons = install_reasons(cached, &same_release(None));
        assert_eq!(reasons.len(), 18);
        assert_eq!(reasons[0], "the cached file a0000 is altered");
        assert_eq!(reasons[5], "and 1995 more are altered");
        assert_eq!(reasons[11], "and 1995 more are missing");
        assert_eq!(reasons[12], "the cached file f is not ours");
        assert_eq!(reasons[16], "the cached file f0003 is not ours");
        assert_eq!(reasons[17], "and 1996 more are not ours");
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
