//! ELF files that are whole, cut off, moved and hostile.

use std::array;
use std::io::Cursor;

use super::*;

/// What the tables of an ELF file are made of, in each class and byte order.
#[derive(Clone, Copy, Debug)]
struct Form {
    is_64: bool,
    is_little: bool,
}

const FORMS: [Form; 4] = [
    Form {
        is_64: true,
        is_little: true,
    },
    Form {
        is_64: true,
        is_little: false,
    },
    Form {
        is_64: false,
        is_little: true,
    },
    Form {
        is_64: false,
        is_little: false,
    },
];

impl Form {
    fn number(self, bytes: usize, number: u64) -> Vec<u8> {
        let mut digits = number.to_le_bytes()[..bytes].to_vec();
        if !self.is_little {
            digits.reverse();
        }
        digits
    }

    /// A field that is as long as an address.
    fn word(self, number: u64) -> Vec<u8> {
        self.number(if self.is_64 { 8 } else { 4 }, number)
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

    fn header(self, segments: (u64, u64), sections: (u64, u64)) -> Vec<u8> {
        let class = if self.is_64 { 2 } else { 1 };
        let order = if self.is_little { 1 } else { 2 };
        let mut ident = vec![0; 16];
        ident[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order, 1]);
        [
            ident,
            self.number(2, 2),
            self.number(2, 62),
            self.number(4, 1),
            self.word(0),
            self.word(segments.0),
            self.word(sections.0),
            self.number(4, 0),
            self.number(2, self.header_bytes()),
            self.number(2, self.segment_bytes()),
            self.number(2, segments.1),
            self.number(2, self.section_bytes()),
            self.number(2, sections.1),
            self.number(2, 0),
        ]
        .concat()
    }

    fn segment(self, kind: u64, offset: u64, bytes: u64) -> Vec<u8> {
        let kind = self.number(4, kind);
        let flags = self.number(4, 5);
        let [offset, address, bytes] = [offset, 0, bytes].map(|number| self.word(number));
        let addresses = [address.clone(), address.clone()].concat();
        if self.is_64 {
            [
                kind,
                flags,
                offset,
                addresses,
                bytes,
                address.clone(),
                address,
            ]
            .concat()
        } else {
            [
                kind,
                offset,
                addresses,
                bytes,
                address.clone(),
                flags,
                address,
            ]
            .concat()
        }
    }

    fn section(self, kind: u64, offset: u64, bytes: u64, info: u64) -> Vec<u8> {
        [
            self.number(4, 0),
            self.number(4, kind),
            self.word(0),
            self.word(0),
            self.word(offset),
            self.word(bytes),
            self.number(4, 0),
            self.number(4, info),
            self.word(0),
            self.word(0),
        ]
        .concat()
    }

    /// A file with a segment, its content, and behind it a section table whose last section is
    /// `section`.
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

fn whole(file: &[u8]) -> bool {
    is_complete(Cursor::new(file), &file[..file.len().min(512)]).unwrap()
}

#[test]
fn every_cut_of_a_file_is_noticed() {
    for form in FORMS {
        // The section of what is only in memory may lie anywhere.
        let file = form.file(&form.section(8, u64::MAX, u64::MAX, 0));
        assert!(whole(&file), "{form:?}");
        for length in 0..file.len() {
            assert!(!whole(&file[..length]), "{form:?} {length}");
        }
        let longer = [&file[..], b"appended"].concat();
        assert!(whole(&longer), "{form:?}");
    }
}

#[test]
fn segments_sections_and_tables_count_alike() {
    for form in FORMS {
        let start = form.header_bytes();
        let no_sections = [
            form.header((start, 2), (0, 0)),
            form.segment(1, 0, start),
            // Without a size, a segment may begin anywhere; an unused one may be anything.
            form.segment(0x6474_e551, u64::MAX, 0),
        ]
        .concat();
        assert!(whole(&no_sections), "{form:?}");
        let end = no_sections.len() as u64;
        for (segment, expected) in [
            (form.segment(1, end - 8, 8), true),
            (form.segment(1, end - 8, 9), false),
            (form.segment(0, end - 8, 9), true),
            (form.segment(1, end + 1, 1), false),
            (form.segment(1, 8, u64::MAX), false),
            (form.segment(1, u64::MAX, u64::MAX), false),
        ] {
            let mut file = no_sections.clone();
            let place = usize::try_from(start + form.segment_bytes()).unwrap();
            file[place..].copy_from_slice(&segment);
            assert_eq!(whole(&file), expected, "{form:?} {segment:?}");
        }
        for (section, expected) in [
            (form.section(1, 0, 10, 0), true),
            (form.section(1, 0, 100_000, 0), false),
            (form.section(3, u64::MAX, 1, 0), false),
            (form.section(1, u64::MAX, u64::MAX, 0), false),
            (form.section(0, u64::MAX, 1, 0), true),
        ] {
            let file = form.file(&section);
            assert_eq!(whole(&file), expected, "{form:?} {section:?}");
        }
    }
}

#[test]
fn numbers_of_the_extended_form_are_read() {
    for form in FORMS {
        let file = |sections: u64, segments: u64| {
            let table = form.header_bytes();
            let entry = form.segment(1, 0, form.header_bytes());
            [
                form.header((table + 2 * form.section_bytes(), 0xffff), (table, 0)),
                form.section(0, 0, sections, segments),
                form.section(1, 0, 10, 0),
                entry.clone(),
                entry,
            ]
            .concat()
        };
        assert!(whole(&file(2, 2)), "{form:?}");
        for (sections, segments) in [(2, 3), (1 << 30, 2), (2, u64::from(u32::MAX))] {
            assert!(!whole(&file(sections, segments)), "{form:?}");
        }
        if form.is_64 {
            assert!(!whole(&file(u64::MAX, 2)));
        }
    }
}

#[test]
fn hostile_tables_are_no_reason_to_panic() {
    for form in FORMS {
        for offset in [60, 0xffff, u64::MAX] {
            for (segments, sections) in [((offset, 3), (0, 0)), ((0, 0), (offset, 0))] {
                assert!(
                    !whole(&form.header(segments, sections)),
                    "{form:?} {offset}"
                );
            }
        }
        // Entries that are shorter than they can be.
        let mut file = form.file(&form.section(1, 0, 10, 0));
        let place = if form.is_64 { 54 } else { 42 };
        file[place..place + 2].fill(0);
        assert!(!whole(&file), "{form:?}");
    }
}

#[test]
fn real_program_is_complete_until_it_is_cut_or_converted() {
    let program = fs_err::read("/bin/sh").unwrap();
    assert!(whole(&program));
    let cuts: [usize; 4] = array::from_fn(|tenths| program.len() * (2 * tenths + 3) / 10);
    for length in cuts.into_iter().chain([program.len() - 1]) {
        assert!(!whole(&program[..length]), "{length}");
    }
    let mut converted = Vec::with_capacity(program.len() * 2);
    for byte in &program {
        if *byte == b'\n' {
            converted.push(b'\r');
        }
        converted.push(*byte);
    }
    assert!(!whole(&converted));
    let mut converted_back = Vec::with_capacity(program.len());
    for (place, byte) in program.iter().enumerate() {
        if *byte != b'\r' || program.get(place + 1) != Some(&b'\n') {
            converted_back.push(*byte);
        }
    }
    assert!(!whole(&converted_back));
}
