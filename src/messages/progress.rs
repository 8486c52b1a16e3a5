//! The lines of a build that makes progress.

use bytesize::ByteSize;

use super::errors::{self, http};
use super::warnings;
use crate::archive::AGENT;
use crate::cached_agent::{FileProblem, Names, Property, Reason};
use crate::fetch::Event;
use crate::install::Notice;
use crate::output::Log;
use crate::release::Release;

/// The description of the restored layer is removed.
pub(crate) const DAMAGED_DESCRIPTION: &str =
    "Removing the cached agent's description because it is damaged";

/// Logs which agent the build installs, unless that is the default one, and its note.
pub(crate) fn log_agent(release: &Release, log: &dyn Log) {
    if release.program != AGENT {
        log.step(&format!("The agent is {}", release.agent));
    }
    if let Some(note) = &release.note {
        log.step(note);
    }
}

/// Logs a notice of an installation.
pub(crate) fn log(notice: &Notice<'_>, log: &dyn Log) {
    let line = match notice {
        Notice::Unpinned(checksum) => return log.warning(&warnings::unpinned(checksum)),
        Notice::Changed { from, to } => return log.warning(&warnings::changed(from, to)),
        Notice::Kept { error, checksum } => {
            return log.warning(&warnings::kept(&errors::reason(error), checksum));
        }
        Notice::AgentSkipped(error) => {
            return log.warning(&warnings::agent_skipped(&errors::reason(error)));
        }
        Notice::ReplacingByDirectory(path) => {
            format!("Replacing {}: it isn't a directory", path.display())
        }
        Notice::UsingPinned(checksum) => {
            format!("Using the cached agent: it has the pinned checksum {checksum}")
        }
        Notice::UsingUnchanged => "Using the cached agent: it is unchanged".to_owned(),
        Notice::UsingSameDownload => {
            "Using the cached agent: the download has the same checksum".to_owned()
        }
        Notice::Installing(reasons) => {
            let reasons: Vec<_> = reasons.iter().map(reason).collect();
            format!("Installing the agent: {}", reasons.join("; "))
        }
        Notice::Replacing(because) => {
            format!("Replacing the agent: {}", reason(because))
        }
        Notice::Checking(source) => format!("Checking whether {source} has a newer agent"),
        Notice::Fetching { source, target } => format!("Fetching {source} for {target}"),
        Notice::Fetch(event) => fetch_line(event),
        Notice::Fetched {
            bytes,
            checksum,
            is_pinned,
        } => {
            let pinned = if *is_pinned { "pinned" } else { "not pinned" };
            let size = ByteSize(*bytes);
            format!("Fetched {size} with the SHA-256 checksum {checksum} ({pinned})")
        }
        Notice::LeftOut(names) => {
            let names = list(&names.iter().map(String::as_str).collect());
            format!("Left out {names}: links and devices aren't installed")
        }
        Notice::Installed(files) => {
            let names: Vec<_> = files.keys().map(String::as_str).collect();
            format!("Installed {}", names.join(", "))
        }
    };
    log.step(&line);
}

fn fetch_line(event: &Event<'_>) -> String {
    match event {
        Event::Progress {
            bytes,
            expected_bytes: Some(expected),
        } if *expected > 0 => format!(
            "{} of {} ({}%)",
            ByteSize(*bytes),
            ByteSize(*expected),
            bytes.min(expected).saturating_mul(100) / expected
        ),
        Event::Progress { bytes, .. } => format!("{} so far", ByteSize(*bytes)),
        Event::Retrying { error, delay } => {
            let (seconds, error) = (delay.as_secs_f32(), http::clause(error));
            format!("Trying again in {seconds:.1} s: {error}")
        }
        Event::RetryingUnconditionally { error } => {
            format!("Requesting the whole file: {}", http::clause(error))
        }
    }
}

/// Why a cached agent cannot stay, as a clause.
fn reason(reason: &Reason) -> String {
    match reason {
        Reason::NothingCached => "no agent is cached".to_owned(),
        Reason::UnreadableMetadata(reason) => {
            format!("the cached agent's metadata is unreadable ({reason})")
        }
        Reason::Changed { property, from, to } => {
            let property = match property {
                Property::Installer => "installer",
                Property::Agent => "agent",
                Property::Os => "operating system",
                Property::Arch => "architecture",
                Property::Pin => "pinned checksum",
                Property::Source => "source",
            };
            format!("the {property} has changed from {from} to {to}")
        }
        Reason::Files { problem, names } => {
            let problem = match problem {
                FileProblem::Altered => "altered",
                FileProblem::Missing => "missing",
            };
            format!("{problem} cached files: {}", list(names))
        }
    }
}

fn list(names: &Names) -> String {
    let shown: Vec<_> = names.first.iter().map(String::as_str).collect();
    match names.more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fmt::Display;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::archive::Files;
    use crate::checksum::Checksum;
    use crate::fetch::http::HttpError;
    use crate::redact::Redacted;
    use crate::release::tests::target;

    /// A log of lines, without warnings and errors.
    #[derive(Default)]
    struct Lines(RefCell<Vec<String>>);

    impl Log for Lines {
        fn step(&self, line: &dyn Display) {
            self.0.borrow_mut().push(line.to_string());
        }

        fn warning(&self, message: &dyn Display) {
            panic!("{message}");
        }

        fn error(&self, message: &dyn Display) {
            panic!("{message}");
        }
    }

    #[test]
    fn lines_of_progress() {
        let checksum = &Checksum::of_bytes(b"agent");
        let source = &Redacted::text("https://user:secret@mirror.example.com/backplane.tgz");
        let error = &HttpError::HostNotFound;
        let delay = Duration::from_millis(1250);
        let names: Vec<_> = (1..=7).map(|number| format!("link-{number}")).collect();
        let files =
            Files::from(["backplane", "frpc"].map(|name| (name.to_owned(), checksum.clone())));
        let changed = |property| Reason::Changed {
            property,
            from: "old".to_owned(),
            to: "new".to_owned(),
        };
        let problem = |problem, names: &[&str]| Reason::Files {
            problem,
            names: names.iter().copied().collect(),
        };
        let bytes = 1 << 20;
        let progress = |expected_bytes| {
            Notice::Fetch(Event::Progress {
                bytes,
                expected_bytes,
            })
        };
        let fetched = |is_pinned| Notice::Fetched {
            bytes: 5 << 20,
            checksum,
            is_pinned,
        };
        let reasons = [
            Reason::NothingCached,
            Reason::UnreadableMetadata("missing field `os`".to_owned()),
            changed(Property::Installer),
            changed(Property::Agent),
            changed(Property::Os),
            changed(Property::Arch),
            problem(FileProblem::Altered, &["backplane"]),
            problem(FileProblem::Missing, &["a", "b", "c", "d", "e", "f", "g"]),
        ];
        let notices = [
            Notice::ReplacingByDirectory(Path::new("/layers/agent")),
            Notice::UsingPinned(checksum),
            Notice::UsingUnchanged,
            Notice::UsingSameDownload,
            Notice::Installing(&reasons),
            Notice::Replacing(&changed(Property::Pin)),
            Notice::Replacing(&changed(Property::Source)),
            Notice::Checking(source),
            Notice::Fetching {
                source,
                target: &target("amd64"),
            },
            progress(Some(4 << 20)),
            progress(None),
            Notice::Fetch(Event::Retrying { error, delay }),
            Notice::Fetch(Event::RetryingUnconditionally { error }),
            fetched(true),
            fetched(false),
            Notice::LeftOut(&names),
            Notice::Installed(&files),
        ];
        let lines = Lines::default();
        for notice in &notices {
            log(notice, &lines);
        }
        lines.step(&DAMAGED_DESCRIPTION);
        insta::assert_snapshot!(lines.0.into_inner().join("\n"));
    }
}
