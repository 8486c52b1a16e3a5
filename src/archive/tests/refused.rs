//! Downloads that contain no agent, or are damaged, hostile or too large.

use super::*;

#[test]
fn archive_without_exactly_one_agent_is_refused() {
    let is_link = r#"AgentIsLink { path: "bin/backplane", target: "other" }"#;
    let other = archive(&[file("bin/frpc", 0o755, SCRIPT)]);
    let directory = archive(&[empty(b'5', "backplane/")]);
    let agents = |paths: [&str; 2]| archive(&paths.map(agent_at));
    let same = r#"SeveralAgents { paths: ["backplane", "backplane"] }"#;
    let two = r#"SeveralAgents { paths: ["a/backplane", "b/backplane"] }"#;
    let no_program = |path| file(path, 0o755, b"no program");
    let no_programs = ["a/backplane", "b/backplane"].map(no_program);
    assert_refused([
        (
            other,
            r#"NoAgent { program: "backplane", names: ["bin/frpc"] }"#,
        ),
        (directory, r#"NoAgent { program: "backplane", names: [] }"#),
        (archive(&[link(b'2', "bin/backplane", "other")]), is_link),
        (archive(&[link(b'1', "bin/backplane", "other")]), is_link),
        (agents(["backplane", "./backplane"]), same),
        (agents(["a/backplane", "b/backplane"]), two),
        (archive(&no_programs), "SeveralAgents"),
    ]);
}

#[test]
fn file_that_cannot_be_installed_is_named() {
    let foreign = elf_header(EM_AARCH64);
    let half = &program()[..150];
    let beside = |path: &str, content: &[u8]| archive(&[agent(), file(path, 0o644, content)]);
    let mut twice = vec![file("same", 0o644, b"y"); 2];
    twice.push(agent());
    let reserved = r#"ReservedName("backplane-status")"#;
    let unusable = r#"UnusableName("a\u{1b}[31mb")"#;
    let foreign_agent = r#"WrongArchitecture { name: "backplane", machine: 183,"#;
    let foreign_tunnel = r#"WrongArchitecture { name: "tunnel", machine: 183,"#;
    let incomplete = r#"IncompleteProgram("backplane")"#;
    assert_refused([
        (beside("backplane-status", b"x"), reserved),
        (beside("a\x1b[31mb", b"x"), unusable),
        (archive(&twice), r#"RepeatedName("same")"#),
        (foreign.clone(), foreign_agent),
        (beside("tunnel", &foreign), foreign_tunnel),
        (half.to_vec(), incomplete),
        (gzip(half), incomplete),
        (elf_header(EM_X86_64)[..40].to_vec(), incomplete),
        (beside("tunnel", half), r#"IncompleteProgram("tunnel")"#),
        (beside("tunnel", LFS_POINTER), r#"LfsPointer("tunnel")"#),
    ]);
}

const LFS_POINTER: &[u8] =
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

#[test]
fn download_that_is_no_program_is_named_by_its_kind() {
    for (content, expected) in [
        (
            &b"#!/bin/sh\r\n"[..],
            r#"MangledScript("backplane", LineEndings)"#,
        ),
        (
            b"\xef\xbb\xbf#!/bin/sh\n",
            r#"MangledScript("backplane", ByteOrderMark)"#,
        ),
        (LFS_POINTER, r#"LfsPointer("backplane")"#),
    ] {
        let downloads = [
            content.to_vec(),
            gzip(content),
            archive(&[file("backplane", 0o755, content)]),
        ];
        assert_refused(downloads.map(|download| (download, expected)));
    }
    let mach_o = b"\xcf\xfa\xed\xfe\x07\x00\x00\x01\x03\x00\x00\x00";
    for content in [&b"429"[..], b"", b"PK\x03\x04", mach_o] {
        let found = FileKind::of(content);
        let [plain, zipped] = [false, true]
            .map(|is_zipped| format!("{:?}", ArchiveError::NotAnAgent { found, is_zipped }));
        let agent = format!(
            "{:?}",
            ArchiveError::NotExecutable("backplane".to_owned(), found)
        );
        assert_refused([
            (content.to_vec(), &plain),
            (gzip(content), &zipped),
            (archive(&[file("backplane", 0o755, content)]), &agent),
        ]);
    }
}

#[test]
fn every_truncation_is_noticed() {
    // Content that does not compress, so that each cut hits something.
    let mut content = SCRIPT.to_vec();
    content.extend((0..256_u32).flat_map(|number| {
        Checksum::of_bytes(&number.to_le_bytes())
            .to_string()
            .into_bytes()
    }));
    let tar = archive(&[file("backplane", 0o755, &content)]);
    let zipped = gzip(&tar);
    // Without the padding and the mark at the end, and with half of the checksum.
    let ends = [(&tar, 512 + content.len()), (&zipped, zipped.len())];
    for (whole, end) in ends {
        assert_eq!(Attempt::new(whole).content("backplane"), content);
        for length in (512..end).step_by(997).chain([end - 1]) {
            let cut = whole[..length].to_vec();
            assert_refused([(cut, "Damaged(EndsEarly)")]);
        }
    }
    let corrupted = [&zipped[..zipped.len() - 8], &[0; 8]].concat();
    assert_refused([(corrupted, "Damaged(Compression)")]);
}

#[test]
fn unpacked_size_is_limited_everywhere() {
    let bomb = vec![0; 1 << 20];
    let empty_members = gzip(b"").repeat(10_000);
    let hole = || dialects::pax_sparse("0,0", "60000", b"");
    let large = file("backplane", 0o755, &[SCRIPT, &b"#".repeat(29_974)].concat());
    let mut hard_links = vec![large];
    hard_links.extend((0..2).map(|number| link(b'1', &format!("{number}"), "backplane")));
    let attempt = Attempt::with(&archive(&hard_links), &small(), true);
    assert_eq!(attempt.installed().len(), 3);
    hard_links.push(link(b'1', "2", "backplane"));
    let downloads = [
        archive(&[file("backplane", 0o755, &bomb)]),
        gzip(&archive(&[agent(), file("other/bomb", 0o644, &bomb)])),
        // Behind the end of the archive, and between two layers.
        gzip(&[archive(&[agent()]), bomb].concat()),
        gzip(&[gzip(SCRIPT), empty_members].concat()),
        archive(&[hole(), hole()]),
        archive(&hard_links),
    ];
    assert_refused_within(&small(), downloads.map(|download| (download, "TooLarge")));
}

#[test]
fn number_of_entries_is_limited() {
    let limits = Limits {
        max_entries: 2,
        ..Limits::default()
    };
    let mut entries = vec![agent(), empty(b'5', "a")];
    let attempt = Attempt::with(&archive(&entries), &limits, true);
    assert_eq!(attempt.content("backplane"), SCRIPT);
    entries.push(file("b", 0o644, b""));
    let expected = "TooManyEntries { limit: 2 }";
    assert_refused_within(&limits, [(archive(&entries), expected)]);
}

#[test]
fn memory_for_paths_and_extensions_is_bounded() {
    let endless = b"a".repeat(1 << 20);
    let long = "a/".repeat(tar_entries::MAX_PATH_BYTES);
    let offsets = dialects::pax(b'x', &vec![("GNU.sparse.offset", "0"); 10_000]);
    let names = (0..2_000).flat_map(|number| {
        let path = format!("{number:04}/{}", "n".repeat(4_000));
        [long_name(b'L', path.as_bytes()), file("short", 0o644, b"")]
    });
    let downloads = [
        long_name(b'L', &endless),
        long_name(b'x', &endless),
        archive(&[dialects::pax(b'x', &[("path", &long)]), agent()]),
        // For one entry, and for all of them.
        offsets.repeat(20),
        archive(&names.collect::<Vec<_>>()),
    ];
    assert_refused(downloads.map(|download| (download, "PathTooLong")));
}
