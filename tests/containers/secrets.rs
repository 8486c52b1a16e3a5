//! Secrets of a container.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use harness::TOKEN;
use harness::containers::{docker, test_env};

use crate::served_app::Served;

#[test]
fn token_is_where_its_user_has_set_it_only() {
    let served = Served::start(|run| run.env("BACKPLANE_LOG", "debug"));
    let container = &served.container;
    let description = docker(["container", "inspect", &container.name]);
    let lines: Vec<&str> = description
        .lines()
        .filter(|line| line.contains(TOKEN))
        .map(str::trim)
        .collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with(&format!("\"BACKPLANE_TOKEN={TOKEN}\"")));

    assert!(!container.our_lines().is_empty());
    assert!(!container.stderr().contains(TOKEN));
    assert!(!container.stdout().contains(TOKEN));
    let listing = container.processes();
    assert!(!listing.concat().contains(TOKEN), "{listing:#?}");
    // Nothing at all is written into the container.
    assert_eq!(docker(["diff", &container.name]), "");
    served.assert_stops();
}

#[test]
fn token_of_a_binding_is_nowhere() {
    let bindings = test_env().new_directory();
    let binding = bindings.path().join("edge");
    fs::create_dir(&binding).unwrap();
    for (file, content) in [
        ("type", "backplane"),
        ("token", TOKEN),
        ("labels", "some=label"),
    ] {
        fs::write(binding.join(file), content).unwrap();
    }
    // The container's user is another one.
    fs::set_permissions(bindings.path(), fs::Permissions::from_mode(0o755)).unwrap();

    let volume = format!("{}:/bindings:ro", bindings.path().display());
    let served = Served::start(|run| {
        run.env("BACKPLANE_TOKEN", "")
            .env("BACKPLANE_LABELS", "")
            .env("BACKPLANE_LOG", "debug")
            .options(["--volume", &volume])
    });
    let container = &served.container;
    let description = docker(["container", "inspect", &container.name]);
    assert!(!description.contains(TOKEN), "{description}");
    assert!(!container.stderr().contains(TOKEN));
    assert!(!container.processes().concat().contains(TOKEN));
    served.assert_stops();
}
