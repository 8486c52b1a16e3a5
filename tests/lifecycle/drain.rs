//! An app that lives but no longer listens: it is draining, or restarting within its process.

use crate::subjects::{PATIENT_AGENT, image_with_agent};
use crate::support::{DEADLINE, Image, Running, eventually, free_port};
use std::net::{Ipv4Addr, TcpListener};

/// A running app with its agent, whose listening the test does.
struct Scene {
    port: u16,
    running: Running,
    listener: Option<TcpListener>,
    _image: Image,
}

impl Scene {
    fn new(drain: &str) -> Self {
        let image = image_with_agent(PATIENT_AGENT);
        let port = free_port();
        let listener = Some(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
        let launch = image.launch("web").connect(port);
        let running = launch.env("BACKPLANE_DRAIN", drain).start();
        running.wait_for_agent();
        Self {
            port,
            running,
            listener,
            _image: image,
        }
    }

    fn stop_listening(&mut self) {
        self.listener = None;
    }

    fn listen_again(&mut self) {
        self.listener = Some(TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).unwrap());
    }
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_is_kept_by_default() {
    // An empty value is as good as none.
    let mut scene = Scene::new("");
    let agent = scene.running.wait_for_agent();
    scene.stop_listening();
    scene.running.wait_for_stderr(&format!(
        "[backplane] The app no longer listens on port {}. The agent keeps running",
        scene.port
    ));
    assert!(agent.is_alive());
    scene.listen_again();
    scene.running.wait_for_stderr(&format!(
        "[backplane] The app listens on port {} again.\n",
        scene.port
    ));
    assert!(agent.is_alive());
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_is_stopped_where_asked_and_started_again() {
    let mut scene = Scene::new("stop");
    let first = scene.running.wait_for_agent();
    scene.stop_listening();
    scene.running.wait_for_stderr(&format!(
        "[backplane] The app no longer listens on port {}. Asking the agent to finish",
        scene.port
    ));
    eventually(DEADLINE, "the agent's end", || {
        (!first.is_alive()).then_some(())
    });
    scene
        .running
        .wait_for_stderr("[backplane] The agent was terminated by SIGTERM. It restarts when");
    scene.listen_again();
    scene.running.wait_for_agent_after(&first);
}
