//! Ends, pauses and restarts of containers.

use std::io::{BufRead as _, Read as _};
use std::thread;
use std::time::{Duration, Instant};

use harness::containers::test_env;
use harness::{App, documented, eventually};

use crate::fixtures::{ENDPOINT, build_with_servers};
use crate::orderly_ends::LIBEXEC;
use crate::served_app::{GRACE, Served, edge, image};

/// How long the request takes that is in flight when a container is stopped.
const SLOW: Duration = Duration::from_secs(3);

/// When the kernel has ended a container, its agent's connection is closed for the edge within this
/// time.
const NOTICED: Duration = Duration::from_secs(2);

/// A JVM takes seconds on a free machine, and many of them on a busy one.
const JVM_START: Duration = Duration::from_mins(2);

/// The app gets SIGTERM alone, and the agent goes on until the app has ended.
#[test]
fn request_in_flight_is_finished_when_the_container_is_stopped() {
    let served = Served::start_run(|edge| image().process("lingering").connect(edge));
    assert_finishes_when_stopped(&served, 0);
}

/// The recipe's settings, and an app that has the recipe's plugin.
#[test]
fn spring_boot_app_finishes_a_request_in_flight_below_run() {
    let app = App::new()
        .process(
            "web",
            &format!("exec {LIBEXEC}/backplane-run java -jar app.jar"),
        )
        .file("app.jar", test_env().spring_boot_app())
        .file(
            "application.properties",
            documented("docs/recipes.md", "server.address="),
        );
    let image = build_with_servers(app).run();
    let ready = documented("docs/recipes.md", "BACKPLANE_READY_PATH=");
    let (name, path) = ready.trim_end().split_once('=').unwrap();
    let edge = edge();
    let container = image.container().connect(&edge).env(name, path).start();
    eventually(JVM_START, "the start of the app", || {
        container.stdout().contains("Started App").then_some(())
    });
    edge.wait_for_status(ENDPOINT, 200);
    let served = Served { container, edge };
    assert_finishes_when_stopped(&served, 128 + 15);
}

fn assert_finishes_when_stopped(Served { container, edge }: &Served, status: i32) {
    let mut answer = edge.open_slow(ENDPOINT, SLOW);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| container.stop(GRACE));
        let mut rest = String::new();
        answer.read_to_string(&mut rest).unwrap();
        // The last piece, and the end of a body that comes in pieces (RFC 9112, section 7.1).
        assert!(rest.contains("10/10\n"), "{rest}");
        assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
    });
    let end = start.elapsed();
    assert_eq!(container.wait(), status, "{}", container.stderr());
    // Else the request was over before anything was stopped.
    assert!(end > SLOW / 2, "{end:?}");
}

#[test]
fn killed_container_takes_its_agent_along_and_serves_when_it_is_started_again() {
    let served = Served::start(|run| run);
    let agent = served.edge.wait_for_connected("some=label");
    let start = Instant::now();
    served.container.kill("KILL");
    assert_eq!(served.container.wait(), 128 + 9);
    let gone = served.edge.wait_for_gone(agent) - start;
    assert!(gone < NOTICED, "{gone:?}");
    assert_eq!(served.edge.get(ENDPOINT, "/"), 503);

    served.container.docker("start");
    served.edge.wait_for_status(ENDPOINT, 200);
    served.assert_stops();
}

#[test]
fn paused_container_answers_with_the_same_agent_when_it_goes_on() {
    let served = Served::start(|run| run);
    let agent = served.edge.wait_for_connected("some=label");
    served.container.docker("pause");
    let mut answer = served.edge.open(ENDPOINT, "/");
    let stream = answer.get_ref();
    stream
        .set_read_timeout(Some(Duration::from_millis(1500)))
        .unwrap();
    assert!(answer.fill_buf().is_err(), "it was answered in the pause");
    served.container.docker("unpause");

    let mut late = String::new();
    answer.read_to_string(&mut late).unwrap();
    assert!(late.starts_with("HTTP/1.1 200 "), "{late}");
    assert_eq!(served.edge.get(ENDPOINT, "/"), 200);
    assert_eq!(served.edge.connected("some=label"), Some(agent));
    served.assert_stops();
}
