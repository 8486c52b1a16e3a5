//! Any bytes as a download: nothing panics, hangs or is written elsewhere, and what is installed
//! has an agent in it.
#![no_main]

use std::fs;
use std::path::Path;

use backplane_buildpack::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| {
    let (is_complete, download) = input;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["scratch", "into"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path("download"), with_checksums(download)).unwrap();
    let outcome = fuzzing::unpack(directory.path(), is_complete);
    assert_eq!(names(directory.path()), ["download", "into", "scratch"]);
    if let Ok(files) = outcome {
        assert!(files.iter().any(|name| name == "backplane"));
        assert_eq!(names(&path("into")), files);
        for name in files {
            assert!(
                path("into")
                    .join(name)
                    .symlink_metadata()
                    .unwrap()
                    .is_file()
            );
        }
    }
});

/// Headers with another checksum than theirs are refused at once, and no fuzzer finds the right
/// one: the bytes that may be headers get it.
fn with_checksums(download: &[u8]) -> Vec<u8> {
    let mut download = download.to_vec();
    for block in download.chunks_exact_mut(512) {
        if block[257..].starts_with(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    download
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
