//! `backplane-status`, and the supervisor that answers it.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use backplane_launch::CHECKSUM_FILE;

use crate::support::{self, App, Layer, PATIENT_AGENT, eventually, free_port, listen};

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
            "\"restarts\":0,\"last_exit\":null,\"health\":null,\"next_try_seconds\":null,\"target\":\"port {port}\",\"agent_pid\":{agent},\
             \"supervisor_pid\":{supervisor},\"process_type\":\"web\",\"labels\":\"app=shop\",\
             \"agent_sha256\":\"{checksum}\"}}\n"
        )
    );
    let words = layer.status().output().unwrap();
    let beginning = "The agent is running (";
    assert!(text(&words).starts_with(beginning), "{}", text(&words));
    assert_eq!(words.status.code(), Some(0));

    support::signal(agent, "KILL");
    let second = app.agent(2);
    status_is(
        0,
        "\"restarts\":1,\"last_exit\":\"was terminated by SIGKILL\"",
    );
    support::signal(supervisor, "TERM");
    support::signal(second, "KILL");
    status_is(1, "\"state\":\"ended\"");
    app.finish();
    let output = layer.status().output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[test]
fn silent_and_simultaneous_clients_change_nothing() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let app = layer.launch();
    let agent = app.agent(1);
    let address = address_of(port);
    // More than the lock's backlog could hold if the supervisor did not accept them.
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
    // The median, because a busy machine delays some of them.
    assert!(times[10] < Duration::from_millis(50), "{times:?}");
    assert_eq!(layer.agents(), [agent]);
    drop(silent);
    support::signal(agent, "KILL");
    app.agent(2);
    app.finish();
}

#[test]
fn status_without_a_supervisor_is_2() {
    let layer = Layer::new(PATIENT_AGENT, free_port());
    let assert_status_2 = |status: &mut Command, expected: &str| {
        let output = status.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output).contains(expected), "{}", text(&output));
    };
    assert_status_2(&mut layer.status(), "No supervisor runs an agent here.");
    assert_status_2(layer.status().env_remove("PORT"), "such as PORT");
    for argument in ["--yaml", "x"] {
        assert_status_2(layer.status().arg(argument), "Usage: ");
    }
}

fn address_of(port: u16) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("backplane/localhost:{port}")).unwrap()
}

/// Ends the flood when the test ends, even by a panic.
struct Flood<'a>(&'a AtomicBool);

impl Drop for Flood<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn supervisor_does_its_work_while_clients_come_in_a_flood() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let address = address_of(port);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _flood = Flood(&is_over);
        let app = layer.launch();
        let first = app.agent(1);
        let supervisor = app.supervisor();
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = UnixStream::connect_addr(&address); // It is refused at the end.
                }
            });
        }
        let started = Instant::now();
        support::signal(first, "KILL");
        app.agent(2);
        let delay = started.elapsed();
        let expected = Duration::from_millis(250)..Duration::from_secs(5);
        assert!(expected.contains(&delay), "{delay:?}");
        // The flood costs little: a few percent of a processor, and some more on a busy machine.
        let (ticks, since) = (processor_ticks(supervisor), Instant::now());
        thread::sleep(Duration::from_secs(1));
        let used = processor_ticks(supervisor) - ticks;
        assert!(used < 50, "{used} of {:?}", since.elapsed());
        let ended = Instant::now();
        app.finish();
        assert!(ended.elapsed() < Duration::from_secs(5));
    });
}

/// The processor time that a process has used, in hundredths of a second.
fn processor_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Runs `backplane-status`, which has to exit in time.
fn bounded(mut status: Command) -> Output {
    let started = Instant::now();
    let child = status
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    // It takes a second; the machine may be busy.
    let time = started.elapsed();
    assert!(time < Duration::from_secs(3), "{time:?}");
    output
}

#[test]
fn status_exits_in_time_with_any_holder_of_the_lock() {
    let layer = Layer::new(PATIENT_AGENT, free_port());
    let holder = |behavior: fn(UnixStream)| {
        let port = free_port();
        let listener = UnixListener::bind_addr(&address_of(port)).unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                behavior(client.unwrap());
            }
        });
        port
    };
    let status = |port: u16| {
        let mut command = layer.status();
        command.env("PORT", port.to_string()).arg("--json");
        bounded(command)
    };
    for (behavior, expected) in [
        // A byte each half second.
        (
            (|mut client: UnixStream| {
                while client.write_all(b"s").is_ok() {
                    thread::sleep(Duration::from_millis(500));
                }
            }) as fn(UnixStream),
            1,
        ),
        // Nothing, and no end.
        (|mut client| drop(client.read(&mut [0])), 1),
        // Bytes without an end.
        (
            |mut client| while client.write_all(&[b'a'; 4096]).is_ok() {},
            2,
        ),
        // No report.
        (|client| drop(client), 2),
        // Something else at once.
        (
            |mut client| client.write_all(b"\xff\xfe\n\x1b[2J").unwrap_or_default(),
            2,
        ),
    ] {
        let output = status(holder(behavior));
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
    }

    // A queue that is full of others.
    let port = free_port();
    let listener = UnixListener::bind_addr(&address_of(port)).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _in_queue = UnixStream::connect_addr(&address_of(port)).unwrap();
    assert_eq!(status(port).status.code(), Some(1));
}

#[test]
#[ignore = "needs root, to be two users; script/test runs it for root"]
fn supervisor_and_status_trust_their_own_user_and_root_only() {
    const NOBODY: u32 = 65_534;
    for (of_supervisor, of_status, expected) in [
        (NOBODY, NOBODY, 0),
        (0, 0, 0),
        (0, NOBODY, 2),
        (NOBODY, 0, 2),
        (NOBODY, NOBODY - 1, 2),
    ] {
        let (_listener, port) = listen("127.0.0.1");
        let layer = Layer::new(PATIENT_AGENT, port);
        std::fs::set_permissions(layer.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(layer.path().join("libexec"), Permissions::from_mode(0o777))
            .unwrap();
        let mut command = layer.command("cat");
        let mut status = layer.status();
        let child = command.uid(of_supervisor).gid(of_supervisor).spawn();
        let app = App::of(&layer, child.unwrap());
        app.agent(1);
        let output = bounded({
            status.uid(of_status).gid(of_status);
            status
        });
        let text = text(&output);
        assert_eq!(output.status.code(), Some(expected), "{text}");
        if expected != 0 {
            assert!(!text.contains("app=shop"), "{text}");
            let words = format!("of user ID {of_supervisor}");
            assert!(text.contains(&words), "{text}");
        }
        app.finish();
    }
}

#[test]
fn status_of_labels_of_any_length_is_reported() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    layer.set("BACKPLANE_LABELS", &format!("app={}", "x".repeat(100_000)));
    let app = layer.launch();
    let agent = app.agent(1);
    let output = layer.status().arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found = format!("\"agent_pid\":{agent},");
    assert!(text(&output).contains(&found), "{}", text(&output));
    assert!(text(&output).contains("xxx…\""), "{}", text(&output));
    app.finish();
}
