//! Downloads that end early, and what proves that one does not.

use super::*;

/// A program with a segment that ends where the file does.
fn program() -> Vec<u8> {
    let mut program = elf_header(EM_X86_64);
    program[32] = 64;
    program[54] = 56;
    program[56] = 1;
    program.resize(200, 0);
    program[64] = 1;
    program[64 + 32] = 200;
    program
}

#[test]
fn program_that_ends_early_is_refused_by_name_wherever_it_is() {
    let half = || program()[..150].to_vec();
    for (download, name) in [
        (half(), "backplane"),
        (gzip(&half()), "backplane"),
        (
            Tar::new().file("backplane", 0o755, &half()).gzipped(),
            "backplane",
        ),
        (
            Tar::new()
                .file("dist/backplane", 0o755, SCRIPT)
                .file("dist/tunnel", 0o644, &half())
                .bytes(),
            "tunnel",
        ),
        (elf_header(EM_X86_64)[..40].to_vec(), "backplane"),
    ] {
        let error = Attempt::new(&download).error();
        assert!(
            matches!(&error, ArchiveError::IncompleteProgram { name: culprit } if culprit == name),
            "{error:?}"
        );
    }
    assert_eq!(Attempt::new(&program()).content("backplane"), program());
}

#[test]
fn what_ends_with_its_connection_has_to_say_where_it_ends() {
    let tar = || Tar::new().file("backplane", 0o755, SCRIPT).bytes();
    let endless = || tar()[..1024].to_vec();
    for (download, expected) in [
        (SCRIPT.to_vec(), Err("Unproven")),
        (program(), Err("Unproven")),
        (gzip(SCRIPT), Ok(())),
        (gzip(&gzip(&program())), Ok(())),
        (tar(), Ok(())),
        (gzip(&tar()), Ok(())),
        (endless(), Err("EndsEarly")),
        (gzip(&endless()), Err("EndsEarly")),
        // One block of zeros may be the first half of the mark.
        (tar()[..1024 + 512].to_vec(), Err("EndsEarly")),
        (tar()[..1024 + 1023].to_vec(), Err("EndsEarly")),
        (tar()[..1024 + 1024].to_vec(), Ok(())),
    ] {
        let outcome = Attempt::undelimited(&download).outcome;
        let shown = format!("{outcome:?}");
        match expected {
            Ok(()) => assert!(outcome.is_ok(), "{shown}"),
            Err(error) => assert!(shown.contains(error), "{shown}"),
        }
    }
    // GNU tar needs no mark either, if there is no doubt about the file's end.
    for length in [1024, 1024 + 512] {
        let attempt = Attempt::new(&tar()[..length]);
        assert_eq!(attempt.content("backplane"), SCRIPT);
    }
}

#[test]
fn file_that_is_shorter_than_its_header_says_is_damaged() {
    let tar = Tar::new()
        .file("backplane", 0o755, &SCRIPT.repeat(40))
        .bytes();
    for length in (1..1024 + 512).step_by(101) {
        let error = Attempt::new(&tar[..length]).error();
        let early = matches!(
            error,
            ArchiveError::Damaged {
                damage: Damage::EndsEarly
            } | ArchiveError::NotAnAgent { .. }
        );
        assert!(early, "{length}: {error:?}");
    }
}

#[test]
fn gzip_members_are_one_archive_wherever_they_end() {
    // The first member ends at each place around the end of the buffer that the file is read
    // through.
    let tar = Tar::new()
        .file("backplane", 0o755, SCRIPT)
        .file("tunnel", 0o755, &program())
        .bytes();
    for end in (BUFFER_BYTES - 12)..=(BUFFER_BYTES + 3) {
        let name = vec![b'n'; end - gzip(&tar[..512]).len() - 1];
        let mut encoder = flate2::GzBuilder::new()
            .filename(name)
            .write(Vec::new(), Compression::default());
        encoder.write_all(&tar[..512]).unwrap();
        let first = encoder.finish().unwrap();
        assert_eq!(first.len(), end);
        let download = [first, gzip(&tar[512..700]), gzip(&tar[700..])].concat();
        let attempt = Attempt::new(&download);
        assert_eq!(attempt.content("tunnel"), program(), "{end}");
    }
}

#[test]
fn what_follows_a_gzip_file_is_padding_or_damage() {
    let whole = Tar::new().file("backplane", 0o755, SCRIPT).gzipped();
    let padded = [&whole[..], &[0; 1000]].concat();
    assert_eq!(Attempt::new(&padded).content("backplane"), SCRIPT);
    let garbage = [&whole[..], b"garbage"].concat();
    assert!(matches!(
        Attempt::new(&garbage).error(),
        ArchiveError::Damaged { .. }
    ));
}

#[test]
fn gzip_files_are_unwrapped_or_named() {
    let tar = Tar::new().file("backplane", 0o755, SCRIPT).bytes();
    for content in [SCRIPT.to_vec(), tar] {
        let mut download = content;
        for _ in 0..MAX_WRAPPINGS {
            download = gzip(&download);
            assert_eq!(Attempt::new(&download).content("backplane"), SCRIPT);
        }
        assert!(matches!(
            Attempt::new(&gzip(&download)).error(),
            ArchiveError::NotAnAgent {
                found: FileKind::Gzip,
                is_zipped: true
            }
        ));
    }
    for (content, expected) in [
        (&b"Too Many Requests"[..], FileKind::Text),
        (
            b"<!DOCTYPE html><title>Login</title>",
            FileKind::Other(Some("text/html")),
        ),
        (b"PK\x03\x04", FileKind::Other(Some("application/zip"))),
        (b"", FileKind::Empty),
    ] {
        let error = Attempt::new(&gzip(content)).error();
        assert!(
            matches!(error, ArchiveError::NotAnAgent { found, is_zipped: true } if found == expected),
            "{error:?}"
        );
    }
    // A bomb between two layers.
    let limits = Limits {
        max_unpacked_bytes: 100_000,
        ..Limits::default()
    };
    let empty_members = gzip(b"").repeat(10_000);
    let bomb = gzip(&[gzip(SCRIPT), empty_members].concat());
    assert!(matches!(
        Attempt::with_limits(&bomb, &limits).error(),
        ArchiveError::TooLarge
    ));
}

#[test]
fn programs_and_scripts_are_executable_whatever_their_mode() {
    let attempt = Attempt::new(
        &Tar::new()
            .file("backplane", 0o600, SCRIPT)
            .file("tunnel", 0o644, &program())
            .file("setup", 0o444, b"#!/bin/sh\n")
            .file("windows", 0o444, b"#!/bin/sh\r\n")
            .file("hook", 0o4755, b"no program")
            .file("tunnel.toml", 0o4666, b"x = 1")
            .bytes(),
    );
    assert_eq!(
        attempt.installed(),
        [
            executable("backplane"),
            executable("hook"),
            executable("setup"),
            executable("tunnel"),
            plain("tunnel.toml"),
            executable("windows"),
        ]
    );
}

#[test]
fn only_program_of_the_agents_name_is_the_agent() {
    let completion =
        |tar: Tar| tar.file("completions/backplane", 0o644, b"complete -F x backplane\n");
    let attempt = Attempt::new(
        &completion(Tar::new())
            .file("bin/backplane", 0o755, SCRIPT)
            .file("share/man/backplane", 0o644, b".TH BACKPLANE 1\n")
            .gzipped(),
    );
    assert_eq!(attempt.content("backplane"), SCRIPT);
    assert_eq!(attempt.installed(), [executable("backplane")]);
    let none = completion(Tar::new())
        .file("doc/backplane", 0o644, b"x")
        .bytes();
    assert!(matches!(
        Attempt::new(&none).error(),
        ArchiveError::SeveralAgents { .. }
    ));
}

#[test]
fn scripts_that_no_kernel_runs_and_lfs_pointers_are_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    for (content, expected) in [
        (&b"#!/bin/sh\r\nexec tunnel\r\n"[..], "LineEndings"),
        (b"\xef\xbb\xbf#!/bin/sh\nexec tunnel\n", "ByteOrderMark"),
        (pointer, "LfsPointer { name: \"backplane\" }"),
    ] {
        for download in [
            content.to_vec(),
            gzip(content),
            Tar::new().file("backplane", 0o755, content).bytes(),
        ] {
            let error = format!("{:?}", Attempt::new(&download).error());
            assert!(error.contains(expected), "{error}");
        }
    }
    let beside = Tar::new()
        .file("backplane", 0o755, SCRIPT)
        .file("tunnel", 0o755, pointer)
        .bytes();
    assert!(matches!(
        Attempt::new(&beside).error(),
        ArchiveError::LfsPointer { name } if name == "tunnel"
    ));
}
