//! `examples/minimal.rs`, as a buildpack would install it.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn minimal_example_runs_an_agent_beside_a_web_process() {
    // Cargo builds examples for tests, but has no variable for their directory.
    let deps = std::env::current_exe().unwrap();
    let example = deps.ancestors().nth(2).unwrap().join("examples/minimal");
    let layer = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for directory in ["exec.d", "bin"] {
        fs::create_dir(layer.path().join(directory)).unwrap();
    }
    let program = layer.path().join("exec.d/agent");
    fs::hard_link(example, &program).unwrap();
    symlink(&program, layer.path().join("bin/agent-status")).unwrap();
    let agent = layer.path().join("bin/agent");
    let script =
        "#!/bin/sh\necho \"$$ $1\" >\"$0.new\"; mv \"$0.new\" \"$0.log\"; exec sleep 1000\n";
    fs::write(&agent, script).unwrap();
    fs::set_permissions(&agent, Permissions::from_mode(0o755)).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // The shell is the launcher, by the name of a web process, and then the app.
    let mut app = Command::new("sh")
        .arg0("/cnb/process/web")
        .args(["-c", "\"$0\"; exec cat"])
        .arg(&program)
        .env("PORT", port.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let log = eventually("the agent's log", || {
        fs::read_to_string(layer.path().join("bin/agent.log")).ok()
    });
    let (pid, url) = log.trim_end().split_once(' ').unwrap();
    assert_eq!(url, format!("http://127.0.0.1:{port}"));
    let status = Command::new(layer.path().join("bin/agent-status"))
        .env("PORT", port.to_string())
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");

    drop(app.stdin.take());
    assert!(app.wait().unwrap().success());
    let process = Path::new("/proc").join(pid);
    eventually("the end of the agent", || (!process.exists()).then_some(()));
}
