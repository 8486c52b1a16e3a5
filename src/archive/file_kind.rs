//! The kind of a file, by its content: names and media types may be wrong.

use elf::endian::AnyEndian;
use elf::file::FileHeader;
use tar::Header;

use super::gunzip;
use crate::target::Target;

/// The bytes at the beginning of a file that decide its kind: a tar header.
pub(crate) const HEAD_BYTES: usize = 512;

/// The length of an ELF file's identification, and of the longest header
/// ([ELF header](https://gabi.xinuos.com/elf/02-eheader.html)).
const ELF_IDENT_BYTES: usize = 16;
const ELF_HEADER_BYTES: usize = 64;

/// The beginning of a Git LFS pointer
/// ([specification](https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The kind of a file, as far as an installation needs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FileKind {
    /// A gzip stream.
    Gzip,
    /// A tar archive.
    Tar,
    /// An ELF file, with its machine number; `None`: its header is damaged.
    Elf { machine: Option<u16> },
    /// A script that names its interpreter.
    Script,
    /// A script that no kernel can run.
    MangledScript(Mangling),
    /// What Git LFS keeps in the repository instead of a file.
    LfsPointer,
    /// Any other text.
    Text,
    /// No content.
    Empty,
    /// Any other content, with its media type if that is known.
    Other(Option<&'static str>),
}

/// A change of a script's first line by an editor or by Git.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mangling {
    /// Its lines end with CR and LF.
    LineEndings,
    /// It begins with a byte-order mark.
    ByteOrderMark,
}

impl FileKind {
    /// The kind of the file that begins with `head`.
    pub(crate) fn of(head: &[u8]) -> Self {
        if head.starts_with(gunzip::MAGIC) {
            Self::Gzip
        } else if head.starts_with(b"\x7fELF") {
            Self::Elf {
                machine: elf_header(head).map(|header| header.e_machine),
            }
        } else if is_tar(head) {
            Self::Tar
        } else if head.starts_with(b"#!") {
            let line = head.split(|byte| *byte == b'\n').next();
            if line.is_some_and(|line| line.contains(&b'\r')) {
                Self::MangledScript(Mangling::LineEndings)
            } else {
                Self::Script
            }
        } else if head.starts_with(&[BYTE_ORDER_MARK, b"#!"].concat()) {
            Self::MangledScript(Mangling::ByteOrderMark)
        } else if head.get(257..262) == Some(b"ustar") {
            // Its checksum is wrong.
            Self::Tar
        } else if head.starts_with(LFS_POINTER) {
            Self::LfsPointer
        } else if let Some(kind) = infer::get(head) {
            Self::Other(Some(kind.mime_type()))
        } else if head.is_empty() {
            Self::Empty
        } else if is_text(head) {
            Self::Text
        } else {
            Self::Other(None)
        }
    }

    /// Whether it is meant to be run.
    pub(crate) fn is_program(self) -> bool {
        matches!(
            self,
            Self::Elf { .. } | Self::Script | Self::MangledScript(_)
        )
    }

    /// Whether it is a binary format that nothing here unpacks, unlike a page of a web server.
    pub(crate) fn is_foreign_format(self) -> bool {
        matches!(self, Self::Other(Some(media_type)) if media_type.starts_with("application/"))
    }

    /// Whether this is an ELF file that `target` cannot run.
    pub(crate) fn is_foreign_elf(self, target: &Target) -> bool {
        match self {
            Self::Elf { machine } => machine.is_none() || machine != target.elf_machine(),
            _ => false,
        }
    }
}

/// The header of the ELF file that begins with `head`, unless it is damaged.
pub(crate) fn elf_header(head: &[u8]) -> Option<FileHeader<AnyEndian>> {
    let ident = head.get(..ELF_IDENT_BYTES)?;
    let ident = elf::file::parse_ident::<AnyEndian>(ident).ok()?;
    let tail = &head[ELF_IDENT_BYTES..head.len().min(ELF_HEADER_BYTES)];
    FileHeader::parse_tail(ident, tail).ok()
}

/// Whether `head` is the header of a tar archive; those before POSIX have no magic number.
fn is_tar(head: &[u8]) -> bool {
    head.len() == HEAD_BYTES && has_valid_checksum(Header::from_byte_slice(head))
}

/// Whether `header` has its own checksum: the sum of its bytes, which old archivers took as signed
/// numbers.
pub(crate) fn has_valid_checksum(header: &Header) -> bool {
    let Ok(expected) = header.cksum() else {
        return false;
    };
    let bytes = header.as_bytes();
    let counted = || bytes[..148].iter().chain(b"        ").chain(&bytes[156..]);
    let unsigned: u32 = counted().map(|byte| u32::from(*byte)).sum();
    let signed: i32 = counted().map(|byte| i32::from(byte.cast_signed())).sum();
    expected == unsigned || i64::from(expected) == i64::from(signed)
}

fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head ends within a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text
        .chars()
        .any(|character| character.is_control() && !character.is_whitespace())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::release::tests::target;

    /// The header of a 64-bit little-endian ELF file, and nothing else.
    pub(crate) fn elf_header(machine: u16) -> Vec<u8> {
        let mut header = vec![0; ELF_HEADER_BYTES];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        header[16] = 2;
        header[18..20].copy_from_slice(&machine.to_le_bytes());
        header[20] = 1;
        header
    }

    #[test]
    fn kind_is_decided_by_content() {
        let mut tar = vec![0; HEAD_BYTES];
        tar[257..262].copy_from_slice(b"ustar");
        let mut old = Header::new_old();
        old.set_path("backplane").unwrap();
        old.set_size(0);
        old.set_cksum();
        let elf = |machine| FileKind::Elf { machine };
        let crlf = FileKind::MangledScript(Mangling::LineEndings);
        let mark = FileKind::MangledScript(Mangling::ByteOrderMark);
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
        let mach_o = b"\xcf\xfa\xed\xfe\x07\x00\x00\x01\x03\x00\x00\x00";
        let program = elf_header(elf::abi::EM_X86_64);
        let mut small = vec![0; 52];
        small[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
        small[18] = 40;
        for (head, expected) in [
            (&b"\x1f\x8b\x08\x00"[..], FileKind::Gzip),
            (&tar, FileKind::Tar),
            (old.as_bytes(), FileKind::Tar),
            (b"#!/bin/sh\n", FileKind::Script),
            (b"#!/bin/sh", FileKind::Script),
            (b"#!/bin/sh\nprintf '\r'\n", FileKind::Script),
            (b"#!/bin/sh\r\nexec\r\n", crlf),
            (b"#!/bin/sh\rexec\r", crlf),
            (b"\xef\xbb\xbf#!/bin/sh\n", mark),
            (pointer, FileKind::LfsPointer),
            (&program, elf(Some(elf::abi::EM_X86_64))),
            (&program[..63], elf(None)),
            (&small, elf(Some(elf::abi::EM_ARM))),
            (&small[..51], elf(None)),
            (b"\x7fELF", elf(None)),
            (mach_o, FileKind::Other(Some("application/x-mach-binary"))),
            (b"<!DOCTYPE html><html>", FileKind::Other(Some("text/html"))),
            (b"PK\x03\x04zip", FileKind::Other(Some("application/zip"))),
            (b"Too Many Requests", FileKind::Text),
            ("é".repeat(300)[..].as_bytes(), FileKind::Text),
            (&"é".as_bytes()[..1], FileKind::Text),
            (b"\x80\x81", FileKind::Other(None)),
            (b"a\0b", FileKind::Other(None)),
            (b"", FileKind::Empty),
        ] {
            assert_eq!(FileKind::of(head), expected, "{head:?}");
        }
        for length in 0..program.len() {
            assert!(super::elf_header(&program[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn elf_runs_on_its_own_architecture_only() {
        let amd64 = Some(elf::abi::EM_X86_64);
        let arm64 = Some(elf::abi::EM_AARCH64);
        for (machine, arch, is_foreign) in [
            (amd64, "amd64", false),
            (amd64, "arm64", true),
            (arm64, "arm64", false),
            (arm64, "amd64", true),
            (None, "amd64", true),
            (None, "riscv64", true),
        ] {
            let kind = FileKind::Elf { machine };
            assert_eq!(kind.is_foreign_elf(&target(arch)), is_foreign, "{kind:?}");
        }
        assert!(!FileKind::Script.is_foreign_elf(&target("amd64")));
    }
}
