//! Where containers are made small and strict: any user, no capabilities, nothing to write to, no /proc.

use std::process::Command;

use harness::lifecycle::{Image, Launch, test_env};
use harness::{Process, ReservedPort};

use crate::fixtures::{SCRIPT_AGENT, image_with_agent, serves};

/// The words that run what follows them as root of a user and mount namespace, after this script. It is an ordinary user's namespace:
/// outside of it, nothing is root's.
fn in_namespaces(script: &str) -> Vec<String> {
    let namespaces = ["unshare", "--user", "--map-root-user", "--mount"];
    let directory = test_env().new_directory();
    let works = Command::new(namespaces[0])
        .args(&namespaces[1..])
        .args(["mount", "-t", "tmpfs", "none"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(
        works.status.success(),
        "this test needs user namespaces that ordinary users may make; some distributions forbid them by the sysctl \
         kernel.apparmor_restrict_unprivileged_userns=1 or kernel.unprivileged_userns_clone=0: {}",
        String::from_utf8_lossy(&works.stderr)
    );
    let script = format!("set -e; {script}");
    let shell = ["/bin/bash", "-c", &script, "bash"];
    namespaces
        .iter()
        .chain(&shell)
        .map(ToString::to_string)
        .collect()
}

/// The words that become a program of which its name and itself follow.
fn become_it() -> String {
    format!(r#"'{}' -- "$@""#, test_env().program("deny").display())
}

fn launch(image: &Image, port: u16) -> Launch {
    image
        .launch("web")
        .connect(port)
        .env("BACKPLANE_LOG", "debug")
}

/// Whether a process has this number as its real, effective and saved user, in its own namespace.
fn map_of(process: &Process) -> String {
    std::fs::read_to_string(format!("/proc/{}/uid_map", process.id())).unwrap()
}

/// The image's directory and all else are read-only, the user is in no list of users and has no home.
#[test]
fn any_user_on_a_read_only_root() {
    let image = image_with_agent(SCRIPT_AGENT);
    let port = ReservedPort::reserve();
    let number = port.number;
    let _listener = port.listen();
    let script = format!(
        r#"for directory in / "$(findmnt --noheadings --output TARGET --target '{layers}')"; do
               mount -o remount,bind,ro "$directory"
           done
           ! touch '{layers}/new' 2>/dev/null
           exec unshare --user --map-user=4711 --map-group=4711 {}"#,
        become_it(),
        layers = image.layers().display(),
    );
    let mut running = launch(&image, number)
        .without_env("HOME")
        .under(in_namespaces(&script))
        .start();
    let supervisor = running.wait_for_supervisor();
    assert_eq!(
        map_of(&supervisor).split_ascii_whitespace().next(),
        Some("4711")
    );
    serves(&mut running);
}

#[test]
fn root_without_capabilities() {
    let image = image_with_agent(SCRIPT_AGENT);
    let port = ReservedPort::reserve();
    let number = port.number;
    let _listener = port.listen();
    let script = format!(
        "exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs {}",
        become_it()
    );
    let mut running = launch(&image, number).under(in_namespaces(&script)).start();
    let supervisor = running.wait_for_supervisor();
    assert_eq!(
        map_of(&supervisor).split_ascii_whitespace().next(),
        Some("0")
    );
    let status = supervisor.status();
    assert_eq!((status.capeff, status.capbnd), (0, Some(0)));
    serves(&mut running);
}

#[test]
fn no_proc_at_all() {
    let image = image_with_agent(SCRIPT_AGENT);
    let port = ReservedPort::reserve();
    let number = port.number;
    let _listener = port.listen();
    let script = format!(
        "mount -t tmpfs none /proc; [ ! -e /proc/self ]; exec {}",
        become_it()
    );
    let mut running = launch(&image, number)
        .env("BACKPLANE_PROCESS_TYPE", "web")
        .under(in_namespaces(&script))
        .start();
    serves(&mut running);
}
