//! The README's section "Use another agent" in a container: its files, with the real frp, whose server is on the host.

use std::io::Read as _;

use harness::TOKEN;
use harness::containers::{Build, Container, test_env};

use crate::fixtures::sample_app;

/// What bash runs to tell the pid of frpc, or to kill it: the image has no `ps`.
const PID_OF_FRPC: &str = r#"for name in /proc/[0-9]*/comm; do [[ $(<"$name") != frpc ]] || echo "${name//[!0-9]/}"; done"#;

fn pid_of_frpc(container: &Container) -> Option<String> {
    let (code, stdout, stderr) = container.exec(&["bash", "-c", PID_OF_FRPC]);
    assert_eq!(code, Some(0), "{stderr}");
    (!stdout.is_empty()).then(|| stdout.trim().to_owned())
}

/// An app that stays after its last answer until it is told: what the tunnel still holds of an answer is lost when the app ends.
const PATIENT: &str = "./sample-app & trap 'kill -TERM %1' TERM; wait; wait; until [[ -e /tmp/end ]]; do sleep 0.05; done";

#[test]
fn request_reaches_the_app_in_a_container_through_frp() {
    let image = Build::new(
        sample_app()
            .process("web", PATIENT)
            .file("agent.tgz", test_env().frp_agent()),
    )
    .env("BACKPLANE_AGENT_URL", "agent.tgz")
    .run();
    let server = test_env().frp_server(TOKEN);
    server.wait_for_status(404);
    let container = image.container().connect_by_frp(&server).start();
    server.wait_for_status(200);
    let (_, answer) = server.get();
    assert!(answer.contains("Hello from the sample app"), "{answer}");
    // The app listens where nobody else can reach it, and the script has become the tunnel.
    assert_eq!(container.stdout(), "listening 127.0.0.1:8080\n");
    let processes = container.processes();
    assert_eq!(
        processes.last().map(String::as_str),
        Some("frpc --config /layers/backplane_agent/agent/libexec/frpc.toml")
    );
    assert!(
        !processes
            .iter()
            .any(|process| process.starts_with("/bin/sh")),
        "{processes:?}"
    );

    // It comes back after a crash.
    let first = pid_of_frpc(&container).expect("it runs");
    let (code, _, stderr) = container.exec(&["bash", "-c", &format!("kill -KILL {first}")]);
    assert_eq!(code, Some(0), "{stderr}");
    container.eventually("another frpc", || {
        pid_of_frpc(&container).filter(|pid| *pid != first)
    });
    server.wait_for_status(200);

    // A request in flight is finished, and then the tunnel is gone.
    // Longer than the supervisor takes to see that the app no longer listens.
    let mut answer = server.open_slow(4000);
    // What `docker stop` begins with.
    container.kill("TERM");
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("10/10\n"), "{rest}");
    let (code, _, stderr) = container.exec(&["touch", "/tmp/end"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    server.wait_for_status(404);
}
