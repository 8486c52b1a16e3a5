//! What the kernel refuses, as the seccomp filters of container engines, sandboxes and old kernels do, is done without.

use std::net::TcpListener;
use std::path::Path;

use harness::lifecycle::{Image, Running, test_env};
use harness::{DEADLINE, ReservedPort, eventually};

use crate::fixtures::{
    LEFT_AFTER_APP, PATIENT_AGENT, SCRIPT_AGENT, boots, image_with_agent, serves,
};
use crate::terminal_session::{assert_lines, assert_not_started};

/// Address families, the first argument of socket(2): of abstract sockets, and of netlink.
const NO_UNIX: &str = "socket(1)=EPERM";
const NO_NETLINK: &str = "socket(16)=EPERM";

/// All system calls that make a process.
const PROCESS_CREATION: &[&str] = if cfg!(target_arch = "x86_64") {
    &["clone", "clone3", "fork", "vfork"]
} else {
    &["clone", "clone3"]
};

/// How seccomp(2) shows in `proc_pid_status(5)`: a filter is in force.
const FILTERED: Option<u32> = Some(2);

fn debug_launch(image: &Image, port: u16, rules: &[&str]) -> Running {
    image
        .launch("web")
        .connect(port)
        .env("BACKPLANE_LOG", "debug")
        .denying(rules)
        .start()
}

/// Sees that a supervisor does all that it is for under each of these rules, and says this in between.
#[track_caller]
fn serves_under(cases: &[(&[&str], &str)]) {
    let image = image_with_agent(SCRIPT_AGENT);
    for (rules, words) in cases {
        let port = ReservedPort::reserve();
        let number = port.number;
        let _listener = port.listen();
        let mut running = debug_launch(&image, number, rules);
        let supervisor = running.wait_for_supervisor();
        assert_eq!(supervisor.status().seccomp, FILTERED, "{rules:?}");
        running.wait_for_agent();
        // In no directory of the app's, which may be unmounted.
        assert_eq!(supervisor.working_directory(), Path::new("/"), "{rules:?}");
        serves(&mut running);
        let lines = running.our_lines();
        let is_told = |line: &String| line.contains("The agent started");
        assert!(lines.iter().any(is_told), "{rules:?}: {lines:?}");
        if words.is_empty() {
            let warned = lines.iter().any(|line| line.contains("(os error "));
            assert!(!warned, "{rules:?}: {lines:?}");
        } else {
            let said = lines.iter().filter(|line| line.contains(words)).count();
            assert_eq!(said, 1, "{rules:?}: {lines:?}");
        }
    }
}

#[test]
fn app_is_watched_without_a_pidfd() {
    serves_under(&[
        (
            &["pidfd_open=EPERM"],
            "pidfd is unavailable (Operation not permitted (os error 1))",
        ),
        (
            &["pidfd_open=ENOSYS"],
            "pidfd is unavailable (Function not implemented (os error 38))",
        ),
    ]);
}

#[test]
fn listener_is_seen_without_netlink() {
    serves_under(&[
        (
            &[NO_NETLINK],
            "Netlink is unavailable (Operation not permitted (os error 1))",
        ),
        (
            &["socket(16)=EACCES"],
            "Netlink is unavailable (Permission denied (os error 13))",
        ),
        (
            &["socket(16)=EAFNOSUPPORT"],
            "Netlink is unavailable (Address family not supported by protocol (os error 97))",
        ),
        // Some let the socket be made, and nothing be sent.
        (
            &["sendto=EPERM"],
            "Netlink is unavailable (Operation not permitted (os error 1))",
        ),
    ]);
}

/// A listener on this IPv6 address, on a port that nothing listens on by IPv4.
fn listen_on_v6(address: &str) -> (ReservedPort, TcpListener) {
    eventually(DEADLINE, "a port of IPv6, which this test needs", || {
        // Without an IPv4 listener as long as it is kept.
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
    serves(&mut running);
    let lines = running.our_lines();
    let line = "Unable to see whether the app listens (Permission denied (os error 13))";
    assert_lines(&lines[..1], &[line]);
    let said = lines.iter().filter(|other| other.contains(line));
    assert_eq!(said.count(), 1, "{lines:?}");
}

#[test]
fn agent_runs_without_a_lock_and_without_status() {
    let image = image_with_agent(SCRIPT_AGENT);
    let port = ReservedPort::reserve();
    let number = port.number;
    let _listener = port.listen();
    let first = debug_launch(&image, number, &[NO_UNIX]);
    first.wait_for_agent();
    first.wait_for_stderr(&format!(
        "[backplane] Unable to rule out a second agent for localhost:{number}: "
    ));
    let (status, text) = image.status(number);
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(
        text.starts_with("No supervisor runs an agent here."),
        "{text}"
    );

    // What the line means.
    let mut second = debug_launch(&image, number, &[NO_UNIX]);
    serves(&mut second);
    assert_eq!(first.agents().len(), 1);
}

#[test]
fn newer_system_calls_are_done_without() {
    serves_under(&[
        (&["statx=ENOSYS"], ""),
        (&["statx=EPERM"], ""),
        (&["pwritev2=ENOSYS"], ""),
        (&["pwritev2=EPERM"], ""),
        (&["getrandom=ENOSYS"], ""),
        (&["getrandom=EPERM"], ""),
    ]);
}

#[test]
fn supervisor_does_what_it_may_to_detach_itself() {
    serves_under(&[
        (&["setsid=EPERM"], ""),
        // PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS.
        (&["prctl(36)=EINVAL"], ""),
        (&["prctl(1)=EPERM"], ""),
        (&["prctl(38)=EPERM"], ""),
    ]);
}

#[test]
fn all_that_may_be_missing_at_once_is_done_without() {
    serves_under(&[(
        &["pidfd_open=EPERM", NO_NETLINK, NO_UNIX],
        "pidfd is unavailable",
    )]);
}

#[test]
fn app_boots_where_it_cannot_be_watched_or_supervised() {
    let image = image_with_agent(PATIENT_AGENT);
    for (rules, line) in [
        (
            &["unreadable=/proc", "pidfd_open=EPERM"][..],
            "No agent for this process: unable to watch the app's process",
        ),
        (
            &["signalfd4=EPERM"],
            "The supervisor cannot continue (Operation not permitted (os error 1))",
        ),
    ] {
        let port = ReservedPort::reserve();
        let launch = image
            .launch("web")
            .connect(port.number)
            .env("BACKPLANE_PROCESS_TYPE", "web")
            .denying(rules);
        assert_lines(&boots(launch), &[line]);
    }
}

/// An agent's children that do not end with it are killed even by a supervisor that cannot become their parent.
#[test]
fn agents_children_end_with_the_app_where_orphans_are_not_adopted() {
    let image = image_with_agent(
        "#!/bin/sh\n(trap '' TERM; echo child ready; while :; do sleep 0.05; done) &\nexec sleep 1000\n",
    );
    let port = ReservedPort::reserve();
    let number = port.number;
    let _listener = port.listen();
    let mut running = debug_launch(&image, number, &["prctl(36)=EINVAL"]);
    running.wait_for_stderr("child ready\n");
    running.close_stdin();
    let time = running.wait_for_nothing_left();
    assert!(time < LEFT_AFTER_APP, "{time:?}");
}

#[test]
fn app_boots_where_no_process_can_be_made() {
    for (error, number) in [("EAGAIN", 11), ("EPERM", 1), ("ENOMEM", 12)] {
        let image = image_with_agent(PATIENT_AGENT);
        let rules: Vec<String> = PROCESS_CREATION
            .iter()
            .map(|call| format!("{call}={error}"))
            .collect();
        image.before_exec_d(&format!(
            r#"exec '{}' {} -- "$@""#,
            test_env().program("deny").display(),
            rules.join(" ")
        ));
        let port = ReservedPort::reserve();
        let lines = boots(image.launch("web").connect(port.number));
        assert_not_started(&lines, number);
    }
}

#[test]
fn unreadable_proc_leaves_the_type_to_the_environment() {
    let image = image_with_agent(SCRIPT_AGENT);
    let port = ReservedPort::reserve();
    let number = port.number;
    let _listener = port.listen();
    let launch = || {
        image
            .launch("web")
            .connect(number)
            .env("BACKPLANE_LOG", "debug")
            .denying(&["unreadable=/proc"])
    };
    assert_lines(
        &boots(launch()),
        &["No agent for this process: it has no process type"],
    );
    for (name, value) in [("BACKPLANE_PROCESS_TYPE", "web"), ("DYNO", "web.1")] {
        serves(&mut launch().env(name, value).start());
    }
}
