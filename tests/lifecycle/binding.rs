//! Credentials from a service binding, as Kubernetes or `pack` mounts one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use harness::lifecycle::{FrontEnd, test_env};
use harness::{for_each_front_end, listen};

use crate::fixtures::{APPS_OUTPUT, SCRIPT_AGENT, build_by};

for_each_front_end! {
    binding_has_token_and_labels,
}

/// Writes a binding's entries the way Kubernetes does: each is a link, by way of `..data`, into a
/// directory that an update replaces.
fn bind(root: &Path, name: &str, entries: &[(&str, &str)]) {
    let directory = root.join(name);
    let version = directory.join("..2026_01_01");
    fs::create_dir_all(&version).unwrap();
    symlink("..2026_01_01", directory.join("..data")).unwrap();
    for (entry, value) in entries {
        fs::write(version.join(entry), value).unwrap();
        symlink(Path::new("..data").join(entry), directory.join(entry)).unwrap();
    }
}

fn binding_has_token_and_labels(front_end: FrontEnd) {
    let root = test_env().new_directory();
    bind(
        root.path(),
        "database",
        &[("type", "postgresql"), ("token", "another")],
    );
    bind(
        root.path(),
        "network",
        &[
            ("type", "backplane\n"),
            ("token", "bound-token\n"),
            ("labels", "bound=label\n"),
        ],
    );
    fs::write(root.path().join("a-file"), "no directory").unwrap();

    let image = build_by(front_end, SCRIPT_AGENT).run();
    let (_listener, port) = listen();
    let running = image
        .launch("web")
        .env("SERVICE_BINDING_ROOT", root.path())
        .env("PORT", port.to_string())
        .start();
    running.wait_for_stdout(APPS_OUTPUT);
    let agent = running.wait_for_agent();
    assert_eq!(
        agent.environment()[OsStr::new("BACKPLANE_TOKEN")],
        "bound-token"
    );
    assert_eq!(agent.arguments()[3], front_end.labels("bound=label"));
    // The app's own environment is not touched.
    let environment = running.app().environment();
    assert!(!environment.values().any(|value| value == "bound-token"));
}
