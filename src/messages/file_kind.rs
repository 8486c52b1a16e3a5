//! The names of file kinds.

use crate::archive::{FileKind, Mangling};

/// A noun phrase for `kind`.
pub(super) fn describe(kind: FileKind) -> String {
    match kind {
        FileKind::Gzip => "a gzip file".to_owned(),
        FileKind::Tar => "a tar archive".to_owned(),
        FileKind::Elf { machine: None } => "a damaged ELF file".to_owned(),
        FileKind::Elf {
            machine: Some(machine),
        } => match elf::to_str::e_machine_to_human_str(machine) {
            Some(name) => format!("an ELF file for {name}"),
            None => format!("an ELF file for machine number {machine}"),
        },
        FileKind::Script => "a script".to_owned(),
        FileKind::MangledScript(Mangling::LineEndings) => {
            "a script with Windows line endings".to_owned()
        }
        FileKind::MangledScript(Mangling::ByteOrderMark) => {
            "a script with a byte-order mark".to_owned()
        }
        FileKind::LfsPointer => "a Git LFS pointer".to_owned(),
        FileKind::Text => "a text file".to_owned(),
        FileKind::Empty => "an empty file".to_owned(),
        FileKind::Other(Some("text/html")) => "a web page (text/html)".to_owned(),
        FileKind::Other(Some(media_type)) => format!("a file of type {media_type}"),
        FileKind::Other(None) => "a file of an unknown type".to_owned(),
    }
}
