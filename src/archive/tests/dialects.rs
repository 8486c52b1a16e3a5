//! Entries as old and uncommon archivers write them, byte by byte.

use super::*;

pub(super) fn records(records: &[(&str, &str)]) -> String {
    let record = |(key, value): &(&str, &str)| {
        let rest = key.len() + value.len() + 3;
        let digits = (1..9).find(|digits| (rest + digits).to_string().len() == *digits);
        format!("{} {key}={value}\n", rest + digits.unwrap())
    };
    records.iter().map(record).collect()
}

/// An extension header of the pax format.
pub(super) fn pax(kind: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = records(pairs);
    Raw::new(kind, b"PaxHeader", text.len() as u64).holding(text.as_bytes())
}

/// Only the agent must be installed from an archive of these entries.
#[track_caller]
fn assert_read(what: &str, entries: &[Vec<u8>]) {
    let attempt = Attempt::new(&archive(entries));
    assert!(attempt.outcome.is_ok(), "{what}: {:?}", attempt.outcome);
    assert_eq!(attempt.installed(), [executable("backplane")], "{what}");
    assert_eq!(attempt.content("backplane"), SCRIPT, "{what}");
}

/// An entry with the content of the agent.
fn script(kind: u8, path: &str) -> Raw {
    Raw::new(kind, path.as_bytes(), SCRIPT.len() as u64)
}

#[test]
fn every_dialect_of_a_regular_file_is_read() {
    let entry = |kind, offset, field: &[u8]| {
        let raw = script(kind, "backplane").with(offset, field);
        [raw.holding(SCRIPT)]
    };
    // Before POSIX.
    assert_read("v7", &entry(0, 257, &[0; 8]));
    assert_read("contiguous", &entry(b'7', 0, b""));
    assert_read("unknown", &entry(b'Q', 0, b""));
    let mut binary = [0; 12];
    binary[0] = 0x80;
    binary[11] = u8::try_from(SCRIPT.len()).unwrap();
    assert_read("binary size", &entry(b'0', 124, &binary));
    let spaces = b"        26 \0";
    assert_read("size between spaces", &entry(b'0', 124, spaces));
    for version in [&b"ustar\x0000"[..], b"ustar\0\0\0"] {
        let raw = script(b'0', "backplane").with(257, version);
        let prefixed = raw.with(345, b"dist").holding(SCRIPT);
        // It is in another directory, and so not installed.
        let other = script(b'0', "tunnel").holding(SCRIPT);
        assert_read("prefix", &[prefixed, other]);
    }
    let label = Raw::new(b'V', b"release", 0).with(124, &[0; 12]);
    assert_read("label", &[label.holding(b""), agent()]);
    let directories = [
        Raw::new(0, b"dist/v7/", 0).with(257, &[0; 8]).holding(b""),
        Raw::new(b'5', b"dist/lib", 4096).holding(b""),
        Raw::new(b'D', b"dist/list", 600).holding(&[b'Y'; 600]),
        agent_at("dist/backplane"),
    ];
    assert_read("directories", &directories);
    // Links have the size of what they lead to.
    let sized_link = |kind, path: &[u8]| Raw::new(kind, path, 9).with(157, b"backplane");
    let soft = sized_link(b'2', b"link").holding(b"");
    let hard = sized_link(b'1', b"dist/hard").holding(b"");
    assert_read("links with a size", &[agent(), soft, hard]);
}

#[test]
fn extension_headers_are_read_as_posix_specifies() {
    let path = |kind, path| pax(kind, &[("path", path)]);
    let in_dist = |kind| path(kind, "dist/backplane");
    let short = || script(b'0', "short").holding(SCRIPT);

    let size = SCRIPT.len().to_string();
    let sizes = pax(b'x', &[("size", "7"), ("size", &size)]);
    let unsized_agent = Raw::new(b'0', b"backplane", 0).holding(SCRIPT);
    assert_read("size", &[sizes, unsized_agent]);
    let paths = [
        ("path", "wrong"),
        ("comment", "\n\n11 path=x\n"),
        ("path", "dist/backplane"),
    ];
    assert_read("last path of several", &[pax(b'x', &paths), short()]);
    let time = pax(b'x', &[("mtime", "1")]);
    assert_read("two extensions", &[in_dist(b'x'), time, short()]);
    let wrong_name = long_name(b'L', b"wrong\0");
    assert_read("and a long name", &[wrong_name, in_dist(b'x'), short()]);
    assert_read("Solaris", &[in_dist(b'X'), short()]);
    let global = pax(b'g', &[("comment", "0123"), ("path", "wrong")]);
    assert_read("global", &[global, in_dist(b'x'), short()]);
    let taken_back = [path(b'g', "wrong"), path(b'x', ""), agent()];
    assert_read("global, taken back", &taken_back);

    // Extensions and long names are for the targets of links too.
    for target in [
        pax(b'x', &[("linkpath", "store/agent")]),
        long_name(b'K', b"store/agent\0"),
    ] {
        let hard = link(b'1', "backplane", "short");
        assert_read("target", &[agent_at("store/agent"), target, hard]);
    }
}

#[test]
fn checksum_of_signed_bytes_is_accepted() {
    let mut entry = script(0, "\u{e9}backplane/backplane").with(257, &[0; 8]);
    entry.0.set_cksum();
    let unsigned = entry.0.cksum().unwrap();
    // Two bytes of the path are above 127.
    let signed = unsigned - 2 * 256;
    for (checksum, is_accepted) in [(signed, true), (unsigned, true), (unsigned - 1, false)] {
        let checksum = format!("{checksum:06o}\0 ");
        let entry = Raw(entry.0.clone()).with(148, checksum.as_bytes());
        let attempt = Attempt::new(&archive(&[entry.into_bytes(SCRIPT)]));
        assert_eq!(attempt.outcome.is_ok(), is_accepted, "{checksum}");
    }
}

#[test]
fn hard_link_is_the_file_that_it_names() {
    let attempt = Attempt::new(&archive(&[
        agent_at("store/agent"),
        file("store/data", 0o644, b"x = 1"),
        link(b'1', "dist/backplane", "./store/agent"),
        link(b'1', "dist/again", "dist/backplane"),
        link(b'1', "dist/data", "store/data"),
        link(b'1', "dist/itself", "dist/itself"),
        link(b'1', "dist/passwd", "/etc/passwd"),
    ]));
    let expected = [executable("again"), executable("backplane"), plain("data")];
    assert_eq!(attempt.installed(), expected);
    assert_eq!(attempt.content("again"), SCRIPT);
    assert_eq!(attempt.content("data"), b"x = 1");
    assert_eq!(attempt.unpacked().left_out, ["itself", "passwd"]);
}

/// A sparse file with a map in its GNU header, from byte 386 on.
fn gnu_sparse(real_size: u64, stored: u64, chunks: &[(u64, u64)]) -> Raw {
    let chunk = |(offset, length): &(u64, u64)| format!("{offset:011o}\0{length:011o}\0");
    let map = chunks.iter().map(chunk).collect::<String>();
    Raw::new(b'S', b"sparse", stored)
        .with(386, map.as_bytes())
        .with(483, format!("{real_size:011o}\0").as_bytes())
}

/// A sparse file with a map in its extension header.
pub(super) fn pax_sparse(map: &str, real_size: &str, stored: &[u8]) -> Vec<u8> {
    let pairs = [("GNU.sparse.size", real_size), ("GNU.sparse.map", map)];
    [pax(b'x', &pairs), file("sparse", 0o755, stored)].concat()
}

/// A sparse file with a map before its content.
fn new_pax_sparse(map: &str, real_size: &str, stored: &[u8]) -> Vec<u8> {
    let mut content = map.as_bytes().to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    content.extend(stored);
    let pairs = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "sparse"),
        ("GNU.sparse.realsize", real_size),
    ];
    let entry = file("GNUSparseFile.1/sparse", 0o755, &content);
    [pax(b'x', &pairs), entry].concat()
}

#[test]
fn sparse_file_with_an_invalid_map_is_refused() {
    const HUGE: u64 = 0o77_777_777_777;
    let data = [b'x'; 512];
    let gnu = |size, chunks: &[(u64, u64)]| gnu_sparse(size, 512, chunks).holding(&data);
    let old = |map, size| pax_sparse(map, size, &data);
    let new = |map| new_pax_sparse(map, "2048", &data);
    let maps = [
        // Out of order, overlapping, behind the end, more or less than is stored.
        gnu(2048, &[(1024, 256), (0, 256)]),
        gnu(2048, &[(0, 512), (256, 0)]),
        gnu(512, &[(256, 512)]),
        gnu(2048, &[(0, 1024)]),
        gnu(2048, &[(0, 256)]),
        gnu(2048, &[(0, 256), (512, 256)]),
        gnu(HUGE, &[(HUGE, HUGE), (0, 0)]),
        gnu_sparse(2048, 512, &[(0, 512)])
            .with(386, b"x")
            .holding(&data),
        old("0", "2048"),
        old("0,512,", "2048"),
        old("0,1024", "2048"),
        old("18446744073709551615,512", "18446744073709551615"),
        new("1\n0\n1024\n"),
        new("1\n0\n-1\n"),
        new("1\n0\n"),
        new("2\n0\n512\n18446744073709551616\n0\n"),
        new("\n"),
        new(""),
    ];
    assert_refused(maps.map(|sparse| (archive(&[agent(), sparse]), "Damaged(SparseMap)")));
}

#[test]
fn entry_that_cannot_be_unpacked_is_refused_by_name() {
    let with = |pairs: &[(&str, &str)]| [pax(b'x', pairs), file("sparse", 0o755, b"x")].concat();
    let many = vec!["0,0"; 40_000].join(",");
    let mut block = [0; 512];
    for index in 0..21 {
        block[index * 24..][..24].copy_from_slice(b"00000000000\x0000000000000\0");
    }
    block[504] = 1;
    let entries = [
        Raw::new(b'M', b"sparse", 1).holding(b"x"),
        Raw::new(b'S', b"sparse", 1)
            .with(257, b"ustar\x0000")
            .holding(b"x"),
        with(&[("SCHILY.realsize", "9")]),
        with(&[("SUN.holesdata", " 0 9")]),
        with(&[("GNU.sparse.major", "2"), ("GNU.sparse.realsize", "9")]),
        with(&[("GNU.sparse.size", "9"), ("GNU.sparse.map", &many)]),
        new_pax_sparse("4000000000\n", "9", b""),
        // An endless chain of headers.
        gnu_sparse(0, 0, &[])
            .with(482, &[1])
            .holding(&block.repeat(5_000)),
    ];
    let expected = r#"Unsupported { path: "sparse""#;
    assert_refused(entries.map(|entry| (archive(&[agent(), entry]), expected)));
}

#[test]
fn holes_count_as_unpacked() {
    let size = (1_u64 << 40).to_string();
    assert_refused([
        (gnu_sparse(8 << 30, 0, &[(0, 0)]).holding(b""), "TooLarge"),
        (pax_sparse("0,0", &size, b""), "TooLarge"),
        (new_pax_sparse("0\n", &size, b""), "TooLarge"),
    ]);
}

#[test]
fn malformed_extensions_are_refused() {
    let texts = [
        "x",
        "99 path=a\n",
        "5 path\n",
        "9 path=ab",
        "-1 path=a\n",
        "12 size=many\n",
    ];
    assert_refused(texts.map(|text| {
        let header = Raw::new(b'x', b"PaxHeader", text.len() as u64).holding(text.as_bytes());
        (archive(&[header, agent()]), "Damaged(ExtensionHeader)")
    }));
}
