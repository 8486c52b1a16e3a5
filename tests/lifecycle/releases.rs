//! Release archives, servers that have them, and builds from those.

use crate::subjects::app;
use crate::support::{Build, Image};
use backplane_test_server::{Answer, Authority, ReleaseServer};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::fs;

pub(crate) const OTHER_AGENT: &str = "#!/bin/sh\nexec sleep 2000\n";

/// A release archive: the agent, its configuration beside it, and what else people pack.
pub(crate) fn archive(agent: &str) -> Vec<u8> {
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
    tar.into_inner().unwrap().finish().unwrap()
}

pub(crate) fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

pub(crate) fn file(content: &[u8]) -> Answer {
    Answer::File(content.to_vec())
}

/// A build from a server with a certificate of a private authority, which the app brings along.
pub(crate) fn build_from(server: &ReleaseServer, authority: &Authority) -> Build {
    let build = Build::new(app().file("ca.pem", authority.pem()));
    let certificate = build.app_folder().join("ca.pem");
    build.env("SSL_CERT_FILE", certificate).env(
        "BACKPLANE_AGENT_URL",
        server.url("/{channel}-{os}-{arch}.tgz"),
    )
}

/// A server of one archive, and a build from it.
pub(crate) fn served(content: &[u8]) -> (ReleaseServer, Build) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [file(content)]);
    let build = build_from(&server, &authority);
    (server, build)
}

pub(crate) fn installed(image: &Image) -> String {
    fs::read_to_string(image.agent_layer().join("libexec/backplane")).unwrap()
}

#[track_caller]
pub(crate) fn assert_says(log: &str, expected: &str) {
    // The log wraps what is long and marks what is a warning.
    let unmarked = log.replace("\n! ", "\n").replace("\n!\n", "\n\n");
    assert!(
        unmarked.contains(expected),
        "«{expected}» is not in:\n{unmarked}"
    );
}
