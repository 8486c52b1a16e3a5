//! Apps that do what apps do: end early, become another program, listen elsewhere.

use crate::subjects::{
    APPS_OUTPUT, APPS_STATUS, SCRIPT_AGENT, app, build_with_agent, image_with_agent,
};
use crate::support::{
    DEADLINE, ReservedPort, Running, eventually, free_port, never_within, workshop,
};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use rustix::process::Signal;
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// Waits for the agent, and gives the target that it was started for.
#[track_caller]
fn target_of_agent(running: &Running) -> String {
    let agent = running.wait_for_agent();
    eventually(DEADLINE, "the agent's arguments", || {
        agent
            .arguments()
            .into_iter()
            .find(|argument| argument.starts_with("http:"))
    })
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn app_that_ends_before_it_listens_leaves_nothing() {
    let image = image_with_agent("#!/bin/sh\necho an agent\n");
    for signal in [None, Some(Signal::TERM), Some(Signal::KILL)] {
        let port = ReservedPort::new();
        let mut running = image.launch("web").connect(port.number).start();
        running.wait_for_supervisor();
        match signal {
            None => running.close_stdin(),
            Some(signal) => running.signal(signal),
        }
        running.wait();
        let time = running.wait_for_nothing_left();
        assert!(time < Duration::from_secs(1), "{signal:?}: {time:?}");
        assert!(
            !running.stderr().contains("an agent"),
            "{}",
            running.stderr()
        );
    }
}

/// The app is its process, whatever program that runs.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn app_that_becomes_another_program_is_the_same_app() {
    let app = app().process(
        "web",
        "trap 'exec bash -c \"echo reborn; read -r _; exit 7\"' USR1; echo the app is up; read -r _",
    );
    let image = build_with_agent(app, SCRIPT_AGENT).run();
    let port = ReservedPort::new();
    let launch = image.launch("web").connect(port.number);
    let _listener = port.listen();
    let mut running = launch.start();
    let agent = running.wait_for_agent();
    let pid = running.app().id();
    running.wait_for_stdout(APPS_OUTPUT);
    running.signal(Signal::USR1);
    running.wait_for_stdout("reborn\n");
    assert_eq!(running.app().id(), pid);
    never_within(
        Duration::from_millis(1500),
        "the end of the agent of a reborn app",
        || !agent.is_alive(),
    );
    running.close_stdin();
    assert_eq!(running.wait().code(), Some(APPS_STATUS));
    running.wait_for_nothing_left();
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn app_that_leaves_its_process_group_and_session_is_the_same_app() {
    let app = app().process(
        "web",
        "trap 'exec setsid bash -c \"echo on its own; read -r _; exit 7\"' USR1; echo the app is up; read -r _",
    );
    let image = build_with_agent(app, SCRIPT_AGENT).run();
    let port = ReservedPort::new();
    let launch = image.launch("web").connect(port.number);
    let _listener = port.listen();
    let mut running = launch.in_the_tests_group().start();
    let agent = running.wait_for_agent();
    running.wait_for_stdout(APPS_OUTPUT);
    running.signal(Signal::USR1);
    running.wait_for_stdout("on its own\n");
    let stat = running.app().stat();
    assert_eq!((stat.pgrp, stat.session), (stat.pid, stat.pid));
    never_within(
        Duration::from_millis(1500),
        "the end of the agent of an app in a group of its own",
        || !agent.is_alive(),
    );
    running.close_stdin();
    assert_eq!(running.wait().code(), Some(APPS_STATUS));
    let time = running.wait_for_nothing_left();
    assert!(time < Duration::from_secs(3), "{time:?}");
}

/// A listener on `[::]`, for IPv6 alone or for IPv4 too.
fn listen_on_any_v6(only_v6: bool) -> TcpListener {
    let socket: OwnedFd =
        socket(AddressFamily::INET6, SocketType::STREAM, None).expect("this test needs IPv6");
    sockopt::set_ipv6_v6only(&socket, only_v6).unwrap();
    bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)).unwrap();
    listen(&socket, 16).unwrap();
    socket.into()
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_is_sent_to_the_address_that_the_app_serves() {
    let image = image_with_agent(SCRIPT_AGENT);
    let on = |address: &str| TcpListener::bind(address).expect("this test needs IPv4 and IPv6");
    for (listener, host) in [
        (on("127.0.0.1:0"), "127.0.0.1"),
        (on("0.0.0.0:0"), "127.0.0.1"),
        (listen_on_any_v6(false), "127.0.0.1"),
        (listen_on_any_v6(true), "[::1]"),
        (on("[::1]:0"), "[::1]"),
    ] {
        let port = listener.local_addr().unwrap().port();
        let running = image.launch("web").connect(port).start();
        assert_eq!(
            target_of_agent(&running),
            format!("http://{host}:{port}"),
            "{listener:?}"
        );
    }
}

/// A user whose app listens elsewhere reads why there is no agent, if they ask.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn app_that_listens_on_a_unix_socket_only_gets_no_agent() {
    let image = image_with_agent(SCRIPT_AGENT);
    let port = free_port();
    let folder = workshop().new_folder();
    let _listener = UnixListener::bind(folder.path().join("app.sock")).unwrap();
    let mut running = image
        .launch("web")
        .connect(port)
        .env("BACKPLANE_LOG", "debug")
        .start();
    running.wait_for_stderr(&format!(
        "[backplane] The app still does not listen on port {port}"
    ));
    assert_eq!(running.agents().len(), 0);
    running.close_stdin();
    assert_eq!(running.wait().code(), Some(APPS_STATUS));
    running.wait_for_nothing_left();
}
