//! Containers that get no agent, or must not notice it.

use crate::served::{edge, image};
use crate::subjects::{PATIENT_AGENT, app};
use crate::support::{Build, TOKEN};

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn worker_and_one_off_command_get_no_agent_and_no_word() {
    let edge = edge();
    let worker = image()
        .process("worker")
        .connect(&edge)
        .env("PORT", "")
        .start();
    worker.wait_for_stdout("working\n");
    assert_eq!(worker.stderr(), "");
    assert_eq!(worker.processes(), ["./sample-app worker"]);

    let one_off = image()
        .process("launcher")
        .options(["--tty"])
        .command(["--", "echo", "done"])
        .connect(&edge)
        .start();
    assert_eq!(one_off.wait(), 0);
    assert_eq!(one_off.stdout(), "done\r\n");
}

/// What an image without the buildpack is compared with: it boots the same.
#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn nothing_of_ours_is_in_the_apps_environment() {
    let app = app().process("web", "echo; compgen -e | sort");
    let variables = |build: Build| {
        let container = build
            .run()
            .container()
            .env("BACKPLANE_TOKEN", TOKEN)
            .start();
        assert_eq!(container.wait(), 0, "{}", container.stderr());
        container.stdout()
    };
    let app = app.executable("vendor/backplane", PATIENT_AGENT);
    let build = || Build::new(app.clone()).env("BACKPLANE_AGENT_URL", "vendor/backplane");
    let with = variables(build());
    assert!(with.contains("\nBACKPLANE_TOKEN\n"), "{with}");
    assert_eq!(with, variables(build().without_buildpacks()));
}
