//! Downloads that hold no agent.

use bytesize::ByteSize;

use super::{Closing, ErrorMessage};
use crate::archive::{AGENT, ArchiveError};
use crate::content::{Kind, Mangling};
use crate::redact::Redacted;
use crate::release::Place;

const OTHER_ARCHIVE: &str = "Check that BACKPLANE_AGENT_URL names the agent's archive, and not that\n\
     of something else.";

/// What is wrong with an archive, as a clause.
pub(super) fn clause(error: &ArchiveError) -> String {
    match error {
        ArchiveError::NotAnAgent {
            found,
            is_zipped: false,
        } => format!(
            "it is neither an archive nor an executable, but {}",
            found.describe()
        ),
        ArchiveError::NotAnAgent {
            found,
            is_zipped: true,
        } => format!(
            "it is a gzip file, and what is in it is neither an archive nor an executable, but {}",
            found.describe()
        ),
        ArchiveError::Unproven => {
            "the server didn't say how long it is, so that it may be only a part".to_owned()
        }
        ArchiveError::Damaged { damage } => {
            format!("the archive is truncated or damaged ({damage})")
        }
        ArchiveError::Unsupported { path, form } => {
            format!("'{path}' in the archive is {form}")
        }
        ArchiveError::TooLarge { limit } => {
            format!("the archive unpacks to more than {}", ByteSize(*limit))
        }
        ArchiveError::TooManyEntries { limit } => {
            format!("the archive has more than {limit} entries")
        }
        ArchiveError::PathTooLong => {
            "the archive has paths or extension headers that are too long".to_owned()
        }
        ArchiveError::NoAgent { names } if names.is_empty() => {
            format!("the archive has no regular file '{AGENT}', nor any other")
        }
        ArchiveError::NoAgent { names } => format!(
            "the archive has no regular file '{AGENT}', but {}",
            names.join(", ")
        ),
        ArchiveError::AgentIsLink { path, target } => {
            format!("'{path}' in the archive is a link to '{target}', and no file")
        }
        ArchiveError::SeveralAgents { paths } => {
            format!("the archive has more than one agent: {}", paths.join(", "))
        }
        ArchiveError::RepeatedName { name } => {
            format!("the archive has the file '{name}' twice")
        }
        ArchiveError::ReservedName { name } => {
            format!("the archive has a file '{name}', a name of this buildpack's own")
        }
        ArchiveError::UnusableName { name } => {
            format!("the archive has a file with the unusable name '{name}'")
        }
        ArchiveError::NotExecutable { found } => format!(
            "'{AGENT}' is neither an ELF program nor a script with #!, but {}",
            found.describe()
        ),
        ArchiveError::MangledScript {
            mangling: Mangling::LineEnds,
        } => format!("'{AGENT}' is a script whose lines end as on Windows (CR LF)"),
        ArchiveError::MangledScript {
            mangling: Mangling::ByteOrderMark,
        } => format!("'{AGENT}' is a script with a byte-order mark in front of #!"),
        ArchiveError::LfsPointer { name } => {
            format!("'{name}' is a Git LFS pointer, and not the file itself")
        }
        ArchiveError::IncompleteProgram { name } => {
            format!("the program '{name}' is damaged, or ends before its own headers say")
        }
        ArchiveError::WrongArchitecture {
            name,
            machine,
            target,
        } => {
            let machine = Some(*machine);
            let found = Kind::Elf { machine }.describe();
            format!("'{name}' is {found}, which {target} can't run")
        }
        ArchiveError::Read(error) => format!("the download can't be read again ({error})"),
        ArchiveError::Write(error) => format!("its files can't be written ({error})"),
    }
}

pub(super) fn message(source: &Redacted, place: Place, error: &ArchiveError) -> ErrorMessage {
    let (id, advice, closing) = match error {
        ArchiveError::NotAnAgent { found, .. } => (
            "archive/not-an-agent",
            advice_on_kind(*found, place),
            Closing::Nothing,
        ),
        ArchiveError::Unproven => (
            "archive/unproven",
            "Pin the agent (set BACKPLANE_AGENT_SHA256 to the checksum of the whole\n\
             file), or publish it as a gzip archive, whose end can be checked, or on\n\
             a server that sends Content-Length.",
            Closing::Nothing,
        ),
        ArchiveError::Damaged { .. } => (
            "archive/damaged",
            match place {
                Place::Server => "Check the file at the source, for example with tar -tzf.",
                Place::Machine | Place::App => advice_on_damage(place),
            },
            try_again(place),
        ),
        ArchiveError::IncompleteProgram { .. } => (
            "archive/incomplete-program",
            advice_on_damage(place),
            try_again(place),
        ),
        ArchiveError::Unsupported { .. } => (
            "archive/unsupported",
            "Pack the archive anew without options for special files\n\
             (such as --sparse or --multi-volume): tar -czf backplane.tgz FILES",
            Closing::Nothing,
        ),
        ArchiveError::TooLarge { .. } => ("archive/too-large", OTHER_ARCHIVE, Closing::Nothing),
        ArchiveError::TooManyEntries { .. } => {
            ("archive/too-many-entries", OTHER_ARCHIVE, Closing::Nothing)
        }
        ArchiveError::NoAgent { .. } => (
            "archive/no-agent",
            "The archive must hold the agent's executable under the name\n\
             'backplane', in any folder.",
            Closing::Nothing,
        ),
        ArchiveError::AgentIsLink { .. } => (
            "archive/no-agent",
            "Links are not installed. Pack the file that it leads to under the name\n\
             'backplane': tar -h (--dereference) does that.",
            Closing::Nothing,
        ),
        ArchiveError::SeveralAgents { .. } | ArchiveError::RepeatedName { .. } => (
            "archive/ambiguous",
            "Publish an archive that holds the agent and its files once.",
            Closing::Nothing,
        ),
        ArchiveError::ReservedName { .. }
        | ArchiveError::UnusableName { .. }
        | ArchiveError::PathTooLong => (
            "archive/name",
            "Publish an archive without that file, or with another name for it.",
            Closing::Nothing,
        ),
        ArchiveError::NotExecutable { .. } => (
            "archive/not-executable",
            "Publish an archive in which 'backplane' is a Linux program, or a script\n\
             that begins with the line #!/bin/sh, for example.",
            Closing::Nothing,
        ),
        ArchiveError::MangledScript { mangling } => (
            "archive/script",
            advice_on_script(*mangling),
            Closing::Nothing,
        ),
        ArchiveError::LfsPointer { .. } => (
            "archive/lfs-pointer",
            advice_on_lfs(place),
            Closing::Nothing,
        ),
        ArchiveError::WrongArchitecture { .. } => (
            "archive/wrong-architecture",
            "Use an agent for the platform of the image. {os} and {arch} in\n\
             BACKPLANE_AGENT_URL stand for that platform.",
            Closing::Nothing,
        ),
        ArchiveError::Read(_) | ArchiveError::Write(_) => (
            "archive/write",
            "Check that the machine that builds has free disk space.",
            Closing::Report,
        ),
    };
    ErrorMessage {
        id,
        header: "Unable to install the agent",
        body: format!(
            "There is nothing to install in what came from\n\n{source}\n\nReason: {}.\n\n{advice}",
            clause(error)
        ),
        details: None,
        closing,
    }
}

/// What to do about a download of the kind `found` that is not the pinned one.
pub(super) fn advice_on_checksum(found: Kind, place: Place) -> &'static str {
    match (found, place) {
        (Kind::LfsPointer, _) => advice_on_lfs(place),
        (Kind::MangledScript(mangling), _) => advice_on_script(mangling),
        (Kind::Gzip | Kind::Tar | Kind::Elf { .. } | Kind::Script, Place::Server) => {
            "If a new version was published on purpose and you trust it, set\n\
             BACKPLANE_AGENT_SHA256 to the actual checksum. If not, somebody may have\n\
             tampered with the file: ask whoever runs the source."
        }
        (Kind::Gzip | Kind::Tar | Kind::Elf { .. } | Kind::Script, _) => {
            "If the file was replaced on purpose and you trust it, set\n\
             BACKPLANE_AGENT_SHA256 to the actual checksum. If not, Git may have\n\
             converted its line ends: name it as binary in .gitattributes, and commit\n\
             it anew."
        }
        (_, Place::Server) => {
            "That is no agent: the source, or a proxy or a login page in front of it,\n\
             sends something else. Open the source in a browser."
        }
        _ => "That is no agent: check that BACKPLANE_AGENT_URL names the right file.",
    }
}

/// How to get the file that a Git LFS pointer stands for.
fn advice_on_lfs(place: Place) -> &'static str {
    match place {
        Place::Server => {
            "Git LFS keeps the file itself elsewhere. Publish it, for example as an\n\
             asset of a release, and set BACKPLANE_AGENT_URL to where it is."
        }
        Place::Machine | Place::App => {
            "Git LFS keeps the file itself elsewhere. Run 'git lfs pull' before the\n\
             build (with GitHub Actions: 'lfs: true' for actions/checkout). Where that\n\
             can't be done, as on Heroku, take the file out of Git LFS\n\
             (git lfs untrack, then commit it again), or set BACKPLANE_AGENT_URL to a\n\
             server that has it."
        }
    }
}

fn advice_on_script(mangling: Mangling) -> &'static str {
    match mangling {
        Mangling::LineEnds => {
            "Linux would look for an interpreter whose name ends with CR. Convert the\n\
             script, and keep Git from converting it back (.gitattributes):\n\n\
             sed -i 's/\\r$//' backplane\n\
             echo '* text=auto eol=lf' >>.gitattributes"
        }
        Mangling::ByteOrderMark => {
            "Linux would not know it as a script. Save it as UTF-8 without a\n\
             byte-order mark (BOM):\n\n\
             sed -i '1s/^\\xef\\xbb\\xbf//' backplane"
        }
    }
}

fn advice_on_kind(found: Kind, place: Place) -> &'static str {
    match place {
        _ if found.is_foreign_archive() => {
            "It must be the agent's archive (tar, or tar with gzip) or its executable.\n\
             Pack it anew: tar -czf backplane.tgz FILES"
        }
        Place::Server => {
            "Open the source in a browser: it may be a page that asks for a login or\n\
             tells of an error. It must be the agent's archive (tar, or tar with\n\
             gzip) or its executable."
        }
        Place::Machine | Place::App => {
            "Check that BACKPLANE_AGENT_URL names the agent's archive (tar, or tar\n\
             with gzip) or its executable."
        }
    }
}

fn advice_on_damage(place: Place) -> &'static str {
    match place {
        Place::Server => {
            "Compare the file at the source with the one that was built: its upload\n\
             may have been cut off, or its line ends converted."
        }
        Place::Machine => "Copy the file to the machine that builds once more.",
        Place::App => {
            "Commit the file anew. If Git or an editor converts its line ends, name\n\
             it in .gitattributes, as in:\n\n\
             vendor/* binary"
        }
    }
}

/// Only a server may send something else the next time, and only what it sends is optional.
fn try_again(place: Place) -> Closing {
    match place {
        Place::Server => Closing::TryAgain,
        Place::Machine | Place::App => Closing::Nothing,
    }
}
