//! The decision table for a cached agent, without I/O.

use std::collections::BTreeSet;

use crate::archive::Files;
use crate::metadata::{AgentMetadata, INSTALLER};
use crate::release::Release;

/// The metadata that an earlier build left beside the agent's directory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Previous {
    /// No metadata: this is a first build, or the previous image or the cache is gone.
    Nothing,
    /// It cannot be read, for this reason.
    Unreadable(String),
    Agent(AgentMetadata),
}

impl Previous {
    /// Damaged metadata. The `reason` may quote it, and is reduced to a short line.
    pub(crate) fn unreadable(reason: &str) -> Self {
        const MAX_CHARS: usize = 200;
        let line = reason.trim().lines().next().unwrap_or_default();
        Self::Unreadable(line.chars().take(MAX_CHARS).collect())
    }
}

/// What to do with a cached agent.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// It cannot be used, for all these reasons: download.
    Install(Vec<Reason>),
    /// It has the pinned checksum: keep it without a request.
    Keep(AgentMetadata),
    /// It is not the agent that the user asks for: download, and never fall back to it.
    Replace(Reason),
    /// It may be outdated: ask its source, and keep it if that fails.
    Refresh(AgentMetadata),
}

/// Why a cached agent cannot stay.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    NothingCached,
    UnreadableMetadata(String),
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

impl Reason {
    fn changed(property: Property, from: &str, to: &str) -> Self {
        Self::Changed {
            property,
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }
}

/// What has changed since an agent was installed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Property {
    Installer,
    Agent,
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
}

/// The first of many names, and the number of the others: enough for a line of the log, without
/// storing all of them.
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

/// Decides what to do with the agent of an earlier build, of whose files `contents` exist, if
/// `release` is wanted. The first row that fits wins.
pub(crate) fn decide(previous: Previous, contents: &Files, release: &Release) -> Decision {
    let metadata = match previous {
        Previous::Nothing => return Decision::Install(vec![Reason::NothingCached]),
        Previous::Unreadable(reason) => {
            return Decision::Install(vec![Reason::UnreadableMetadata(reason)]);
        }
        Previous::Agent(metadata) => metadata,
    };
    let reasons = reasons_against(&metadata, contents, release);
    if !reasons.is_empty() {
        return Decision::Install(reasons);
    }
    let source = release.source.public_url();
    let changed = |property, from, to| Decision::Replace(Reason::changed(property, from, to));
    match &release.pin {
        Some(pin) if *pin == metadata.sha256 => Decision::Keep(metadata),
        Some(pin) => changed(Property::Pin, metadata.sha256.short(), pin.short()),
        None if source != metadata.source => changed(Property::Source, &metadata.source, &source),
        None => Decision::Refresh(metadata),
    }
}

/// All reasons that make a cached agent unusable, so that users do not look for the cause of a
/// download in the wrong change.
fn reasons_against(metadata: &AgentMetadata, contents: &Files, release: &Release) -> Vec<Reason> {
    // Without `..`: a new field has to be considered here.
    let AgentMetadata {
        installer,
        agent,
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
        (Property::Agent, agent, &release.agent),
        (Property::Os, os, &release.target.os),
        (Property::Arch, arch, &release.target.arch),
    ];
    let (mut altered, mut missing) = (Names::default(), Names::default());
    if !installed.contains_key(&release.program) {
        missing.add(&release.program);
    }
    for (name, checksum) in installed {
        match contents.get(name) {
            None => missing.add(name),
            Some(actual) if actual != checksum => altered.add(name),
            Some(_) => {}
        }
    }
    let problems = [
        (FileProblem::Altered, altered),
        (FileProblem::Missing, missing),
    ];
    let changes = changes
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(property, from, to)| Reason::changed(property, from, to));
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

    const SOURCE: &str = "https://mirror.example/agent.tgz";

    fn release(source: &str, pin: Option<Checksum>) -> Release {
        Release {
            agent: "backplane".to_owned(),
            program: "backplane".to_owned(),
            note: None,
            source: Source::Web(source.parse().unwrap()),
            target: target("amd64"),
            pin,
        }
    }

    /// The agent of an earlier build, after `change` to its metadata and its directory.
    fn changed(change: &dyn Fn(&mut AgentMetadata, &mut Files)) -> (Previous, Files) {
        let mut metadata = agent_metadata();
        let mut contents = metadata.files.clone();
        change(&mut metadata, &mut contents);
        (Previous::Agent(metadata), contents)
    }

    #[test]
    fn row_1_unusable_agent_is_installed_with_all_reasons() {
        let change = Reason::changed;
        let problem = |problem, name: &str| Reason::Files {
            problem,
            names: [name].into_iter().collect(),
        };
        let missing = || problem(FileProblem::Missing, "backplane");
        let altered = problem(FileProblem::Altered, "backplane");

        let none = (Previous::Nothing, Files::new());
        let unreadable = "missing field".to_owned();
        let damaged = Previous::Unreadable(unreadable.clone());
        let damaged = (damaged, Files::new());
        let older = changed(&|metadata, _| metadata.installer = "0".to_owned());
        let foreign = changed(&|metadata, _| metadata.os = "windows".to_owned());
        let edited = changed(&|_, contents| {
            let other = Checksum::of_bytes(b"other");
            contents.insert("backplane".to_owned(), other);
        });
        let of_other_agent = changed(&|metadata, _| metadata.agent = "frp".to_owned());
        // As if the agent's table had another `file` now.
        let without_program = changed(&|metadata, contents| {
            let program = contents.remove("backplane").unwrap();
            contents.insert("frpc".to_owned(), program);
            metadata.files.clone_from(contents);
        });
        let several = changed(&|metadata, contents| {
            metadata.arch = "arm64".to_owned();
            contents.clear();
        });
        let agent = change(Property::Agent, "frp", "backplane");
        let arch = change(Property::Arch, "arm64", "amd64");
        for ((previous, contents), expected) in [
            (none, vec![Reason::NothingCached]),
            (damaged, vec![Reason::UnreadableMetadata(unreadable)]),
            (older, vec![change(Property::Installer, "0", INSTALLER)]),
            (foreign, vec![change(Property::Os, "windows", "linux")]),
            (edited, vec![altered]),
            (of_other_agent, vec![agent]),
            (without_program, vec![missing()]),
            (several, vec![arch, missing()]),
        ] {
            // A download with the pinned checksum does not change that.
            for pin in [None, Some(agent_metadata().sha256)] {
                let decision = decide(previous.clone(), &contents, &release(SOURCE, pin));
                let Decision::Install(reasons) = decision else {
                    panic!("{previous:?}");
                };
                assert_eq!(reasons, expected);
            }
        }
    }

    #[test]
    fn rows_2_to_5_usable_agent_is_kept_replaced_or_refreshed() {
        let pin = agent_metadata().sha256;
        let other_pin = Checksum::of_bytes(b"another archive");
        let keep = || Decision::Keep(agent_metadata());
        let refresh = || Decision::Refresh(agent_metadata());
        let replace = |property, from, to| Decision::Replace(Reason::changed(property, from, to));
        let repinned = replace(Property::Pin, pin.short(), other_pin.short());
        let other = "https://other.example/agent.tgz";
        let token = format!("{SOURCE}?token=1");
        let public = format!("{SOURCE}?sha256={}", Checksum::of_bytes(b"token=1"));
        let credentials = SOURCE.replace("://", "://u:p@");
        for (source, pinned, expected) in [
            (SOURCE, Some(&pin), keep()),
            (other, Some(&pin), keep()),
            (SOURCE, Some(&other_pin), repinned),
            (other, None, replace(Property::Source, SOURCE, other)),
            (&token, None, replace(Property::Source, SOURCE, &public)),
            (SOURCE, None, refresh()),
            (&credentials, None, refresh()),
        ] {
            let (previous, contents) = changed(&|_, _| {});
            let decision = decide(previous, &contents, &release(source, pinned.cloned()));
            assert_eq!(decision, expected, "{source} {pinned:?}");
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
}
