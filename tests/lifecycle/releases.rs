//! Servers with releases, and builds from them.

use std::fs;

use harness::file;
use harness::lifecycle::{Build, FrontEnd, Image};
use harness::release_server::{Authority, ReleaseServer};

use crate::fixtures::app;

/// A build from a server with a certificate of a private authority, which the app brings along.
pub(crate) fn build_from(
    front_end: FrontEnd,
    server: &ReleaseServer,
    authority: &Authority,
) -> Build {
    let build = Build::by(front_end, app().file("ca.pem", authority.pem()));
    let certificate = build.app_directory().join("ca.pem");
    let url = server.url("/{channel}-{os}-{arch}.tgz");
    let build = build.env("SSL_CERT_FILE", certificate);
    build.env("BACKPLANE_AGENT_URL", url)
}

/// A server of one archive, and a build from it.
pub(crate) fn served(front_end: FrontEnd, content: &[u8]) -> (ReleaseServer, Build) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [file(content)]);
    let build = build_from(front_end, &server, &authority);
    (server, build)
}

pub(crate) fn installed(image: &Image) -> String {
    fs::read_to_string(image.agent_layer().join("libexec/backplane")).unwrap()
}
