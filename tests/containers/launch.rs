//! Containers that serve, and containers that do not.

use crate::subjects::{ENDPOINT, sample_build};
use crate::support::{Build, Edge, Image, TOKEN, workshop};

/// Where `backplane-status` is in an image.
const STATUS: &str = "/layers/backplane_agent/agent/libexec/backplane-status";

/// An edge that leads to the containers of a test.
fn edge() -> Edge {
    let edge = Edge::start_for_agents_at(workshop().gateway(), TOKEN);
    edge.route(TOKEN, ENDPOINT, "some=label");
    edge.wait_for_status(ENDPOINT, 503);
    edge
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn app_on_127_0_0_1_serves_through_the_edge_until_it_is_stopped() {
    let (image, edge) = (sample_build().run(), edge());
    let container = image.container().connect(&edge).start();
    edge.wait_for_status(ENDPOINT, 200);
    // The app itself is process 1, and listens where nobody else can reach it.
    assert_eq!(container.stdout(), "listening 127.0.0.1:8080\n");
    assert_eq!(container.processes()[0], "./sample-app");
    let (code, status, stderr) = container.exec(&[STATUS]);
    assert_eq!(code, Some(0), "{status}{stderr}");

    container.stop(10);
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    edge.wait_for_status(ENDPOINT, 503);
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn killed_container_takes_its_agent_along() {
    let (image, edge) = (sample_build().run(), edge());
    let container = image.container().connect(&edge).start();
    edge.wait_for_status(ENDPOINT, 200);
    container.kill("KILL");
    assert_eq!(container.wait(), 128 + 9);
    edge.wait_for_status(ENDPOINT, 503);
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn container_serves_again_after_a_pause() {
    let (image, edge) = (sample_build().run(), edge());
    let container = image.container().connect(&edge).start();
    edge.wait_for_status(ENDPOINT, 200);
    container.pause();
    assert_eq!(container.inspect("{{.State.Paused}}"), "true");
    container.unpause();
    edge.wait_for_status(ENDPOINT, 200);
}

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn worker_and_one_off_command_get_no_agent_and_no_word() {
    let (image, edge) = (sample_build().run(), edge());
    let worker = image
        .process("worker")
        .connect(&edge)
        .env("PORT", "")
        .start();
    worker.wait_for_stdout("working\n");
    assert_eq!(worker.our_lines(), Vec::<String>::new());
    assert_eq!(worker.processes(), ["./sample-app worker"]);

    let one_off = image
        .process("launcher")
        .options(["--tty"])
        .command(["--", "echo", "done"])
        .connect(&edge)
        .start();
    assert_eq!(one_off.wait(), 0);
    assert_eq!(one_off.stdout(), "done\r\n");
}

/// Nothing at launch needs a program of the image.
#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn app_serves_from_an_image_without_a_shell() {
    let edge = edge();
    let image: Image = sample_build()
        .argument("--run-image")
        .argument(&workshop().run_image_without_shell)
        .run();
    let container = image
        .process("launcher")
        .command(["--", "./sample-app"])
        .connect(&edge)
        .env("BACKPLANE_PROCESS_TYPE", "web")
        .start();
    edge.wait_for_status(ENDPOINT, 200);
    let (code, ..) = container.exec(&["sh", "-c", "true"]);
    assert_ne!(code, Some(0));
    container.wait_for_stderr("[backplane]");
}

/// What an image without the buildpack is compared with: it boots the same.
#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn nothing_of_ours_is_in_the_apps_environment() {
    let app = crate::subjects::app().process("web", "echo; compgen -e | sort");
    let variables = |build: Build| {
        let container = build
            .run()
            .container()
            .env("BACKPLANE_TOKEN", TOKEN)
            .start();
        assert_eq!(container.wait(), 0, "{}", container.stderr());
        container.stdout()
    };
    let app = app.executable("vendor/backplane", crate::subjects::PATIENT_AGENT);
    let build = || Build::new(app.clone()).env("BACKPLANE_AGENT_URL", "vendor/backplane");
    let with = variables(build());
    assert!(with.contains("\nBACKPLANE_TOKEN\n"), "{with}");
    assert_eq!(with, variables(build().without_buildpacks()));
}
