//! Archives of the real GNU tar in all its formats.

use std::fmt::Debug;
use std::process::Command;

use super::*;

/// Zeros count as holes on every file system.
const SPARSE: &str = "--hole-detection=raw";

/// Packs a directory `dist` with `options` of tar; returns the archive.
fn pack(directory: &Path, options: &[&str]) -> Vec<u8> {
    let status = Command::new("tar")
        .args(options)
        .args(["-cf", "archive.tar", "dist"])
        .current_dir(directory)
        .status()
        .unwrap();
    assert!(status.success(), "{options:?}");
    fs_err::read(directory.join("archive.tar")).unwrap()
}

fn zeros(blocks: usize) -> Vec<u8> {
    vec![0; blocks * 4096]
}

fn data(seed: u8) -> Vec<u8> {
    (0..4096_u32)
        .map(|index| seed | u8::try_from(1 + index % 97).unwrap())
        .collect()
}

/// Files with holes in every place, and more of them than a header has room for.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut script = SCRIPT.to_vec();
    script.resize(4096, b'#');
    let many: Vec<u8> = (0..60)
        .flat_map(|seed| [data(seed), zeros(1)].concat())
        .collect();
    let files = [
        ("backplane", [script, zeros(64), b"# end\n".into()].concat()),
        ("hole-first", [zeros(8), data(1), b"tail".into()].concat()),
        ("hole-last", [data(2), zeros(8)].concat()),
        ("cut-hole", [data(2), zeros(8), vec![0; 100]].concat()),
        ("hole-only", zeros(16)),
        ("many-holes", many),
        ("empty", Vec::new()),
        ("small", b"x = 1\n".to_vec()),
        ("one-byte-more", vec![b'x'; 513]),
    ];
    files
        .map(|(name, content)| (name.to_owned(), content))
        .to_vec()
}

#[track_caller]
fn assert_all_installed(download: &[u8], files: &[(String, Vec<u8>)], what: &dyn Debug) {
    let attempt = Attempt::new(download);
    assert!(attempt.outcome.is_ok(), "{what:?}: {:?}", attempt.outcome);
    assert_eq!(attempt.installed().len(), files.len(), "{what:?}");
    for (name, content) in files {
        assert!(attempt.content(name) == *content, "{what:?}: {name}");
    }
}

#[test]
fn files_of_every_format_are_installed_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let dist = directory.path().join("dist");
    fs_err::create_dir(&dist).unwrap();
    let files = files();
    for (name, content) in &files {
        fs_err::write(dist.join(name), content).unwrap();
    }
    for options in [
        &["--format=v7"][..],
        &["--format=oldgnu"],
        &["--format=gnu"],
        &["--format=ustar"],
        &["--format=posix"],
        &["--format=oldgnu", SPARSE],
        &["--format=gnu", SPARSE],
        &["--format=posix", SPARSE, "--sparse-version=0.0"],
        &["--format=posix", SPARSE, "--sparse-version=0.1"],
        &["--format=posix", SPARSE, "--sparse-version=1.0"],
        &["--format=gnu", "--label=release"],
        &["--format=posix", "--label=release"],
        &["--format=gnu", SPARSE, "--blocking-factor=1"],
        &["--format=gnu", "--incremental"],
        &["--format=posix", "--pax-option=comment=x,globexthdr.name=g"],
        &["--format=posix", "--pax-option=SCHILY.xattr.user.x:=a"],
    ] {
        assert_all_installed(&pack(directory.path(), options), &files, &options);
    }
}

#[test]
fn hard_links_of_the_archiver_are_the_files_that_they_name() {
    let directory = tempfile::tempdir().unwrap();
    let dist = directory.path().join("dist");
    fs_err::create_dir_all(dist.join("bin")).unwrap();
    // The directory is packed in the order of `--sort=name`: the agent is a link to what comes
    // before it.
    let content = [SCRIPT, &zeros(8)].concat();
    fs_err::write(dist.join("agent"), &content).unwrap();
    for link in ["bin/backplane", "bin/tunnel"] {
        fs_err::hard_link(dist.join("agent"), dist.join(link)).unwrap();
    }
    let files = ["backplane", "tunnel"].map(|name| (name.to_owned(), content.clone()));
    for options in [
        &["--sort=name", "--format=v7"][..],
        &["--sort=name", "--format=ustar"],
        &["--sort=name", "--format=oldgnu", SPARSE],
        &["--sort=name", "--format=gnu", SPARSE],
        &["--sort=name", "--format=posix", SPARSE],
    ] {
        assert_all_installed(&pack(directory.path(), options), &files, &options);
    }
}

#[test]
fn paths_of_every_length_are_read() {
    for format in ["oldgnu", "gnu", "ustar", "posix"] {
        let directory = tempfile::tempdir().unwrap();
        let depth = if format == "ustar" { 1 } else { 5 };
        let levels = (0..depth).map(|level| format!("{level}{}", "d".repeat(90)));
        let deep = directory.path().join("dist");
        let deep = deep.join(levels.collect::<PathBuf>());
        fs_err::create_dir_all(&deep).unwrap();
        let files: Vec<_> = (0..99)
            .step_by(7)
            .map(|length| (format!("x{}", "n".repeat(length)), data(3)))
            .chain([("backplane".to_owned(), SCRIPT.to_vec())])
            .collect();
        for (name, content) in &files {
            fs_err::write(deep.join(name), content).unwrap();
        }
        let format = format!("--format={format}");
        assert_all_installed(&pack(directory.path(), &[&format]), &files, &format);
    }
}
