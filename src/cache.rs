//! The decision table for a cached agent, without I/O.

use std::collections::BTreeSet;

use crate::archive::Files;
use crate::metadata::{AgentMetadata, INSTALLER};
use crate::release::Release;

/// What an earlier build left behind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Cached {
    /// Nothing: this is a first build, or the previous image or the cache is gone.
    Nothing,
    /// An agent whose metadata cannot be read.
    Unreadable { reason: String },
    /// An agent, with those of its files that exist and the names of other files beside them.
    Agent {
        metadata: AgentMetadata,
        files: Files,
        unknown: Box<Names>,
    },
}

/// What to do with a cached agent.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// It cannot be used, for all these reasons: download.
    Install { reasons: Vec<Reason> },
    /// It has the pinned checksum: keep it without a request.
    Keep(AgentMetadata),
    /// It is not what the user asks for: download, and never fall back to it.
    Replace { reason: Reason },
    /// It may be outdated: ask its source, and keep it if that fails.
    Refresh(AgentMetadata),
}

/// Why a cached agent cannot stay.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    NothingCached,
    UnreadableMetadata {
        reason: String,
    },
    Changed {
        property: Property,
        from: String,
        to: String,
    },
    Files {
        problem: FileProblem,
        names: Names,
    },
}

/// What has changed since an agent was installed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Property {
    Installer,
    Os,
    Arch,
    Pin,
    Source,
}

/// What is wrong with cached files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FileProblem {
    Altered,
    Missing,
    /// No build installed them.
    Unknown,
}

/// The first of many names, and the number of the others: enough for a line of a log, in little
/// memory.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Names {
    pub(crate) first: BTreeSet<String>,
    pub(crate) more: usize,
}

impl Names {
    /// How many names are kept.
    const MAX: usize = 5;

    pub(crate) fn add(&mut self, name: &str) {
        self.first.insert(name.to_owned());
        if self.first.len() > Self::MAX {
            self.first.pop_last();
            self.more += 1;
        }
    }
}

impl<'a> FromIterator<&'a str> for Names {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut kept = Self::default();
        names.into_iter().for_each(|name| kept.add(name));
        kept
    }
}

/// Decides what to do with what is `cached` if `release` is wanted. The first row that fits wins.
pub(crate) fn decide(cached: Cached, release: &Release) -> Decision {
    let install = |reason| Decision::Install {
        reasons: vec![reason],
    };
    let (metadata, files, unknown) = match cached {
        Cached::Nothing => return install(Reason::NothingCached),
        Cached::Unreadable { reason } => return install(Reason::UnreadableMetadata { reason }),
        Cached::Agent {
            metadata,
            files,
            unknown,
        } => (metadata, files, unknown),
    };
    let reasons = reasons_against(&metadata, &files, *unknown, release);
    if !reasons.is_empty() {
        return Decision::Install { reasons };
    }
    let changed = |property, from: &str, to: &str| Decision::Replace {
        reason: Reason::Changed {
            property,
            from: from.to_owned(),
            to: to.to_owned(),
        },
    };
    let source = release.source.public_url();
    match &release.pin {
        Some(pin) if *pin == metadata.sha256 => Decision::Keep(metadata),
        Some(pin) => changed(Property::Pin, metadata.sha256.short(), pin.short()),
        None if source != metadata.source => changed(Property::Source, &metadata.source, &source),
        None => Decision::Refresh(metadata),
    }
}

/// Everything that makes a cached agent unusable. All of it, so that users do not look for the
/// cause of a download in the wrong change.
fn reasons_against(
    metadata: &AgentMetadata,
    files: &Files,
    unknown: Names,
    release: &Release,
) -> Vec<Reason> {
    // Without `..`: a new field has to be considered here.
    let AgentMetadata {
        installer,
        os,
        arch,
        source: _,
        sha256: _,
        etag: _,
        last_modified: _,
        files: installed,
    } = metadata;
    let changes = [
        (Property::Installer, installer.as_str(), INSTALLER),
        (Property::Os, os, &release.target.os),
        (Property::Arch, arch, &release.target.arch),
    ];
    let (mut altered, mut missing) = (Names::default(), Names::default());
    for (name, checksum) in installed {
        match files.get(name) {
            None => missing.add(name),
            Some(actual) if actual != checksum => altered.add(name),
            Some(_) => {}
        }
    }
    let problems = [
        (FileProblem::Altered, altered),
        (FileProblem::Missing, missing),
        (FileProblem::Unknown, unknown),
    ];
    let changes =
        changes
            .into_iter()
            .filter(|(_, from, to)| from != to)
            .map(|(property, from, to)| Reason::Changed {
                property,
                from: from.to_owned(),
                to: to.to_owned(),
            });
    let problems = problems
        .into_iter()
        .filter(|(_, names)| !names.first.is_empty())
        .map(|(problem, names)| Reason::Files { problem, names });
    changes.chain(problems).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Checksum;
    use crate::metadata::tests::agent_metadata;
    use crate::release::Source;
    use crate::release::tests::target;

    fn release(source: &str, pin: Option<&Checksum>) -> Release {
        Release {
            source: Source::Web(source.parse().unwrap()),
            target: target("amd64"),
            pin: pin.cloned(),
        }
    }

    fn same_release(pin: Option<&Checksum>) -> Release {
        release("https://mirror.example/agent.tgz", pin)
    }

    /// The agent of an earlier build, after `change` to its metadata, its files and the names
    /// beside them.
    fn changed(change: impl FnOnce(&mut AgentMetadata, &mut Files, &mut Names)) -> Cached {
        let (mut metadata, mut unknown) = (agent_metadata(), Box::default());
        let mut files = metadata.files.clone();
        change(&mut metadata, &mut files, &mut unknown);
        Cached::Agent {
            metadata,
            files,
            unknown,
        }
    }

    fn unchanged() -> Cached {
        changed(|_, _, _| {})
    }

    fn change(property: Property, from: &str, to: &str) -> Reason {
        Reason::Changed {
            property,
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    fn problem(problem: FileProblem, name: &str) -> Reason {
        let names = [name].into_iter().collect();
        Reason::Files { problem, names }
    }

    #[test]
    fn row_1_unusable_agent_is_installed_with_all_reasons() {
        let reason = "missing field".to_owned();
        let unreadable = Reason::UnreadableMetadata {
            reason: reason.clone(),
        };
        for (cached, expected) in [
            (Cached::Nothing, vec![Reason::NothingCached]),
            (Cached::Unreadable { reason }, vec![unreadable]),
            (
                changed(|metadata, _, _| metadata.installer = "0".to_owned()),
                vec![change(Property::Installer, "0", "1")],
            ),
            (
                changed(|metadata, _, _| metadata.os = "windows".to_owned()),
                vec![change(Property::Os, "windows", "linux")],
            ),
            (
                changed(|metadata, _, _| metadata.arch = "arm64".to_owned()),
                vec![change(Property::Arch, "arm64", "amd64")],
            ),
            (
                changed(|_, files, _| files.clear()),
                vec![problem(FileProblem::Missing, "backplane")],
            ),
            (
                changed(|_, files, _| {
                    files.insert("backplane".to_owned(), Checksum::of_bytes(b"other"));
                }),
                vec![problem(FileProblem::Altered, "backplane")],
            ),
            (
                changed(|metadata, files, unknown| {
                    metadata.installer = "7".to_owned();
                    metadata.arch = "arm64".to_owned();
                    files.clear();
                    unknown.add("stranger");
                }),
                vec![
                    change(Property::Installer, "7", "1"),
                    change(Property::Arch, "arm64", "amd64"),
                    problem(FileProblem::Missing, "backplane"),
                    problem(FileProblem::Unknown, "stranger"),
                ],
            ),
        ] {
            // Even the right checksum of the download does not make up for it.
            for pin in [None, Some(&agent_metadata().sha256)] {
                let Decision::Install { reasons } = decide(cached.clone(), &same_release(pin))
                else {
                    panic!("{cached:?}");
                };
                assert_eq!(reasons, expected);
            }
        }
    }

    #[test]
    fn of_many_names_the_first_five_are_kept() {
        let names: Vec<_> = (0..2000)
            .rev()
            .map(|number| format!("f{number:04}"))
            .collect();
        let names: Names = names.iter().map(String::as_str).collect();
        assert_eq!(names.first.first().unwrap(), "f0000");
        assert_eq!(names.first.last().unwrap(), "f0004");
        assert_eq!(names.more, 1995);
    }

    #[test]
    fn row_2_pinned_agent_is_kept_whatever_the_source() {
        let pin = agent_metadata().sha256;
        for source in [
            "https://mirror.example/agent.tgz",
            "https://other.example/x",
        ] {
            assert_eq!(
                decide(unchanged(), &release(source, Some(&pin))),
                Decision::Keep(agent_metadata())
            );
        }
    }

    #[test]
    fn row_3_other_pin_replaces() {
        let pin = Checksum::of_bytes(b"another archive");
        let reason = change(Property::Pin, agent_metadata().sha256.short(), pin.short());
        assert_eq!(
            decide(unchanged(), &same_release(Some(&pin))),
            Decision::Replace { reason }
        );
    }

    #[test]
    fn row_4_other_source_replaces() {
        for source in [
            "https://other.example/agent.tgz",
            "https://mirror.example/agent.tgz?token=1",
        ] {
            let release = release(source, None);
            let to = release.source.public_url();
            let reason = change(Property::Source, "https://mirror.example/agent.tgz", &to);
            assert_eq!(decide(unchanged(), &release), Decision::Replace { reason });
        }
    }

    #[test]
    fn row_5_same_source_refreshes_with_any_credentials() {
        for source in [
            "https://mirror.example/agent.tgz",
            "https://u:p@mirror.example/agent.tgz",
        ] {
            assert_eq!(
                decide(unchanged(), &release(source, None)),
                Decision::Refresh(agent_metadata())
            );
        }
    }
}
