//! What a file is, by its content: names and media types lie.

use elf::endian::AnyEndian;
use elf::file::FileHeader;

use crate::gunzip;
use crate::target::Target;

/// How many bytes from a file's begin tell what it is: the end of the magic number in a tar header.
pub(crate) const HEAD_BYTES: usize = 512;

/// The length of an ELF file's identification, and of the longest header
/// ([ELF header](https://gabi.xinuos.com/elf/02-eheader.html)).
const ELF_IDENT_BYTES: usize = 16;
const ELF_HEADER_BYTES: usize = 64;

/// A file's kind, as far as it matters here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A gzip stream.
    Gzip,
    /// A tar archive.
    Tar,
    /// An ELF file, with its machine number; none: its header is damaged.
    Elf { machine: Option<u16> },
    /// A script that names its interpreter.
    Script,
    /// Something else, with its media type where it is known.
    Other(Option<&'static str>),
}

impl Kind {
    /// The kind of the file that begins with `head`.
    pub(crate) fn of(head: &[u8]) -> Self {
        if head.starts_with(gunzip::MAGIC) {
            Self::Gzip
        } else if head.starts_with(b"\x7fELF") {
            Self::Elf {
                machine: elf_machine(head),
            }
        } else if head.starts_with(b"#!") {
            Self::Script
        } else if head.get(257..262) == Some(b"ustar") {
            Self::Tar
        } else {
            Self::Other(infer::get(head).map(|kind| kind.mime_type()))
        }
    }

    /// Whether this is an ELF file that `target` cannot run.
    pub(crate) fn is_foreign_elf(self, target: &Target) -> bool {
        match self {
            Self::Elf { machine } => machine.is_none() || machine != target.elf_machine(),
            _ => false,
        }
    }

    /// In words, as what follows “is”.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Gzip => "a gzip archive".to_owned(),
            Self::Tar => "a tar archive".to_owned(),
            Self::Elf { machine: None } => "a damaged ELF file".to_owned(),
            Self::Elf {
                machine: Some(machine),
            } => match elf::to_str::e_machine_to_human_str(machine) {
                Some(name) => format!("an ELF file for {name}"),
                None => format!("an ELF file for machine number {machine}"),
            },
            Self::Script => "a script".to_owned(),
            Self::Other(Some(media_type)) => format!("of type {media_type}"),
            Self::Other(None) => "of an unknown type".to_owned(),
        }
    }
}

fn elf_machine(head: &[u8]) -> Option<u16> {
    let ident = head.get(..ELF_IDENT_BYTES)?;
    let ident = elf::file::parse_ident::<AnyEndian>(ident).ok()?;
    let tail = head.get(ELF_IDENT_BYTES..ELF_HEADER_BYTES)?;
    let header = FileHeader::parse_tail(ident, tail).ok()?;
    Some(header.e_machine)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The header of a 64-bit little-endian ELF file, and nothing else.
    pub(crate) fn elf_header(machine: u16) -> Vec<u8> {
        let mut header = vec![0; ELF_HEADER_BYTES];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        header[16] = 2;
        header[18..20].copy_from_slice(&machine.to_le_bytes());
        header[20] = 1;
        header
    }

    fn target(arch: &str) -> Target {
        Target {
            os: "linux".to_owned(),
            arch: arch.to_owned(),
        }
    }

    #[test]
    fn kinds_are_told_by_content() {
        let mut tar = vec![0; HEAD_BYTES];
        tar[257..262].copy_from_slice(b"ustar");
        let machine = Some(elf::abi::EM_X86_64);
        for (head, expected) in [
            (&b"\x1f\x8b\x08\x00"[..], Kind::Gzip),
            (&tar, Kind::Tar),
            (b"#!/bin/sh\n", Kind::Script),
            (&elf_header(elf::abi::EM_X86_64), Kind::Elf { machine }),
            (b"\x7fELF", Kind::Elf { machine: None }),
            (b"<!DOCTYPE html><html>", Kind::Other(Some("text/html"))),
            (b"PK\x03\x04zip", Kind::Other(Some("application/zip"))),
            (b"Too Many Requests", Kind::Other(None)),
            (b"", Kind::Other(None)),
        ] {
            assert_eq!(Kind::of(head), expected, "{head:?}");
        }
    }

    #[test]
    fn mach_o_is_not_a_program_that_we_know() {
        assert!(matches!(
            Kind::of(b"\xcf\xfa\xed\xfe\x07\x00\x00\x01\x03\x00\x00\x00"),
            Kind::Other(_)
        ));
    }

    #[test]
    fn elf_runs_on_its_own_architecture_only() {
        let amd64 = Kind::of(&elf_header(elf::abi::EM_X86_64));
        let arm64 = Kind::of(&elf_header(elf::abi::EM_AARCH64));
        let damaged = Kind::of(b"\x7fELF");
        for (kind, arch, foreign) in [
            (amd64, "amd64", false),
            (amd64, "arm64", true),
            (arm64, "arm64", false),
            (arm64, "amd64", true),
            (damaged, "amd64", true),
            (damaged, "riscv64", true),
            (Kind::Script, "amd64", false),
        ] {
            assert_eq!(
                kind.is_foreign_elf(&target(arch)),
                foreign,
                "{kind:?} {arch}"
            );
        }
    }
}
