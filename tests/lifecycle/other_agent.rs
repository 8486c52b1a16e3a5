//! The README's section "Use another agent": its files, with the real frp.

use std::fs;
use std::io::Read as _;
use std::time::Duration;

use harness::lifecycle::{Build, FrontEnd, Image, Launch, test_env};
use harness::{App, DOMAIN, FrpServer, TOKEN, free_port};
use rustix::process::Signal;

/// An app that stays after its last answer, until its stdin ends: what the tunnel still holds of an
/// answer is lost when the app ends.
const PATIENT: &str = "./sample-app & trap 'kill -TERM %1' TERM; wait; wait; read -r _";

/// The stand-in's sample app, with frp's client in it.
fn image_by(front_end: FrontEnd) -> Image {
    let sample_app = fs::read(test_env().program("sample-app")).unwrap();
    let app = App::new()
        .process("web", "exec ./sample-app")
        .process("patient", PATIENT)
        .process("six", "exec ./sample-app --listen [::1]:$PORT")
        .executable("sample-app", sample_app)
        .file("agent.tgz", test_env().frp_agent());
    Build::by(front_end, app)
        .env("BACKPLANE_AGENT_URL", "agent.tgz")
        .run()
}

fn image() -> Image {
    image_by(FrontEnd::Cnb)
}

fn server() -> FrpServer {
    test_env().frp_server(TOKEN)
}

/// A launch as the README has it.
fn launch(image: &Image, process_type: &str, server: &FrpServer) -> Launch {
    image
        .launch(process_type)
        .connect(free_port())
        .env("BACKPLANE_FRP_SERVER", "127.0.0.1")
        .env("BACKPLANE_FRP_PORT", server.port.to_string())
        .env("BACKPLANE_FRP_DOMAIN", DOMAIN)
}

#[test]
fn request_reaches_the_app_through_frp_and_again_after_a_crash() {
    let (image, server) = (image(), server());
    server.wait_for_status(404);
    let mut running = launch(&image, "web", &server).start();
    server.wait_for_status(200);
    let (_, answer) = server.get();
    assert!(answer.contains("Hello from the sample app"), "{answer}");

    // The script has become the tunnel, so that no signal misses it; and no list of processes shows
    // the token.
    let first = running.wait_for_agent();
    assert!(first.executable().ends_with("libexec/frpc"), "{first:?}");
    assert!(!first.arguments().concat().contains(TOKEN), "{first:?}");

    first.signal(Signal::KILL);
    running.wait_for_agent_after(&first);
    server.wait_for_status(200);

    running.signal(Signal::TERM);
    assert!(running.wait().success());
    running.wait_for_nothing_left();
    server.wait_for_status(404);
}

/// As Heroku's Cedar ends a dyno: frpc does not handle SIGTERM.
#[test]
fn request_in_flight_through_frp_outlives_a_sigterm_to_every_process() {
    let server = server();
    let image = image_by(FrontEnd::Classic);
    let mut running = launch(&image, "web", &server).start();
    server.wait_for_status(200);

    let mut answer = server.open_slow(Duration::from_secs(5));
    for process in running.processes() {
        process.signal(Signal::TERM);
    }
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    let log = running.stderr();
    assert!(rest.contains("10/10\n"), "{rest}; stderr: {log}");
    assert!(running.wait().success());
    running.wait_for_nothing_left();
}

#[test]
fn frp_reaches_an_app_that_serves_ipv6_only() {
    let (image, server) = (image(), server());
    let _running = launch(&image, "six", &server).start();
    server.wait_for_status(200);
}

#[test]
fn replicas_share_the_domain_of_frp() {
    let (image, server) = (image(), server());
    let mut replicas = [(); 2].map(|()| launch(&image, "web", &server).start());
    for replica in &replicas {
        // A line of frpc: the server has accepted it.
        replica.wait_for_stderr("start proxy success");
    }
    replicas[0].signal(Signal::TERM);
    assert!(replicas[0].wait().success());
    replicas[0].wait_for_nothing_left();
    server.wait_for_status(200);
    replicas[1].signal(Signal::TERM);
    assert!(replicas[1].wait().success());
    server.wait_for_status(404);
}

#[test]
fn request_in_flight_through_frp_is_finished_when_the_app_is_stopped() {
    let (image, server) = (image(), server());
    let mut running = launch(&image, "patient", &server).start();
    server.wait_for_status(200);
    // Longer than the supervisor takes to see that the app no longer listens.
    let mut answer = server.open_slow(Duration::from_secs(4));
    running.signal(Signal::TERM);
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("10/10\n"), "{rest}");
    running.close_stdin();
    running.wait();
    running.wait_for_nothing_left();
}

/// What the README warns of.
#[test]
fn frp_does_not_drain() {
    let (image, server) = (image(), server());
    let launch = launch(&image, "web", &server).env("BACKPLANE_DRAIN", "stop");
    let running = launch.start();
    server.wait_for_status(200);
    // Longer than any answer is waited for.
    let mut answer = server.open_slow(Duration::from_mins(1));
    // The app listens no more, and would finish this one.
    running.signal(Signal::USR1);
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("10/10\n"), "{rest}");
    assert!(running.app().is_alive());
}
