//! Launches where the kernel refuses something: under seccomp, in sandboxes, on old kernels.

use std::net::TcpListener;
use std::path::Path;

use harness::lifecycle::{Image, Running, test_env};
use harness::{DEADLINE, ReservedPort, eventually, listen};

use crate::fixtures::{
    LEFT_AFTER_APP, PATIENT_AGENT, SCRIPT_AGENT, assert_boots, assert_lines, assert_not_started,
    assert_serves, has_error, image_with_agent,
};

/// Address families, the first argument of socket(2): of abstract sockets, and of netlink.
const NO_UNIX: &str = "socket(1)=EPERM";
const NO_NETLINK: &str = "socket(16)=EPERM";

/// All system calls that make a process.
const PROCESS_CREATION: &[&str] = if cfg!(target_arch = "x86_64") {
    &["clone=EPERM", "clone3=EPERM", "fork=EPERM", "vfork=EPERM"]
} else {
    &["clone=EPERM", "clone3=EPERM"]
};

/// A filter of seccomp(2) is in force, in `proc_pid_status(5)`.
const FILTERED: Option<u32> = Some(2);

fn debug_launch(image: &Image, port: u16, rules: &[&str]) -> Running {
    image
        .launch("web")
        .connect(port)
        .env("BACKPLANE_LOG", "debug")
        .denying(rules)
        .start()
}

/// Rules, and the beginning of a line with the number of its error, if there is one.
type Case<'a> = (&'a [&'a str], Option<(&'a str, i32)>);

/// Asserts that a supervisor does its work under each of these rules, and logs the line once, or no
/// error.
#[track_caller]
fn assert_serves_under(cases: &[Case]) {
    let image = image_with_agent(SCRIPT_AGENT);
    for (rules, logged) in cases {
        let (_listener, port) = listen();
        let mut running = debug_launch(&image, port, rules);
        let supervisor = running.wait_for_supervisor();
        assert_eq!(supervisor.status().seccomp, FILTERED, "{rules:?}");
        running.wait_for_agent();
        // No directory of the app's, which may be unmounted.
        assert_eq!(supervisor.working_directory(), Path::new("/"), "{rules:?}");
        assert_serves(&mut running);
        let lines = running.our_lines();
        let is_started = |line: &String| line.contains("The agent started");
        assert!(lines.iter().any(is_started), "{rules:?}: {lines:?}");
        let errors = lines.iter().filter(|line| match logged {
            Some((beginning, errno)) => has_error(line, beginning, *errno),
            None => line.contains("(os error "),
        });
        let expected = usize::from(logged.is_some());
        assert_eq!(errors.count(), expected, "{rules:?}: {lines:?}");
    }
}

/// As by container engines of before 2021.
#[test]
fn app_is_watched_without_a_pidfd() {
    let logged = Some(("pidfd is unavailable (", 1));
    assert_serves_under(&[(&["pidfd_open=EPERM"], logged)]);
}

/// `gVisor` has no netlink for sockets. Other sandboxes refuse to send.
#[test]
fn listener_is_seen_without_netlink() {
    let unavailable = "Netlink is unavailable (";
    assert_serves_under(&[
        (&["socket(16)=EAFNOSUPPORT"], Some((unavailable, 97))),
        (&["sendto=EPERM"], Some((unavailable, 1))),
    ]);
}

/// A listener on this IPv6 address, on a port without a listener on IPv4.
fn listen_on_v6(address: &str) -> (ReservedPort, TcpListener) {
    eventually(DEADLINE, "a port of IPv6, which this test needs", || {
        // No IPv4 listener can have the port while it is reserved.
        let reserved = ReservedPort::reserve();
        let listener = TcpListener::bind((address, reserved.number)).ok()?;
        Some((reserved, listener))
    })
}

#[test]
fn v6_listener_is_seen_without_netlink() {
    let image = image_with_agent(SCRIPT_AGENT);
    let (_reserved, only_v6) = listen_on_v6("::1");
    let any = TcpListener::bind("[::]:0").expect("this test needs IPv6");
    for (listener, host) in [(only_v6, "[::1]"), (any, "127.0.0.1")] {
        let port = listener.local_addr().unwrap().port();
        let mut running = debug_launch(&image, port, &[NO_NETLINK]);
        let agent = running.wait_for_agent();
        let url = format!("http://{host}:{port}");
        assert_eq!(agent.arguments().last(), Some(&url));
        running.close_stdin();
        running.wait_for_nothing_left();
        assert!(running.stderr().contains("checking /proc/net/tcp"));
    }
}

#[test]
fn agent_does_not_wait_where_no_listener_can_be_seen() {
    let image = image_with_agent(SCRIPT_AGENT);
    // Nothing listens on it.
    let port = ReservedPort::reserve();
    let mut running = image
        .launch("web")
        .connect(port.number)
        .env("BACKPLANE_PROCESS_TYPE", "web")
        .denying(&["unreadable=/proc", NO_NETLINK])
        .start();
    assert_serves(&mut running);
    let lines = running.our_lines();
    let is_unable = |line: &&String| has_error(line, "Unable to see whether the app listens (", 13);
    assert!(is_unable(&&lines[0]), "{lines:?}");
    assert_eq!(lines.iter().filter(is_unable).count(), 1, "{lines:?}");
}

#[test]
fn agent_runs_without_a_lock_and_without_status() {
    let image = image_with_agent(SCRIPT_AGENT);
    let (_listener, port) = listen();
    let first = debug_launch(&image, port, &[NO_UNIX]);
    first.wait_for_agent();
    first.wait_for_stderr(&format!(
        "[backplane] Unable to rule out a second agent for localhost:{port}: "
    ));
    let (status, text) = image.status(port);
    assert_eq!(status.code(), Some(2), "{text}");

    // What the line means.
    let mut second = debug_launch(&image, port, &[NO_UNIX]);
    assert_serves(&mut second);
    assert_eq!(first.agents().len(), 1);
}

/// Container engines of before 2021 refuse unknown system calls with EPERM.
#[test]
fn newer_system_calls_are_done_without() {
    assert_serves_under(&[
        (&["statx=EPERM"], None),
        (&["pwritev2=EPERM"], None),
        (&["getrandom=EPERM"], None),
    ]);
}

#[test]
fn supervisor_does_what_it_may_to_detach_itself() {
    assert_serves_under(&[
        (&["setsid=EPERM"], None),
        // PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS.
        (&["prctl(36)=EINVAL"], None),
        (&["prctl(1)=EPERM"], None),
        (&["prctl(38)=EPERM"], None),
    ]);
}

#[test]
fn all_that_may_be_missing_at_once_is_done_without() {
    let rules = ["pidfd_open=EPERM", NO_NETLINK, NO_UNIX];
    assert_serves_under(&[(&rules, Some(("pidfd is unavailable (", 1)))]);
}

#[test]
fn app_boots_where_it_cannot_be_watched_or_supervised() {
    let image = image_with_agent(PATIENT_AGENT);
    let unwatchable = "No agent for this process: unable to watch the app's process (";
    let unable = "The supervisor cannot continue (";
    for (rules, beginning) in [
        (&["unreadable=/proc", "pidfd_open=EPERM"][..], unwatchable),
        (&["signalfd4=EPERM"], unable),
    ] {
        let port = ReservedPort::reserve();
        let launch = image
            .launch("web")
            .connect(port.number)
            .env("BACKPLANE_PROCESS_TYPE", "web")
            .denying(rules);
        let lines = assert_boots(launch);
        assert!(
            lines.len() == 1 && has_error(&lines[0], beginning, 1),
            "{lines:?}"
        );
    }
}

/// A supervisor that cannot adopt orphans kills the agent's children, too.
#[test]
fn agents_children_end_with_the_app_where_orphans_are_not_adopted() {
    let image = image_with_agent(
        "#!/bin/sh\n(trap '' TERM; echo child ready; while :; do sleep 0.05; done) &\nexec sleep 1000\n",
    );
    let (_listener, port) = listen();
    let mut running = debug_launch(&image, port, &["prctl(36)=EINVAL"]);
    running.wait_for_stderr("child ready\n");
    running.close_stdin();
    let time = running.wait_for_nothing_left();
    assert!(time < LEFT_AFTER_APP, "{time:?}");
}

#[test]
fn app_boots_where_no_process_can_be_made() {
    let image = image_with_agent(PATIENT_AGENT);
    image.before_exec_d(&format!(
        r#"exec '{}' {} -- "$@""#,
        test_env().program("deny").display(),
        PROCESS_CREATION.join(" ")
    ));
    let port = ReservedPort::reserve();
    let lines = assert_boots(image.launch("web").connect(port.number));
    assert_not_started(&lines, 1);
}

#[test]
fn unreadable_proc_leaves_the_type_to_the_environment() {
    let image = image_with_agent(SCRIPT_AGENT);
    let (_listener, port) = listen();
    let launch = || {
        image
            .launch("web")
            .connect(port)
            .env("BACKPLANE_LOG", "debug")
            .denying(&["unreadable=/proc"])
    };
    let line = "No agent for this process: it has no process type";
    assert_lines(&assert_boots(launch()), &[line]);
    for (name, value) in [("BACKPLANE_PROCESS_TYPE", "web"), ("DYNO", "web.1")] {
        assert_serves(&mut launch().env(name, value).start());
    }
}

/// Needs user namespaces, which some distributions forbid for ordinary users by a sysctl.
#[test]
fn no_proc_at_all() {
    let image = image_with_agent(SCRIPT_AGENT);
    let (_listener, port) = listen();
    let script = format!(
        r#"set -e; mount -t tmpfs none /proc; [ ! -e /proc/self ]; exec '{}' -- "$@""#,
        test_env().program("deny").display()
    );
    let namespaces = ["unshare", "--user", "--map-root-user", "--mount"];
    let shell = ["/bin/bash", "-c", &script, "bash"];
    let mut running = image
        .launch("web")
        .connect(port)
        .env("BACKPLANE_PROCESS_TYPE", "web")
        .under(namespaces.into_iter().chain(shell))
        .start();
    assert_serves(&mut running);
}
