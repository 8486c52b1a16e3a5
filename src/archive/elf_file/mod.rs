//! A check that an ELF file is complete: nothing that its own tables name lies after its end.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use elf::abi::{PN_XNUM, PT_NULL, SHT_NOBITS, SHT_NULL};
use elf::endian::AnyEndian;
use elf::file::FileHeader;
use elf::parse::ParseAt;
use elf::section::SectionHeader;
use elf::segment::ProgramHeader;

use super::file_kind::elf_header;

/// A table of headers in the file.
struct Table {
    offset: u64,
    count: u64,
    entry_bytes: u16,
}

/// Whether the ELF file `file`, whose first bytes are `head`, is complete. Reads only its headers,
/// one at a time, because the numbers in them may be anything.
pub(super) fn is_complete(mut file: impl Read + Seek, head: &[u8]) -> io::Result<bool> {
    let Some(header) = elf_header(head) else {
        return Ok(false);
    };
    let end = file.seek(SeekFrom::End(0))?;
    let mut file = BufReader::new(file);
    let is_inside =
        |offset: u64, bytes: u64| offset.checked_add(bytes).is_some_and(|last| last <= end);

    let mut sections = Table {
        offset: header.e_shoff,
        count: header.e_shnum.into(),
        entry_bytes: header.e_shentsize,
    };
    let mut segments = Table {
        offset: header.e_phoff,
        count: header.e_phnum.into(),
        entry_bytes: header.e_phentsize,
    };
    // Numbers that are too large for the file's header are in the first section's
    // (https://gabi.xinuos.com/elf/02-eheader.html).
    if sections.offset != 0 && (sections.count == 0 || header.e_phnum == PN_XNUM) {
        let first = Table {
            count: 1,
            ..sections
        };
        let is_read = first.all(&mut file, &header, end, |section: SectionHeader| {
            if header.e_shnum == 0 {
                sections.count = section.sh_size;
            }
            if header.e_phnum == PN_XNUM {
                segments.count = section.sh_info.into();
            }
            true
        })?;
        if !is_read {
            return Ok(false);
        }
    }
    let has_segments = segments.all(&mut file, &header, end, |segment: ProgramHeader| {
        segment.p_type == PT_NULL
            || segment.p_filesz == 0
            || is_inside(segment.p_offset, segment.p_filesz)
    })?;
    let mut is_first = true;
    let has_sections = sections.all(&mut file, &header, end, |section: SectionHeader| {
        // The first one is always unused. If it is not, the table was moved.
        let is_in_place = !std::mem::take(&mut is_first) || section.sh_type == SHT_NULL;
        is_in_place
            && (matches!(section.sh_type, SHT_NULL | SHT_NOBITS)
                || is_inside(section.sh_offset, section.sh_size))
    })?;
    Ok(has_segments && has_sections)
}

impl Table {
    /// Whether the table lies before the `end` of the file, and all its headers are sound, read one
    /// after the other.
    fn all<T: ParseAt>(
        &self,
        file: &mut BufReader<impl Read + Seek>,
        header: &FileHeader<AnyEndian>,
        end: u64,
        mut is_sound: impl FnMut(T) -> bool,
    ) -> io::Result<bool> {
        if self.offset == 0 || self.count == 0 {
            return Ok(true);
        }
        let table_end = self
            .count
            .checked_mul(self.entry_bytes.into())
            .and_then(|bytes| bytes.checked_add(self.offset));
        if usize::from(self.entry_bytes) < T::size_for(header.class)
            || table_end.is_none_or(|last| last > end)
        {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = vec![0; self.entry_bytes.into()];
        for _ in 0..self.count {
            file.read_exact(&mut bytes)?;
            let entry = T::parse_at(header.endianness, header.class, &mut 0, &bytes);
            if !entry.is_ok_and(&mut is_sound) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
