//! Apps to test with, and servers that have their agent.

use crate::support::{App, Build, Image, archive, file, workshop};
use backplane_test_server::{Authority, ReleaseServer};
use std::fs;

/// What the edge knows the app of the tests by.
pub(crate) const ENDPOINT: &str = "myendpoint.test";

/// An agent that runs until it gets a signal.
pub(crate) const PATIENT_AGENT: &str = "#!/bin/sh\nexec sleep 1000\n";

pub(crate) const OTHER_AGENT: &str = "#!/bin/sh\nexec sleep 2000\n";

/// An app that says that it is up, and waits for a signal.
pub(crate) fn app() -> App {
    App::new().process("web", "echo the app is up; exec sleep 1000")
}

/// The stand-in's sample app, with the stand-in's agent in it.
pub(crate) fn sample_app() -> App {
    let program = |name| fs::read(workshop().program(name)).unwrap();
    App::new()
        .process("web", "exec ./sample-app")
        .process("worker", "exec ./sample-app worker")
        .executable("sample-app", program("sample-app"))
        .executable("vendor/backplane", program("backplane"))
}

/// An image of the sample app.
pub(crate) fn sample_image() -> Image {
    Build::new(sample_app())
        .env("BACKPLANE_AGENT_URL", "vendor/backplane")
        .run()
}

/// A build from a server with a certificate of a private authority, which the app brings along.
pub(crate) fn build_from(server: &ReleaseServer, authority: &Authority) -> Build {
    Build::new(app().file("ca.pem", authority.pem()))
        .env("SSL_CERT_FILE", "/workspace/ca.pem")
        .env(
            "BACKPLANE_AGENT_URL",
            server.url("/{channel}-{os}-{arch}.tgz"),
        )
}

/// A server of one archive, and a build from it.
pub(crate) fn served(agent: &str) -> (ReleaseServer, Build) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [file(&archive(agent))]);
    let build = build_from(&server, &authority);
    (server, build)
}
