//! Apps to test with, servers of their agent, and helpers for logs and images.

use std::fs;

use harness::containers::{Build, Image, test_env};
use harness::registry::{Registry, packages_of_both_architectures};
use harness::release_server::{Authority, ReleaseServer};
use harness::{App, archive, documented, file, sha256};

/// The endpoint of the app at the edge.
pub(crate) const ENDPOINT: &str = "myendpoint.test";

/// An agent that runs until it gets a signal.
pub(crate) const PATIENT_AGENT: &str = "#!/bin/sh\nexec sleep 1000\n";

/// An app that reports that it is up, and waits for a signal.
pub(crate) fn app() -> App {
    App::new().process("web", "echo the app is up; exec sleep 1000")
}

/// The stand-in's sample app, with the stand-in's agent in it.
pub(crate) fn sample_app() -> App {
    let program = |name| fs::read(test_env().program(name)).unwrap();
    App::new()
        .process("web", "exec ./sample-app")
        .process("worker", "exec ./sample-app worker")
        // As an app should end that is process 1: the last answer gets out before its agent ends
        // with it.
        .process("lingering", "exec ./sample-app --linger 1000")
        .executable("sample-app", program("sample-app"))
        .executable("vendor/backplane", program("backplane"))
}

/// A build of the sample app.
pub(crate) fn sample_build() -> Build {
    Build::new(sample_app()).env("BACKPLANE_AGENT_URL", "vendor/backplane")
}

/// A build of an app for the real servers, with the stand-in's agent in it.
pub(crate) fn build_with_servers(app: App) -> Build {
    let agent = fs::read(test_env().program("backplane")).unwrap();
    Build::new(app.executable("vendor/backplane", agent))
        .env("BACKPLANE_AGENT_URL", "vendor/backplane")
        .argument("--run-image")
        .argument(&test_env().run_image_with_servers)
}

/// A server of one archive, and a build from it, over TLS: its certificate is of a private
/// authority, which the app brings along, as the document says.
pub(crate) fn served(agent: &str) -> (ReleaseServer, Build) {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [file(&archive(agent))]);
    let command = documented(
        "docs/installing.md",
        "pack build my-app --post-buildpack … --env ",
    );
    let (_, variable) = command.trim_end().rsplit_once(' ').unwrap();
    let (name, value) = variable.split_once('=').unwrap();
    let build = Build::new(app().file("ca.pem", authority.pem()))
        .env(name, value)
        .env("BACKPLANE_AGENT_URL", server.url("/agent.tgz"));
    (server, build)
}

/// A server of one archive, and a pinned build from it.
pub(crate) fn pinned(agent: &str) -> (ReleaseServer, Build) {
    let content = archive(agent);
    let server = ReleaseServer::http([file(&content)]);
    let build = Build::new(app())
        .env("BACKPLANE_AGENT_URL", server.url("/agent.tgz"))
        .env("BACKPLANE_AGENT_SHA256", sha256(&content));
    (server, build)
}

/// A registry with the published image, and the image's name there.
pub(crate) fn published_image() -> (Registry, String) {
    let registry = Registry::start();
    // The engine keeps the image under this name until the end.
    let name = format!("{}:latest", test_env().new_name());
    registry.publish(packages_of_both_architectures().path(), &[&name]);
    let name = format!("{}/{name}", registry.address);
    (registry, name)
}

/// Our part of a build's log.
pub(crate) fn ours(log: &str) -> &str {
    log.split_once("## Backplane\n").expect("our heading").1
}

/// The conditions of the requests since the last call: their `If-None-Match`.
pub(crate) fn conditions(server: &ReleaseServer) -> Vec<Option<String>> {
    let requests = server.take_requests();
    requests
        .iter()
        .map(|request| request.header("If-None-Match").map(str::to_owned))
        .collect()
}

/// The agent's program in the image, which is a script.
pub(crate) fn agent_of(image: &Image) -> String {
    let container = image.container().start();
    container.wait_for_stdout("the app is up\n");
    let (code, stdout, stderr) =
        container.exec(&["cat", "/layers/backplane_agent/agent/libexec/backplane"]);
    assert_eq!(code, Some(0), "{stderr}");
    stdout
}

/// The ids of the buildpacks that took part, in their order.
pub(crate) fn order(image: &Image) -> Vec<String> {
    let metadata: serde_json::Value =
        serde_json::from_str(&image.labels()["io.buildpacks.build.metadata"]).unwrap();
    let buildpacks = metadata["buildpacks"].as_array().unwrap();
    buildpacks
        .iter()
        .map(|buildpack| buildpack["id"].as_str().unwrap().to_owned())
        .collect()
}
