//! Checks by a request: whether the app is ready, and whether the agent is healthy; and a token that is rotated.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::soak_or;

use crate::support::{self, App, Layer, PATIENT_AGENT, eventually, holds_for, listen, within};

const SILENT: u16 = 0;

/// A server that answers every request with the status that is set.
struct Server {
    port: u16,
    status: Arc<AtomicU16>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(status: u16) -> Self {
        let (listener, port) = listen("127.0.0.1");
        Self::serve(listener, port, status)
    }

    fn serve(listener: TcpListener, port: u16, status: u16) -> Self {
        let server = Self {
            port,
            status: Arc::new(AtomicU16::new(status)),
            requests: Arc::default(),
        };
        let (status, requests) = (Arc::clone(&server.status), Arc::clone(&server.requests));
        thread::spawn(move || {
            for stream in listener.incoming() {
                requests.fetch_add(1, Ordering::Relaxed);
                answer(stream.unwrap(), status.load(Ordering::Relaxed));
            }
        });
        server
    }
}

/// Answers with this status; or, with [`SILENT`], as a server that is stopped: not at all.
fn answer(mut stream: TcpStream, status: u16) {
    if status == SILENT {
        thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        return;
    }
    let mut request = [0; 1024];
    // The client may have left.
    let _ = stream.read(&mut request);
    let _ = write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn agent_starts_when_the_app_is_ready_and_not_before() {
    let app_server = Server::start(503);
    let mut layer = Layer::new(PATIENT_AGENT, app_server.port);
    layer.set("BACKPLANE_READY_PATH", "/healthz");
    let app = layer.launch();
    eventually("some checks", || {
        (app_server.requests.load(Ordering::Relaxed) >= 3).then_some(())
    });
    assert!(layer.agents().is_empty());
    app_server.status.store(204, Ordering::Relaxed);
    app.agent(1);
    let checks = app_server.requests.load(Ordering::Relaxed);
    holds_for(Duration::from_secs(2), || {
        app_server.requests.load(Ordering::Relaxed) == checks
    });
    app.finish();
}

#[test]
fn app_that_accepts_and_says_nothing_is_not_ready() {
    let (listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    layer.set("BACKPLANE_READY_PATH", "/");
    let app = layer.launch();
    // The first check, and the next one after its time.
    let (first, _) = listener.accept().unwrap();
    let started = Instant::now();
    let (_second, _) = listener.accept().unwrap();
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert!(layer.agents().is_empty());
    drop(first);
    let server = Server::serve(listener, port, 200);
    app.agent(1);
    assert!(server.requests.load(Ordering::Relaxed) >= 1);
    app.finish();
}

/// The time that the checks take is what is tested, so this takes a minute.
#[test]
fn agent_that_is_not_healthy_is_replaced_within_a_minute() {
    let (_listener, port) = listen("127.0.0.1");
    let health = Server::start(200);
    let agent = PATIENT_AGENT.replace("sleep 1000", "sleep infinity");
    let mut layer = Layer::new(&agent, port);
    let url = format!("http://127.0.0.1:{}/healthz", health.port);
    layer.set("BACKPLANE_HEALTH_URL", &url);
    let app = layer.launch();
    let first = app.agent(1);
    let started = Instant::now();
    let status_is = |code: i32, part: &str| {
        let output = layer.status().arg("--json").output().unwrap();
        let json = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code() == Some(code) && json.contains(part)).then_some(())
    };
    eventually("nothing is known yet", || {
        status_is(0, "\"health\":\"unknown\"")
    });
    within(Duration::from_secs(40), "the first check", || {
        status_is(0, "\"health\":\"healthy\"")
    });
    assert!(started.elapsed() >= Duration::from_secs(29));
    health.status.store(SILENT, Ordering::Relaxed);
    let turned_bad = Instant::now();
    within(Duration::from_secs(20), "a failed check", || {
        status_is(1, "\"health\":\"failing\"")
    });
    let left = Duration::from_mins(1).saturating_sub(turned_bad.elapsed());
    let second = within(left, "another agent", || layer.agents().get(1).copied());
    assert!(!support::is_alive(first));
    assert!(support::is_alive(second));
    app.log_has("The agent runs but is not healthy: 3 checks of http://127.0.0.1:");
    // One that is healthy is left alone: for an hour with --soak.
    health.status.store(200, Ordering::Relaxed);
    holds_for(soak_or(Duration::from_hours(1), Duration::ZERO), || {
        layer.agents().len() == 2
    });
    app.finish();
}

#[test]
fn rotated_token_is_the_next_agents() {
    let (_listener, port) = listen("127.0.0.1");
    let agent = "#!/bin/sh\necho \"token $BACKPLANE_TOKEN\" >>\"$0.notes\"\necho \"pid $$\" >>\"$0.notes\"\nexec sleep 1000\n";
    let mut layer = Layer::new(agent, port);
    let file = layer.path().join("token");
    fs::write(&file, "first\n").unwrap();
    layer
        .set("BACKPLANE_TOKEN", "")
        .set("BACKPLANE_TOKEN_FILE", "token");
    let mut launch = layer.command("cat");
    let app = App::of(&layer, launch.current_dir(layer.path()).spawn().unwrap());
    let restart = |count: usize| {
        support::signal(app.agent(count), "KILL");
        app.agent(count + 1);
    };
    app.agent(1);
    fs::write(&file, "second\n").unwrap();
    restart(1);
    // What cannot be read leaves the token that there was at the boot.
    fs::remove_file(&file).unwrap();
    restart(2);
    let notes = layer.notes();
    let tokens: Vec<&str> = notes
        .lines()
        .filter_map(|line| line.strip_prefix("token "))
        .collect();
    assert_eq!(tokens, ["first", "second", "first"]);
    app.log_has("Unable to read a new value of BACKPLANE_TOKEN in ");
    assert!(!layer.log().contains("first") && !layer.log().contains("second"));
    app.finish();
}

#[test]
fn agent_that_takes_too_much_memory_is_replaced_and_the_log_names_memory() {
    let (_listener, port) = listen("127.0.0.1");
    // The shell keeps what it has read.
    let hungry = "#!/bin/sh
echo \"pid $$\" >>\"$0.notes\"
held=$(head -c 48000000 /dev/zero | tr '\\0' x)
while :; do sleep 0.1; done
";
    for waits_for_app in ["yes", "no"] {
        let mut layer = Layer::new(hungry, port);
        layer
            .set("BACKPLANE_AGENT_MEMORY", "32M")
            .set("BACKPLANE_WAIT_FOR_APP", waits_for_app);
        let app = layer.launch();
        let first = app.agent(1);
        app.log_has(" MiB of memory, more than the limit of 32 MiB. Replacing it.");
        app.agent(2);
        assert!(!support::is_alive(first));
        app.finish();
    }
}

/// As Heroku's Cedar does it with all processes of a dyno.
#[test]
fn agent_that_does_not_handle_sigterm_outlives_one_to_every_process() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    layer.set("DYNO", "web.1");
    // It goes on for as long as a request in flight takes.
    let mut app =
        layer.launch_app("sh -c 'trap \"sleep 2; exit 7\" TERM; while :; do sleep 0.1; done'");
    let agent = app.agent(1);
    for pid in [agent, app.supervisor(), app.pid()] {
        support::signal(pid, "TERM");
    }
    holds_for(Duration::from_secs(1), || support::is_alive(agent));
    assert_eq!(app.wait().code(), Some(7));
    // A signal that it cannot get is not waited for.
    let ended = Instant::now();
    app.nothing_is_left();
    assert!(
        ended.elapsed() < Duration::from_secs(4),
        "{:?}",
        ended.elapsed()
    );
}
