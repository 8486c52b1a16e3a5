//! The agents that the buildpack installs by name: real tunnels, with their real servers.

use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use harness::lifecycle::{Build, BuildProgram, FrontEnd, Image, Launch, Running, test_env};
use harness::{
    App, DEADLINE, DOMAIN, TOKEN, Tunnel, TunnelServer, assert_logs, eventually,
    for_each_front_end, free_port,
};
use rustix::process::Signal;

use crate::fixtures::assert_lines;

for_each_front_end! {
    request_reaches_the_app_through_the_tunnel_and_again_after_a_crash,
    agent_is_added_by_a_table_and_a_directory,
}

/// An app that stays after its last answer, until its stdin ends: what the tunnel still holds of an
/// answer is lost when the app ends.
const PATIENT: &str = "./sample-app & trap 'kill -TERM %1' TERM; wait; wait; read -r _";

/// The stand-in's sample app, with a tunnel's release in it as the tunnel's project publishes it.
fn build(front_end: FrontEnd, tunnel: Tunnel) -> Build {
    let sample_app = fs::read(test_env().program("sample-app")).unwrap();
    let release = format!("vendor/{}", tunnel.release_name());
    let app = App::new()
        .process("web", "exec ./sample-app")
        .process("patient", PATIENT)
        .process("six", "exec ./sample-app --listen [::1]:$PORT")
        .executable("sample-app", sample_app)
        .file(&release, test_env().tunnel_release(tunnel));
    let source = format!("vendor/{}", tunnel.release_template());
    Build::by(front_end, app)
        .env("BACKPLANE_AGENT", tunnel.name())
        .env("BACKPLANE_AGENT_URL", source)
}

/// The image of such a build, shared by all tests.
fn image(tunnel: Tunnel) -> &'static Image {
    static IMAGES: [OnceLock<Image>; Tunnel::ALL.len()] = [const { OnceLock::new() }; 2];
    let index = Tunnel::ALL.iter().position(|other| *other == tunnel);
    IMAGES[index.unwrap()].get_or_init(|| build(FrontEnd::Cnb, tunnel).run())
}

fn server(tunnel: Tunnel) -> TunnelServer {
    test_env().tunnel_server(tunnel, &tunnel.token(TOKEN))
}

/// A launch with three variables, and the port of a web process.
fn launch(image: &Image, process_type: &str, tunnel: Tunnel, server: &TunnelServer) -> Launch {
    server
        .variables()
        .into_iter()
        .fold(image.launch(process_type), |launch, (name, value)| {
            launch.env(name, value)
        })
        .env("BACKPLANE_TOKEN", tunnel.token(TOKEN))
        .env("PORT", free_port().to_string())
}

fn request_reaches_the_app_through_the_tunnel_and_again_after_a_crash(front_end: FrontEnd) {
    for tunnel in Tunnel::ALL {
        let mut server = server(tunnel);
        let image = build(front_end, tunnel).run();
        assert_logs(&image.log, &format!("The agent is {}\n", tunnel.name()));
        let notes = image.log.matches("chisel has no labels").count();
        assert_eq!(notes, usize::from(tunnel == Tunnel::Chisel));
        server.wait_for_status(None);

        let mut running = launch(&image, "web", tunnel, &server).start();
        server.wait_for_status(Some(200));
        // The script has become the tunnel, so that no signal misses it; and no list of processes
        // shows the token.
        let first = running.wait_for_agent();
        let program = format!("libexec/{}", tunnel.program());
        assert!(first.executable().ends_with(program), "{first:?}");
        assert!(!first.arguments().concat().contains(TOKEN), "{first:?}");

        first.signal(Signal::KILL);
        running.wait_for_agent_after(&first);
        server.wait_for_status(Some(200));
        server.start_again();
        server.wait_for_status(Some(200));

        running.signal(Signal::TERM);
        assert!(running.wait().success());
        running.wait_for_nothing_left();
        server.wait_for_status(None);
        assert!(!running.stderr().contains(TOKEN), "{}", running.stderr());
    }
}

/// Asserts that the log tells what is wrong, and that the app has what it needs.
#[track_caller]
fn assert_reported(running: &Running, agents_line: &str) {
    running.wait_for_stderr(agents_line);
    // The supervisor starts it again and again, with growing delays.
    running.wait_for_stderr("The agent exited with status ");
    assert!(!running.stderr().contains(TOKEN), "{}", running.stderr());
    assert!(running.app().is_alive());
}

#[test]
fn wrong_token_and_wrong_server_are_reported_by_the_agent() {
    for (tunnel, refused, unreachable) in [
        (
            Tunnel::Chisel,
            "Authentication failed",
            "connect: connection refused",
        ),
        (
            Tunnel::Frp,
            "token in login doesn't match",
            "connect: connection refused",
        ),
    ] {
        let mut server = server(tunnel);
        let secret = format!("{TOKEN}-of-another");
        let with_wrong_token = launch(image(tunnel), "web", tunnel, &server)
            .env("BACKPLANE_TOKEN", tunnel.token(&secret));
        assert_reported(&with_wrong_token.start(), refused);
        assert_eq!(server.status(DOMAIN), None);

        server.kill();
        let running = launch(image(tunnel), "web", tunnel, &server).start();
        assert_reported(&running, unreachable);
        server.start_again();
        server.wait_for_status(Some(200));
    }
}

#[test]
fn missing_variable_is_one_line_and_no_agent() {
    for tunnel in Tunnel::ALL {
        let server = server(tunnel);
        let (required, value) = server.variables().swap_remove(0);
        for value in ["", value.as_str()] {
            let running = launch(image(tunnel), "web", tunnel, &server)
                .env(required, value)
                .start();
            if value.is_empty() {
                running.wait_for_stdout("listening ");
                let line = format!("No agent for this process: {required} is not set");
                assert_lines(&running.our_lines(), &[&line]);
                assert_eq!(running.processes().len(), 1);
            } else {
                server.wait_for_status(Some(200));
            }
        }
    }
}

#[test]
fn app_that_serves_ipv6_only_is_reached() {
    for tunnel in Tunnel::ALL {
        let server = server(tunnel);
        let _running = launch(image(tunnel), "six", tunnel, &server).start();
        server.wait_for_status(Some(200));
    }
}

/// As Heroku's Cedar ends a dyno.
#[test]
fn request_in_flight_outlives_a_sigterm_to_every_process() {
    for tunnel in Tunnel::ALL {
        let server = server(tunnel);
        let image = build(FrontEnd::Classic, tunnel).run();
        let mut running = launch(&image, "web", tunnel, &server).start();
        server.wait_for_status(Some(200));

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
}

#[test]
fn request_in_flight_is_finished_when_the_app_is_stopped() {
    for tunnel in Tunnel::ALL {
        let server = server(tunnel);
        let mut running = launch(image(tunnel), "patient", tunnel, &server).start();
        server.wait_for_status(Some(200));
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
}

/// What docs/agents.md warns of.
#[test]
fn tunnels_do_not_drain() {
    for tunnel in Tunnel::ALL {
        let server = server(tunnel);
        let launch = launch(image(tunnel), "web", tunnel, &server);
        let running = launch.env("BACKPLANE_DRAIN", "stop").start();
        server.wait_for_status(Some(200));
        // Longer than any answer is waited for.
        let mut answer = server.open_slow(Duration::from_mins(1));
        // The app listens no more, and would finish this one.
        running.signal(Signal::USR1);
        let mut rest = String::new();
        // The end may be a reset of the connection.
        let _ = answer.read_to_string(&mut rest);
        assert!(!rest.contains("10/10\n"), "{rest}");
        assert!(running.app().is_alive());
    }
}

#[test]
fn health_url_shows_whether_the_tunnel_lives() {
    for tunnel in Tunnel::ALL {
        let server = server(tunnel);
        // chisel's leads through the tunnel to the app.
        let path = if tunnel == Tunnel::Frp { "healthz" } else { "" };
        let url = format!("http://127.0.0.1:{}/{path}", free_port());
        let launch = launch(image(tunnel), "web", tunnel, &server);
        let _running = launch.env("BACKPLANE_HEALTH_URL", &url).start();
        server.wait_for_status(Some(200));
        eventually(DEADLINE, "an answer of the health URL", || {
            let mut curl = Command::new("curl");
            let output = curl.args(["--silent", "--fail", &url]).output().unwrap();
            output.status.success().then_some(())
        });
    }
}

#[test]
fn replicas_share_the_domain_of_frp() {
    let (image, server) = (image(Tunnel::Frp), server(Tunnel::Frp));
    let mut replicas = [(); 2].map(|()| launch(image, "web", Tunnel::Frp, &server).start());
    for replica in &replicas {
        // A line of frpc: the server has accepted it.
        replica.wait_for_stderr("start proxy success");
    }
    replicas[0].signal(Signal::TERM);
    assert!(replicas[0].wait().success());
    replicas[0].wait_for_nothing_left();
    server.wait_for_status(Some(200));
    replicas[1].signal(Signal::TERM);
    assert!(replicas[1].wait().success());
    server.wait_for_status(None);
}

/// frp renders its configuration as HTML, and reads the result as TOML.
#[test]
fn values_of_any_characters_reach_the_server_unchanged() {
    const ODD: &str = r#"a"b\c&d'e+f<g>{{ .h }}$i`j%k#l </script> ü\u0041"#;
    for tunnel in Tunnel::ALL {
        let token = tunnel.token(&format!("{TOKEN}{ODD}"));
        let server = test_env().tunnel_server(tunnel, &token);
        let start = |labels: &str, domain: &str| {
            launch(image(tunnel), "web", tunnel, &server)
                .env("BACKPLANE_TOKEN", &token)
                .env("BACKPLANE_LABELS", format!("app={labels}"))
                .env("BACKPLANE_FRP_DOMAIN", domain)
                .start()
        };
        let running = start(ODD, DOMAIN);
        server.wait_for_status(Some(200));
        assert!(!running.stderr().contains(TOKEN), "{}", running.stderr());
        if tunnel == Tunnel::Frp {
            // The same labels at another domain are another group.
            let _other = start(ODD, "other.test");
            eventually(DEADLINE, "an answer at the other domain", || {
                server.status("other.test").filter(|status| *status == 200)
            });
        }
    }
}

/// Without any Rust, for either front end.
fn agent_is_added_by_a_table_and_a_directory(front_end: FrontEnd) {
    const TABLE: &str = r#"
        [metadata.agents.mole]
        url = "vendor/{version}/mole-{os}.tgz"
        platforms = ["linux/amd64", "linux/arm64"]
        version = "1.0"
        file = "moled"
        note = "It digs."
    "#;
    let mut program = BuildProgram::new(front_end);
    let package = program.own_package();
    let descriptor = package.join("buildpack.toml");
    let text = fs::read_to_string(&descriptor).unwrap() + TABLE;
    fs::write(descriptor, text).unwrap();
    let of_agent = package.join("agents/mole");
    fs::create_dir(&of_agent).unwrap();
    let wrapper = "#!/bin/sh\nexec moled --config \"${0%/*}/mole.toml\" \"$@\"\n";
    let required = "BACKPLANE_MOLE_HILL\nBACKPLANE_LABELS=agent=mole\n";
    for (name, content) in [
        ("backplane", wrapper),
        ("mole.toml", "depth = 1\n"),
        ("variables", required),
    ] {
        fs::write(of_agent.join(name), content).unwrap();
    }
    // The release has more than the program.
    let release = program.app.join("vendor/2.0");
    fs::create_dir_all(release.join("mole")).unwrap();
    fs::write(release.join("mole/moled"), "#!/bin/sh\necho \"$@\"\n").unwrap();
    fs::write(release.join("mole/mole.toml"), "the release's").unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-czf", "mole-linux.tgz", "mole"])
        .current_dir(&release);
    assert!(tar.status().unwrap().success());

    program.set("BACKPLANE_AGENT", "mole");
    program.set("BACKPLANE_AGENT_VERSION", "2.0");
    for log in ["Installed moled", "Using the cached agent"] {
        let (status, output) = BuildProgram::run(program.command());
        assert!(status.success(), "{output}");
        for line in ["The agent is mole", "It digs.", log] {
            assert_logs(&output, line);
        }
        program.restore();
        let mut agent = Command::new(&program.installed);
        let directory = program.installed.parent().unwrap().to_owned();
        agent.env("PATH", format!("{}:/usr/bin:/bin", directory.display()));
        let output = agent.args(["connect", "a=b"]).output().unwrap();
        let expected = format!("--config {}/mole.toml connect a=b\n", directory.display());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(read("mole.toml"), "depth = 1\n");
        assert_eq!(read("../agent.variables"), required);
    }

    // The release of the default agent has everything itself, so nothing of the other one stays.
    fs::write(program.app.join("agent"), "#!/bin/sh\n").unwrap();
    program.set("BACKPLANE_AGENT", "");
    program.set("BACKPLANE_AGENT_URL", "agent");
    let (status, output) = BuildProgram::run(program.command());
    assert!(status.success(), "{output}");
    assert_logs(&output, "the agent has changed from mole to backplane");
    let directory = program.installed.parent().unwrap();
    assert!(!directory.join("mole.toml").exists());
    assert!(!directory.join("moled").exists());
}
