//! ELF files that are whole, cut off, moved and hostile.

use std::io::Cursor;

use super::*;

/// The class and the byte order of an ELF file.
#[derive(Clone, Copy, Debug)]
struct Form {
    is_64: bool,
    is_little: bool,
}

fn forms() -> [Form; 4] {
    [(true, true), (true, false), (false, true), (false, false)]
        .map(|(is_64, is_little)| Form { is_64, is_little })
}

impl Form {
    /// Fields of so many bytes each, one after the other; zero stands for the size of an address.
    fn fields(self, fields: &[(usize, u64)]) -> Vec<u8> {
        let bytes = |(bytes, number): &(usize, u64)| {
            let bytes = match bytes {
                0 if self.is_64 => 8,
                0 => 4,
                bytes => *bytes,
            };
            let mut digits = number.to_le_bytes()[..bytes].to_vec();
            if !self.is_little {
                digits.reverse();
            }
            digits
        };
        fields.iter().flat_map(bytes).collect()
    }

    fn header_bytes(self) -> u64 {
        if self.is_64 { 64 } else { 52 }
    }

    fn segment_bytes(self) -> u64 {
        if self.is_64 { 56 } else { 32 }
    }

    fn section_bytes(self) -> u64 {
        if self.is_64 { 64 } else { 40 }
    }

    /// A header with the offsets of the two tables and the numbers of their entries.
    fn header(self, segments: (u64, u64), sections: (u64, u64)) -> Vec<u8> {
        let class = if self.is_64 { 2 } else { 1 };
        let order = if self.is_little { 1 } else { 2 };
        let mut ident = vec![0x7f, b'E', b'L', b'F', class, order, 1];
        ident.resize(16, 0);
        let fields = [
            (2, 2),
            (2, 62),
            (4, 1),
            (0, 0),
            (0, segments.0),
            (0, sections.0),
            (4, 0),
            (2, self.header_bytes()),
            (2, self.segment_bytes()),
            (2, segments.1),
            (2, self.section_bytes()),
            (2, sections.1),
            (2, 0),
        ];
        [ident, self.fields(&fields)].concat()
    }

    fn segment(self, kind: u64, offset: u64, bytes: u64) -> Vec<u8> {
        let addresses = [(0, offset), (0, 0), (0, 0), (0, bytes), (0, 0)];
        if self.is_64 {
            self.fields(&[&[(4, kind), (4, 5)], &addresses[..], &[(0, 0)]].concat())
        } else {
            self.fields(&[&[(4, kind)], &addresses[..], &[(4, 5), (0, 0)]].concat())
        }
    }

    fn section(self, kind: u64, offset: u64, bytes: u64, info: u64) -> Vec<u8> {
        let start = [(4, 0), (4, kind), (0, 0), (0, 0), (0, offset), (0, bytes)];
        let end = [(4, 0), (4, info), (0, 0), (0, 0)];
        self.fields(&[&start[..], &end].concat())
    }

    /// A file with a segment, its content, and behind it a section table that ends with
    /// `last_section`.
    fn file(self, last_section: &[u8]) -> Vec<u8> {
        let content = self.header_bytes() + self.segment_bytes();
        let table = content + 100;
        [
            self.header((self.header_bytes(), 1), (table, 3)),
            self.segment(1, 0, table),
            vec![0xc3; 100],
            self.section(0, 0, 0, 0),
            self.section(1, content, 100, 0),
            last_section.to_vec(),
        ]
        .concat()
    }
}

fn is_whole(file: &[u8]) -> bool {
    is_complete(Cursor::new(file), &file[..file.len().min(512)]).unwrap()
}

#[test]
fn every_cut_of_a_file_is_noticed() {
    for form in forms() {
        // A section that is only in memory may lie anywhere.
        let file = form.file(&form.section(8, u64::MAX, u64::MAX, 0));
        assert!(is_whole(&file), "{form:?}");
        for length in 0..file.len() {
            assert!(!is_whole(&file[..length]), "{form:?} {length}");
        }
        let longer = [&file[..], b"appended"].concat();
        assert!(is_whole(&longer), "{form:?}");
    }
}

#[test]
fn segments_sections_and_tables_count_alike() {
    for form in forms() {
        let start = form.header_bytes();
        let end = start + 2 * form.segment_bytes();
        for (segment, expected) in [
            (form.segment(1, end - 8, 8), true),
            (form.segment(1, end - 8, 9), false),
            (form.segment(1, end + 1, 1), false),
            (form.segment(1, 8, u64::MAX), false),
            (form.segment(1, u64::MAX, u64::MAX), false),
            // Without a size, a segment may begin anywhere; an unused one may be anything.
            (form.segment(0x6474_e551, u64::MAX, 0), true),
            (form.segment(0, end - 8, 9), true),
        ] {
            let header = form.header((start, 2), (0, 0));
            let file = [&header, &form.segment(1, 0, start)[..], &segment].concat();
            assert_eq!(is_whole(&file), expected, "{form:?} {segment:?}");
        }
        for (section, expected) in [
            (form.section(1, 0, 10, 0), true),
            (form.section(1, 0, 100_000, 0), false),
            (form.section(3, u64::MAX, 1, 0), false),
            (form.section(1, u64::MAX, u64::MAX, 0), false),
            (form.section(0, u64::MAX, 1, 0), true),
        ] {
            let file = form.file(&section);
            assert_eq!(is_whole(&file), expected, "{form:?} {section:?}");
        }
    }
}

#[test]
fn numbers_of_the_extended_form_are_read() {
    for form in forms() {
        let table = form.header_bytes();
        for (sections, segments, expected) in [
            (2, 2, true),
            (2, 3, false),
            (1 << 30, 2, false),
            (2, u64::from(u32::MAX), false),
            // Without its upper half, this is 2.
            (u64::MAX - (1 << 32) + 3, 2, !form.is_64),
        ] {
            let file = [
                form.header((table + 2 * form.section_bytes(), 0xffff), (table, 0)),
                form.section(0, 0, sections, segments),
                form.section(1, 0, 10, 0),
                form.segment(1, 0, table).repeat(2),
            ];
            let is_whole = is_whole(&file.concat());
            assert_eq!(is_whole, expected, "{form:?} {sections} {segments}");
        }
    }
}

#[test]
fn hostile_tables_are_no_reason_to_panic() {
    for form in forms() {
        for offset in [60, 0xffff, u64::MAX] {
            for (segments, sections) in [((offset, 3), (0, 0)), ((0, 0), (offset, 0))] {
                let file = form.header(segments, sections);
                assert!(!is_whole(&file), "{form:?} {offset}");
            }
        }
        // Entries that are shorter than they can be.
        let mut file = form.file(&form.section(1, 0, 10, 0));
        let offset = if form.is_64 { 54 } else { 42 };
        file[offset..offset + 2].fill(0);
        assert!(!is_whole(&file), "{form:?}");
    }
}

#[test]
fn real_program_is_complete_until_its_line_endings_are_converted() {
    // Large enough to have line endings of both kinds, which a shell may not have.
    let program = fs_err::read(std::env::current_exe().unwrap()).unwrap();
    assert!(is_whole(&program));
    let lines: Vec<_> = program.split(|byte| *byte == b'\n').collect();
    assert!(!is_whole(&lines.join(&b"\r\n"[..])));
    let without_cr = |line: &&[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    let lines: Vec<_> = lines.iter().map(without_cr).collect();
    assert!(!is_whole(&lines.join(&b'\n')));
}
