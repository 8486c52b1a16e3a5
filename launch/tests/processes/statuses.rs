//! `backplane-status` tells how the agent is.

use crate::support::{self, Layer, PATIENT_AGENT, eventually, field, free_port, listen};
use backplane_launch::CHECKSUM_FILE;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn status_follows_the_agent() {
    let port = free_port();
    let layer = Layer::new(PATIENT_AGENT, port);
    let checksum = "0123456789abcdef".repeat(4);
    std::fs::write(layer.path().join(CHECKSUM_FILE), format!("{checksum}\n")).unwrap();
    let app = layer.launch();
    let supervisor = app.supervisor();
    let status_is = |code: i32, part: &str| {
        eventually(part, || {
            let output = layer.status().arg("--json").output().unwrap();
            (output.status.code() == Some(code) && text(&output).contains(part))
                .then(|| text(&output).to_owned())
        })
    };
    status_is(1, "\"state\":\"waiting\"");

    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let agent = app.agent(1);
    let json = status_is(0, "\"state\":\"running\"");
    let start = json.find("\"restarts\"").unwrap();
    assert_eq!(
        json[start..],
        format!(
            "\"restarts\":0,\"last_exit\":null,\"next_try_seconds\":null,\"process_type\":\"web\",\"labels\":\"app=shop\",\
             \"target\":\"port {port}\",\"agent_sha256\":\"{checksum}\",\"agent_pid\":{agent},\
             \"supervisor_pid\":{supervisor}}}\n"
        )
    );
    let words = layer.status().output().unwrap();
    assert!(
        text(&words).starts_with("The agent runs ("),
        "{}",
        text(&words)
    );
    assert_eq!(words.status.code(), Some(0));

    support::signal(agent, "KILL");
    let second = app.agent(2);
    status_is(0, "\"restarts\":1,\"last_exit\":\"was ended by SIGKILL\"");
    support::signal(supervisor, "TERM");
    support::signal(second, "KILL");
    status_is(1, "\"state\":\"ended\"");
    app.finish();
    let output = layer.status().output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[test]
fn clients_that_say_nothing_or_come_all_at_once_change_nothing() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    let address = SocketAddr::from_abstract_name(format!("backplane/localhost:{port}")).unwrap();
    // More than the lock's backlog could hold if nobody took them off it.
    let silent: Vec<UnixStream> = (0..200)
        .map(|_| UnixStream::connect_addr(&address).unwrap())
        .collect();
    let together: Vec<Child> = (0..10)
        .map(|_| layer.status().stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    for client in together {
        let output = client.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let started = Instant::now();
            assert!(layer.status().output().unwrap().status.success());
            started.elapsed()
        })
        .collect();
    times.sort();
    // The median, as a busy machine delays now this one, now that.
    assert!(times[10] < Duration::from_millis(50), "{times:?}");
    assert_eq!(layer.agents(), [agent]);
    drop(silent);
    support::signal(agent, "KILL");
    app.agent(2);
    app.finish();
}

#[test]
fn status_without_a_supervisor_is_2() {
    let mut layer = Layer::new(PATIENT_AGENT, free_port());
    layer.set("BACKPLANE_PROXY_URL", "http://nobody.invalid:1");
    let status = layer.status().status().unwrap();
    assert_eq!(status.code(), Some(2));
    let place = "nobody.invalid:1";
    let address = SocketAddr::from_abstract_name(format!("backplane/{place}")).unwrap();
    let squatter = UnixListener::bind_addr(&address).unwrap();
    let mut child = layer.status().stdout(Stdio::piped()).spawn().unwrap();
    drop(squatter.accept().unwrap());
    let status = eventually("it ends", || child.try_wait().unwrap());
    assert_eq!(
        status.code(),
        Some(2),
        "what holds the name is no supervisor"
    );

    for argument in ["--yaml", "x"] {
        let output = layer.status().arg(argument).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output).starts_with("Usage: "));
    }
}

#[test]
fn stopped_supervisor_does_not_count_as_a_running_agent() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    app.agent(1);
    let supervisor = app.supervisor();
    support::signal(supervisor, "STOP");
    eventually("it is stopped", || {
        field(supervisor, "State")?.starts_with('T').then_some(())
    });
    let output = layer.status().output().unwrap();
    support::signal(supervisor, "CONT");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("does not answer"),
        "{}",
        text(&output)
    );
    app.finish();
}
