//! Downloads that contain no agent.

use bytesize::ByteSize;

use super::message::{ErrorMessage, FREE_DISK_SPACE, NextStep};
use crate::archive::{ArchiveError, Damage, FileKind, Form, Mangling};
use crate::limits::Limits;
use crate::messages::file_kind::describe;
use crate::redact::Redacted;
use crate::release::SourceKind;

const OTHER_ARCHIVE: &str = "Check that BACKPLANE_AGENT_URL names the agent's archive, not that of\n\
     something else.";

/// What is wrong with a download, as a clause.
pub(super) fn clause(error: &ArchiveError) -> String {
    match error {
        ArchiveError::NotAnAgent { found, is_zipped } => {
            let it = if *is_zipped { "its gzip content" } else { "it" };
            let found = describe(*found);
            format!("{it} is neither an archive nor an executable, but {found}")
        }
        ArchiveError::Unproven => {
            "the server didn't send the file's length, so it may be incomplete".to_owned()
        }
        ArchiveError::Damaged(damage) => {
            format!(
                "the archive is truncated or damaged ({})",
                of_damage(*damage)
            )
        }
        ArchiveError::Unsupported { path, form } => {
            format!("'{path}' in the archive is {}", of_form(*form))
        }
        ArchiveError::TooLarge => {
            let limit = ByteSize(Limits::default().max_unpacked_bytes);
            format!("the archive unpacks to more than {limit}")
        }
        ArchiveError::TooManyEntries { limit } => {
            format!("the archive has more than {limit} entries")
        }
        ArchiveError::PathTooLong => {
            "the archive has paths or extension headers that are too long".to_owned()
        }
        ArchiveError::NoAgent { names, .. } if names.is_empty() => {
            "the archive contains no regular files".to_owned()
        }
        ArchiveError::NoAgent { program, names } => {
            let names = names.join(", ");
            format!("the archive contains no regular file '{program}', but {names}")
        }
        ArchiveError::AgentIsLink { path, target } => {
            format!("'{path}' in the archive is a link to '{target}', not a file")
        }
        ArchiveError::SeveralAgents { paths } => {
            format!(
                "the archive contains more than one agent: {}",
                paths.join(", ")
            )
        }
        ArchiveError::RepeatedName(name) => {
            format!("the archive contains the file '{name}' twice")
        }
        ArchiveError::ReservedName(name) => {
            format!("the archive contains a file '{name}', a name that this buildpack uses")
        }
        ArchiveError::UnusableName(name) => {
            format!("the archive contains a file with the invalid name '{name}'")
        }
        ArchiveError::NotExecutable(name, found) => {
            let found = describe(*found);
            format!("'{name}' is neither an ELF program nor a script with #!, but {found}")
        }
        ArchiveError::MangledScript(name, mangling) => match mangling {
            Mangling::LineEndings => {
                format!("'{name}' is a script with Windows line endings (CR LF)")
            }
            Mangling::ByteOrderMark => {
                format!("'{name}' is a script with a byte-order mark before #!")
            }
        },
        ArchiveError::LfsPointer(name) => {
            format!("'{name}' is a Git LFS pointer, not the file itself")
        }
        ArchiveError::IncompleteProgram(name) => {
            format!("the program '{name}' is truncated or damaged")
        }
        ArchiveError::WrongArchitecture {
            name,
            machine,
            target,
        } => {
            let machine = Some(*machine);
            let found = describe(FileKind::Elf { machine });
            format!("'{name}' is {found}, which {target} can't run")
        }
        ArchiveError::Read(error) => format!("the download can't be read again ({error})"),
        ArchiveError::Write(error) => format!("its files can't be written ({error})"),
    }
}

fn of_damage(damage: Damage) -> &'static str {
    match damage {
        Damage::EndsEarly => "it ends early",
        Damage::Compression => "its compressed data is invalid",
        Damage::Header => "the header of an entry is invalid",
        Damage::ExtensionHeader => "an extension header is invalid",
        Damage::SparseMap => "the map of a sparse file is invalid",
    }
}

fn of_form(form: Form) -> &'static str {
    match form {
        Form::Continuation => "the rest of a file of another volume",
        Form::ForeignSparse => "a sparse file of star or Solaris",
        Form::UnknownSparse => "a sparse file of an unknown version",
        Form::ManyPieces => "a sparse file of too many pieces",
    }
}

/// The message of a download from `source` that contains no agent.
pub(super) fn message(source: &Redacted, kind: SourceKind, error: &ArchiveError) -> ErrorMessage {
    let (id, advice) = id_and_advice(error, kind);
    let body = format!(
        "This isn't an agent that can be installed:\n\n{source}\n\nReason: {}.\n\n{advice}",
        clause(error)
    );
    let message = ErrorMessage::new(id, "Unable to install the agent", body);
    match error {
        // Only a server may respond differently the next time, and only its agent is optional.
        ArchiveError::Damaged(_) | ArchiveError::IncompleteProgram(_)
            if kind == SourceKind::Server =>
        {
            message.then(NextStep::TryAgain)
        }
        ArchiveError::Read(_) | ArchiveError::Write(_) => message.then(NextStep::Report),
        _ => message,
    }
}

fn id_and_advice(error: &ArchiveError, kind: SourceKind) -> (&'static str, &'static str) {
    match error {
        ArchiveError::NotAnAgent { found, .. } => {
            ("archive/not-an-agent", advice_on_kind(*found, kind))
        }
        ArchiveError::Unproven => (
            "archive/unproven",
            "Set BACKPLANE_AGENT_SHA256 to the checksum of the complete file. Or\n\
             publish it as a gzip archive, whose end can be verified, or on a server\n\
             that sends Content-Length.",
        ),
        ArchiveError::Damaged(_) if kind == SourceKind::Server => (
            "archive/damaged",
            "Check the file at the source, for example with tar -tzf.",
        ),
        ArchiveError::Damaged(_) => ("archive/damaged", advice_on_damage(kind)),
        ArchiveError::IncompleteProgram(_) => {
            ("archive/incomplete-program", advice_on_damage(kind))
        }
        ArchiveError::Unsupported { .. } => (
            "archive/unsupported",
            "Pack the archive again without options for special files (such as\n\
             --sparse or --multi-volume): tar -czf backplane.tgz FILES",
        ),
        ArchiveError::TooLarge => ("archive/too-large", OTHER_ARCHIVE),
        ArchiveError::TooManyEntries { .. } => ("archive/too-many-entries", OTHER_ARCHIVE),
        ArchiveError::NoAgent { .. } => (
            "archive/no-agent",
            "The archive must contain the agent's executable by that name, in any\n\
             directory.",
        ),
        ArchiveError::AgentIsLink { .. } => (
            "archive/no-agent",
            "Links aren't installed. Pack the file that it leads to, by the name of\n\
             the link: tar -h (--dereference) does that.",
        ),
        ArchiveError::SeveralAgents { .. } | ArchiveError::RepeatedName(_) => (
            "archive/ambiguous",
            "Publish an archive that contains the agent and its files only once.",
        ),
        ArchiveError::ReservedName(_)
        | ArchiveError::UnusableName(_)
        | ArchiveError::PathTooLong => (
            "archive/name",
            "Publish an archive without that file, or with another name for it.",
        ),
        ArchiveError::NotExecutable(..) => (
            "archive/not-executable",
            "Publish an archive in which it is a Linux program, or a script that\n\
             starts with a line such as #!/bin/sh.",
        ),
        ArchiveError::MangledScript(_, mangling) => ("archive/script", advice_on_script(*mangling)),
        ArchiveError::LfsPointer(_) => ("archive/lfs-pointer", advice_on_lfs(kind)),
        ArchiveError::WrongArchitecture { .. } => (
            "archive/wrong-architecture",
            "Use an agent for the platform of the image. In BACKPLANE_AGENT_URL, {os}\n\
             and {arch} stand for that platform.",
        ),
        ArchiveError::Read(_) | ArchiveError::Write(_) => ("archive/write", FREE_DISK_SPACE),
    }
}

/// What to do about a download of the kind `found` that does not have the pinned checksum.
pub(super) fn advice_on_checksum(found: FileKind, kind: SourceKind) -> &'static str {
    let is_from_server = kind == SourceKind::Server;
    match found {
        FileKind::LfsPointer => advice_on_lfs(kind),
        FileKind::MangledScript(mangling) => advice_on_script(mangling),
        FileKind::Gzip | FileKind::Tar | FileKind::Elf { .. } | FileKind::Script => {
            if is_from_server {
                "If a new version was published on purpose and you trust it, set\n\
                 BACKPLANE_AGENT_SHA256 to the actual checksum. Otherwise, someone may\n\
                 have tampered with the file: contact those who run the source."
            } else {
                "If you replaced the file on purpose and trust it, set\n\
                 BACKPLANE_AGENT_SHA256 to the actual checksum. Otherwise, Git may have\n\
                 converted its line endings: mark it as binary in .gitattributes, and\n\
                 commit it again."
            }
        }
        _ if is_from_server => {
            "That isn't an agent: the source, or a proxy or a login page in front of\n\
             it, sends something else. Open the source in a browser."
        }
        _ => "That isn't an agent. Check that BACKPLANE_AGENT_URL names the right file.",
    }
}

/// How to get the file that a Git LFS pointer stands for.
fn advice_on_lfs(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Server => {
            "Git LFS stores the file itself elsewhere. Publish it, for example as an\n\
             asset of a release, and set BACKPLANE_AGENT_URL to its address."
        }
        SourceKind::LocalFile | SourceKind::VendoredFile => {
            "Git LFS stores the file itself elsewhere. Run 'git lfs pull' before the\n\
             build (with GitHub Actions: 'lfs: true' for actions/checkout). If that\n\
             isn't possible, as on Heroku, remove the file from Git LFS\n\
             (git lfs untrack, then commit it again), or set BACKPLANE_AGENT_URL to a\n\
             server that has it."
        }
    }
}

fn advice_on_script(mangling: Mangling) -> &'static str {
    match mangling {
        Mangling::LineEndings => {
            "Linux would look for an interpreter whose name ends with CR. Convert the\n\
             script, and keep Git from converting it back (.gitattributes):\n\n\
             sed -i 's/\\r$//' backplane\n\
             echo '* text=auto eol=lf' >>.gitattributes"
        }
        Mangling::ByteOrderMark => {
            "Linux wouldn't recognize it as a script. Save it as UTF-8 without a\n\
             byte-order mark (BOM):\n\n\
             sed -i '1s/^\\xef\\xbb\\xbf//' backplane"
        }
    }
}

fn advice_on_kind(found: FileKind, kind: SourceKind) -> &'static str {
    match kind {
        _ if found.is_foreign_format() => {
            "It must be the agent's archive (tar, or tar with gzip) or its executable.\n\
             Pack it again: tar -czf backplane.tgz FILES"
        }
        SourceKind::Server => {
            "Open the source in a browser: it may be a login page or an error page. It\n\
             must be the agent's archive (tar, or tar with gzip) or its executable."
        }
        SourceKind::LocalFile | SourceKind::VendoredFile => {
            "Check that BACKPLANE_AGENT_URL names the agent's archive (tar, or tar\n\
             with gzip) or its executable."
        }
    }
}

fn advice_on_damage(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Server => {
            "Compare the file at the source with the one that was built. Its upload\n\
             may have been interrupted, or its line endings converted."
        }
        SourceKind::LocalFile => "Copy the file to the build machine again.",
        SourceKind::VendoredFile => {
            "Commit the file again. If Git or an editor converts its line endings,\n\
             list it in .gitattributes, for example:\n\n\
             vendor/* binary"
        }
    }
}
