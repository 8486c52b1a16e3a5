//! Archives as old and other archivers write them, byte by byte.

use super::*;

/// An entry, field by field.
struct Raw(Header);

impl Raw {
    fn new(kind: u8, path: &str, size: u64) -> Self {
        let mut header = Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(size);
        header.as_old_mut().linkflag = [kind];
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        Self(header)
    }

    fn file(kind: u8, path: &str) -> Self {
        Self::new(kind, path, SCRIPT.len() as u64)
    }

    /// Changes the bytes of the header from `place` on.
    fn with(mut self, place: usize, bytes: &[u8]) -> Self {
        self.0.as_mut_bytes()[place..place + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The bytes of the entry with `content`, padded.
    fn holding(mut self, content: &[u8]) -> Vec<u8> {
        self.0.set_cksum();
        self.into_bytes(content)
    }

    fn into_bytes(self, content: &[u8]) -> Vec<u8> {
        let mut bytes = [self.0.as_bytes(), content].concat();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

pub(super) fn records(records: &[(&str, &str)]) -> String {
    let record = |(key, value): &(&str, &str)| {
        let rest = key.len() + value.len() + 3;
        let digits = (1..9).find(|digits| (rest + digits).to_string().len() == *digits);
        format!("{} {key}={value}\n", rest + digits.unwrap())
    };
    records.iter().map(record).collect()
}

/// An extension header of the pax format.
fn pax(kind: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = records(pairs);
    Raw::new(kind, "PaxHeader", text.len() as u64).holding(text.as_bytes())
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

#[test]
fn every_dialect_of_a_regular_file_is_read() {
    let size = u8::try_from(SCRIPT.len()).unwrap();
    assert_reads_all(&[
        // Before POSIX.
        (
            "v7",
            vec![Raw::file(0, "backplane").with(257, &[0; 8]).holding(SCRIPT)],
        ),
        (
            "contiguous",
            vec![Raw::file(b'7', "backplane").holding(SCRIPT)],
        ),
        (
            "unknown",
            vec![Raw::file(b'Q', "backplane").holding(SCRIPT)],
        ),
        (
            "prefix",
            vec![
                Raw::file(b'0', "backplane")
                    .with(257, b"ustar\x0000")
                    .with(345, b"dist")
                    .holding(SCRIPT),
            ],
        ),
        (
            "prefix without a version",
            vec![
                Raw::file(b'0', "backplane")
                    .with(257, b"ustar\0\0\0")
                    .with(345, b"dist")
                    .holding(SCRIPT),
                // In another directory, and so not installed.
                Raw::file(b'0', "tunnel").holding(SCRIPT),
            ],
        ),
        (
            "binary size",
            vec![
                Raw::file(b'0', "backplane")
                    .with(124, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, size])
                    .holding(SCRIPT),
            ],
        ),
        (
            "size between spaces",
            vec![
                Raw::file(b'0', "backplane")
                    .with(124, b"        26 \0")
                    .holding(SCRIPT),
            ],
        ),
        (
            "label",
            vec![
                Raw::new(b'V', "release", 0)
                    .with(124, &[0; 12])
                    .holding(b""),
                Raw::file(b'0', "backplane").holding(SCRIPT),
            ],
        ),
        (
            "directories",
            vec![
                Raw::new(0, "dist/", 0).with(257, &[0; 8]).holding(b""),
                Raw::new(b'5', "dist/lib", 4096).holding(b""),
                Raw::new(b'D', "dist/", 600).holding(&[b'Y'; 600]),
                Raw::file(b'0', "dist/backplane").holding(SCRIPT),
            ],
        ),
        (
            "links with the size of what they lead to",
            vec![
                Raw::file(b'0', "backplane").holding(SCRIPT),
                Raw::new(b'2', "link", 9)
                    .with(157, b"backplane")
                    .holding(b""),
                Raw::new(b'1', "dist/hard", 9)
                    .with(157, b"backplane")
                    .holding(b""),
            ],
        ),
    ]);
}

#[test]
fn extension_headers_are_read_as_posix_says() {
    let size = SCRIPT.len().to_string();
    assert_reads_all(&[
        (
            "size in an extension",
            vec![
                pax(b'x', &[("size", "7"), ("size", &size)]),
                Raw::new(b'0', "backplane", 0).holding(SCRIPT),
            ],
        ),
        (
            "last path of an extension",
            vec![
                pax(
                    b'x',
                    &[
                        ("path", "wrong"),
                        ("comment", "\n\n11 path=x\n"),
                        ("path", "dist/backplane"),
                    ],
                ),
                Raw::file(b'0', "short").holding(SCRIPT),
            ],
        ),
        (
            "two extensions",
            vec![
                pax(b'x', &[("path", "dist/backplane")]),
                pax(b'x', &[("mtime", "1")]),
                Raw::file(b'0', "short").holding(SCRIPT),
            ],
        ),
        (
            "extension and long name",
            vec![
                Raw::new(b'L', "././@LongLink", 6).holding(b"wrong\0"),
                pax(b'x', &[("path", "dist/backplane")]),
                Raw::file(b'0', "short").holding(SCRIPT),
            ],
        ),
        (
            "Solaris",
            vec![
                pax(b'X', &[("path", "dist/backplane")]),
                Raw::file(b'0', "short").holding(SCRIPT),
            ],
        ),
        (
            "global extension",
            vec![
                pax(b'g', &[("comment", "0123"), ("path", "wrong")]),
                pax(b'x', &[("path", "dist/backplane")]),
                Raw::file(b'0', "short").holding(SCRIPT),
            ],
        ),
        (
            "global extension that is taken back",
            vec![
                pax(b'g', &[("path", "wrong")]),
                pax(b'x', &[("path", "")]),
                Raw::file(b'0', "backplane").holding(SCRIPT),
            ],
        ),
    ]);
}

/// Each of the archives must install the agent and nothing else.
fn assert_reads_all(archives: &[(&str, Vec<Vec<u8>>)]) {
    for (what, entries) in archives {
        let attempt = Attempt::new(&archive(entries));
        assert!(attempt.outcome.is_ok(), "{what}: {:?}", attempt.outcome);
        assert_eq!(attempt.installed(), [executable("backplane")], "{what}");
        assert_eq!(attempt.content("backplane"), SCRIPT, "{what}");
    }
}

#[test]
fn checksum_of_signed_bytes_is_accepted() {
    let mut entry = Raw::file(0, "\u{e9}backplane/backplane").with(257, &[0; 8]);
    entry.0.set_cksum();
    let unsigned = entry.0.cksum().unwrap();
    // Two bytes of the path are above 127.
    let signed = format!("{:06o}\0 ", unsigned - 2 * 256);
    for (checksum, is_accepted) in [
        (signed, true),
        (format!("{unsigned:06o}\0 "), true),
        (format!("{:06o}\0 ", unsigned - 1), false),
    ] {
        let entry = Raw(entry.0.clone()).with(148, checksum.as_bytes());
        let attempt = Attempt::new(&archive(&[entry.into_bytes(SCRIPT)]));
        assert_eq!(attempt.outcome.is_ok(), is_accepted, "{checksum}");
    }
}

#[test]
fn hard_link_is_the_file_that_it_names() {
    let link = |path: &str, target: &str| {
        Raw::new(b'1', path, 0)
            .with(157, target.as_bytes())
            .holding(b"")
    };
    let download = archive(&[
        Raw::file(b'0', "store/agent").holding(SCRIPT),
        Raw::new(b'0', "store/data", 5)
            .with(100, b"0000644")
            .holding(b"x = 1"),
        link("dist/backplane", "./store/agent"),
        link("dist/again", "dist/backplane"),
        link("dist/data", "store/data"),
        link("dist/itself", "dist/itself"),
        link("dist/passwd", "/etc/passwd"),
        link("dist/long", "wrong"),
    ]);
    let attempt = Attempt::new(&download);
    assert_eq!(
        attempt.installed(),
        [executable("again"), executable("backplane"), plain("data")]
    );
    assert_eq!(attempt.content("again"), SCRIPT);
    assert_eq!(attempt.content("data"), b"x = 1");
    assert_eq!(attempt.left_out, ["itself", "passwd", "long"]);
    // Extensions and long links name targets too.
    for before in [
        pax(b'x', &[("linkpath", "store/agent")]),
        Raw::new(b'K', "././@LongLink", 12).holding(b"store/agent\0"),
    ] {
        let attempt = Attempt::new(&archive(&[
            Raw::file(b'0', "store/agent").holding(SCRIPT),
            before,
            link("backplane", "short"),
        ]));
        assert_eq!(attempt.content("backplane"), SCRIPT);
    }
}

#[test]
fn copies_of_hard_links_count_as_unpacked() {
    let limits = Limits {
        max_unpacked_bytes: 100_000,
        ..Limits::default()
    };
    let mut entries =
        vec![Raw::new(b'0', "backplane", 30_000).holding(&[SCRIPT, &[b'#'; 29_974]].concat())];
    for (count, is_accepted) in [(2, true), (3, false)] {
        entries.truncate(1);
        entries.extend((0..count).map(|number| {
            Raw::new(b'1', &format!("link{number}"), 0)
                .with(157, b"backplane")
                .holding(b"")
        }));
        let attempt = Attempt::with_limits(&archive(&entries), &limits);
        assert_eq!(
            attempt.outcome.is_ok(),
            is_accepted,
            "{:?}",
            attempt.outcome
        );
    }
}

/// The map of a GNU header, from byte 386 on.
fn gnu_sparse(real_size: u64, stored: u64, chunks: &[(u64, u64)]) -> Raw {
    let map = chunks
        .iter()
        .map(|(offset, length)| format!("{offset:011o}\0{length:011o}\0"))
        .collect::<Vec<_>>()
        .concat();
    Raw::new(b'S', "sparse", stored)
        .with(386, map.as_bytes())
        .with(483, format!("{real_size:011o}\0").as_bytes())
}

fn pax_sparse(map: &str, real_size: &str, stored: &[u8]) -> Vec<u8> {
    [
        pax(
            b'x',
            &[("GNU.sparse.size", real_size), ("GNU.sparse.map", map)],
        ),
        Raw::new(b'0', "sparse", stored.len() as u64).holding(stored),
    ]
    .concat()
}

fn new_pax_sparse(map: &str, real_size: &str, stored: &[u8]) -> Vec<u8> {
    let mut content = map.as_bytes().to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    content.extend(stored);
    [
        pax(
            b'x',
            &[
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.minor", "0"),
                ("GNU.sparse.name", "sparse"),
                ("GNU.sparse.realsize", real_size),
            ],
        ),
        Raw::new(b'0', "GNUSparseFile.1/sparse", content.len() as u64).holding(&content),
    ]
    .concat()
}

#[test]
fn sparse_file_with_an_invalid_map_is_refused() {
    const HUGE: u64 = 0o77_777_777_777;
    let data = [b'x'; 512];
    for (number, sparse) in [
        // Out of order, overlapping, behind the end, more or less than is stored.
        gnu_sparse(2048, 512, &[(1024, 256), (0, 256)]).holding(&data),
        gnu_sparse(2048, 512, &[(0, 512), (256, 0)]).holding(&data),
        gnu_sparse(512, 512, &[(256, 512)]).holding(&data),
        gnu_sparse(2048, 512, &[(0, 1024)]).holding(&data),
        gnu_sparse(2048, 512, &[(0, 256)]).holding(&data),
        gnu_sparse(2048, 512, &[(0, 256), (512, 256)]).holding(&data),
        gnu_sparse(HUGE, 512, &[(HUGE, HUGE), (0, 0)]).holding(&data),
        gnu_sparse(2048, 512, &[(0, 512)])
            .with(386, b"x")
            .holding(&data),
        pax_sparse("0", "2048", &data),
        pax_sparse("0,512,", "2048", &data),
        pax_sparse("0,1024", "2048", &data),
        pax_sparse("18446744073709551615,512", "18446744073709551615", &data),
        new_pax_sparse("1\n0\n1024\n", "2048", &data),
        new_pax_sparse("1\n0\n-1\n", "2048", &data),
        new_pax_sparse("1\n0\n", "2048", &data),
        new_pax_sparse("2\n0\n512\n18446744073709551616\n0\n", "2048", &data),
        new_pax_sparse("\n", "2048", &data),
        new_pax_sparse("", "2048", &data),
    ]
    .into_iter()
    .enumerate()
    {
        let download = archive(&[Raw::file(b'0', "backplane").holding(SCRIPT), sparse]);
        let error = Attempt::new(&download).error();
        assert!(
            matches!(
                error,
                ArchiveError::Damaged {
                    damage: Damage::SparseMap
                }
            ),
            "{number}: {error:?}"
        );
    }
}

#[test]
fn what_cannot_be_unpacked_is_refused_by_name() {
    let agent = || Raw::file(b'0', "backplane").holding(SCRIPT);
    let file = || Raw::new(b'0', "sparse", 1).holding(b"x");
    let many = vec!["0,0"; 40_000].join(",");
    for entries in [
        vec![Raw::new(b'M', "sparse", 1).holding(b"x")],
        vec![
            Raw::new(b'S', "sparse", 1)
                .with(257, b"ustar\x0000")
                .holding(b"x"),
        ],
        vec![pax(b'x', &[("SCHILY.realsize", "9")]), file()],
        vec![pax(b'x', &[("SUN.holesdata", " 0 9")]), file()],
        vec![
            pax(
                b'x',
                &[("GNU.sparse.major", "2"), ("GNU.sparse.realsize", "9")],
            ),
            file(),
        ],
        vec![new_pax_sparse("4000000000\n", "9", b"")],
        vec![
            pax(b'x', &[("GNU.sparse.size", "9"), ("GNU.sparse.map", &many)]),
            file(),
        ],
    ] {
        let download = archive(&[vec![agent()], entries].concat());
        let error = Attempt::new(&download).error();
        assert!(
            matches!(&error, ArchiveError::Unsupported { path, .. } if path == "sparse"),
            "{error:?}"
        );
    }
}

#[test]
fn holes_count_as_unpacked() {
    const TERABYTE: u64 = 1 << 40;
    let size = TERABYTE.to_string();
    for sparse in [
        gnu_sparse(8 << 30, 0, &[(0, 0)]).holding(b""),
        pax_sparse("0,0", &size, b""),
        new_pax_sparse("0\n", &size, b""),
    ] {
        let error = Attempt::new(&archive(&[sparse])).error();
        assert!(matches!(error, ArchiveError::TooLarge), "{error:?}");
    }
    let limits = Limits {
        max_unpacked_bytes: 100_000,
        ..Limits::default()
    };
    let half = || pax_sparse("0,0", "60000", b"");
    let error = Attempt::with_limits(&archive(&[half(), half()]), &limits).error();
    assert!(matches!(error, ArchiveError::TooLarge), "{error:?}");
}

#[test]
fn endless_map_in_a_chain_of_headers_is_refused() {
    let mut block = [0; 512];
    for place in 0..21 {
        block[place * 24..][..24].copy_from_slice(b"00000000000\x0000000000000\0");
    }
    block[504] = 1;
    let sparse = gnu_sparse(0, 0, &[])
        .with(482, &[1])
        .holding(&block.repeat(5_000));
    let error = Attempt::new(&archive(&[sparse])).error();
    assert!(
        matches!(error, ArchiveError::Unsupported { .. }),
        "{error:?}"
    );
}

#[test]
fn malformed_extensions_are_refused() {
    for text in [
        "x",
        "99 path=a\n",
        "5 path\n",
        "9 path=ab",
        "-1 path=a\n",
        "12 size=many\n",
    ] {
        let download = archive(&[
            Raw::new(b'x', "PaxHeader", text.len() as u64).holding(text.as_bytes()),
            Raw::file(b'0', "backplane").holding(SCRIPT),
        ]);
        let error = Attempt::new(&download).error();
        assert!(
            matches!(
                error,
                ArchiveError::Damaged {
                    damage: Damage::ExtensionHeader
                }
            ),
            "{text}: {error:?}"
        );
    }
}

#[test]
fn memory_for_extensions_of_one_entry_is_bounded() {
    let header = pax(b'x', &vec![("GNU.sparse.offset", "0"); 10_000]);
    let error = Attempt::new(&archive(&vec![header; 20])).error();
    assert!(matches!(error, ArchiveError::PathTooLong), "{error:?}");
}

#[test]
fn memory_for_paths_is_bounded() {
    let entries: Vec<_> = (0..2_000)
        .flat_map(|number| {
            let path = format!("{number:04}/{}", "n".repeat(4_000));
            [
                Raw::new(b'L', "././@LongLink", path.len() as u64).holding(path.as_bytes()),
                Raw::new(b'0', "short", 0).holding(b""),
            ]
        })
        .collect();
    let error = Attempt::new(&archive(&entries)).error();
    assert!(matches!(error, ArchiveError::PathTooLong), "{error:?}");
}
