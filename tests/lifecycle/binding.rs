//! Credentials from a service binding, as Kubernetes or `pack` mounts one.

use crate::stage::assert_lines;
use crate::subjects::{APPS_OUTPUT, SCRIPT_AGENT, build_by};
use crate::support::{FrontEnd, ReservedPort, Running, for_each_front_end, workshop};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

for_each_front_end! {
    gives_token_and_labels,
    yields_to_the_variables,
    that_cannot_be_read_is_told,
    that_does_not_exist_is_none,
}

/// Writes a binding's entries the way Kubernetes does: each is a link, by way of `..data`, into a folder that an update replaces.
fn bind(root: &Path, name: &str, entries: &[(&str, &str)]) {
    let folder = root.join(name);
    let version = folder.join("..2026_01_01");
    fs::create_dir_all(&version).unwrap();
    symlink("..2026_01_01", folder.join("..data")).unwrap();
    for (entry, value) in entries {
        fs::write(version.join(entry), value).unwrap();
        symlink(Path::new("..data").join(entry), folder.join(entry)).unwrap();
    }
}

/// Launches an app that listens, with these variables and this root of bindings.
fn launched(
    front_end: FrontEnd,
    root: &Path,
    variables: &[(&str, &str)],
    check: impl FnOnce(&Running),
) {
    let image = build_by(front_end, SCRIPT_AGENT).run();
    let port = ReservedPort::new();
    let launch = image
        .launch("web")
        .env("SERVICE_BINDING_ROOT", root)
        .env("PORT", port.number.to_string());
    let _listener = port.listen();
    let running = variables
        .iter()
        .fold(launch, |launch, (name, value)| launch.env(*name, *value))
        .start();
    running.wait_for_stdout(APPS_OUTPUT);
    check(&running);
}

/// The token and the labels that the agent is started with.
fn credentials_of_agent(running: &Running) -> (String, String) {
    let agent = running.wait_for_agent();
    let token = agent.environment()[OsStr::new("BACKPLANE_TOKEN")].clone();
    (token.into_string().unwrap(), agent.arguments()[3].clone())
}

fn gives_token_and_labels(front_end: FrontEnd) {
    let root = workshop().new_folder();
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
    fs::write(root.path().join("a-file"), "no folder").unwrap();

    launched(front_end, root.path(), &[], |running| {
        assert_eq!(
            credentials_of_agent(running),
            ("bound-token".to_owned(), front_end.labels("bound=label"))
        );
        // The app's own environment is not touched.
        assert!(!running.app().environment_has("bound-token"));
    });
}

fn yields_to_the_variables(front_end: FrontEnd) {
    let root = workshop().new_folder();
    bind(
        root.path(),
        "network",
        &[
            ("type", "backplane"),
            ("token", "bound-token"),
            ("labels", "bound=label"),
        ],
    );
    for (variables, token, labels) in [
        (
            &[("BACKPLANE_TOKEN", "own-token")][..],
            "own-token",
            "bound=label",
        ),
        (
            &[("BACKPLANE_LABELS", "own=label")],
            "bound-token",
            "own=label",
        ),
        (
            &[("BACKPLANE_TOKEN", ""), ("BACKPLANE_LABELS", "")],
            "bound-token",
            "bound=label",
        ),
    ] {
        launched(front_end, root.path(), variables, |running| {
            assert_eq!(
                credentials_of_agent(running),
                (token.to_owned(), front_end.labels(labels))
            );
        });
    }
}

fn that_cannot_be_read_is_told(front_end: FrontEnd) {
    let root = workshop().new_folder();
    let folder = root.path().join("network");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("type"), "backplane").unwrap();
    fs::write(folder.join("token"), "bound-token").unwrap();
    fs::set_permissions(folder.join("token"), fs::Permissions::from_mode(0o000)).unwrap();

    launched(
        front_end,
        root.path(),
        &[("BACKPLANE_LABELS", "own=label")],
        |running| {
            let token = folder.join("token");
            assert_lines(
                &running.our_lines(),
                &[
                    &format!("Unable to read {} ", token.display()),
                    "No agent for this process: it has no token.",
                ],
            );
            assert_eq!(running.supervisors().len(), 0);
        },
    );
}

fn that_does_not_exist_is_none(front_end: FrontEnd) {
    launched(front_end, Path::new("/nowhere/bindings"), &[], |running| {
        assert_lines(
            &running.our_lines(),
            &["No agent for this process: it has no token."],
        );
    });
}
