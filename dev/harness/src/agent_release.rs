//! Releases of an agent.

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::release_server::Answer;

/// A release archive: the agent, its configuration, and other things that people pack.
pub fn archive(agent: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, mode, content) in [
        ("README.md", 0o644, "read me"),
        ("dist/backplane", 0o700, agent),
        ("dist/tunnel.toml", 0o600, "edge = true"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    tar.append_link(&mut link, "dist/latest", "backplane")
        .unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

pub fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

pub fn file(content: &[u8]) -> Answer {
    Answer::File(content.to_vec())
}

#[track_caller]
pub fn assert_logs(log: &str, expected: &str) {
    // The log wraps what is long and marks what is a warning.
    let unmarked = log.replace("\n! ", "\n").replace("\n!\n", "\n\n");
    assert!(
        unmarked.contains(expected),
        "«{expected}» is not in:\n{unmarked}"
    );
}
