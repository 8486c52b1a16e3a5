//! What decides over an agent reaches the program by the real launcher and by a dyno; the rules themselves are tested beside them.

use harness::lifecycle::FrontEnd;
use harness::{ReservedPort, for_each_front_end};

use crate::fixtures::{APPS_OUTPUT, SCRIPT_AGENT, build_by};
use crate::terminal_session::Outcome::{Agent, AgentAfter, Silence, Words};
use crate::terminal_session::Stage;
use crate::terminal_session::Start::{Command, Name, Type};

for_each_front_end! {
    process_type_is_found,
    settings_reach_the_program,
}

fn process_type_is_found(front_end: FrontEnd) {
    // Each type has a label of its own, which shows what it was taken for.
    const WEB: (&str, &str) = ("BACKPLANE_LABELS_WEB", "is=web");
    const WORKER: (&str, &str) = ("BACKPLANE_LABELS_WORKER", "is=worker");
    const TWO_PARTS: (&str, &str) = ("BACKPLANE_LABELS_TWO_PARTS", "is=two-parts");
    let stage = Stage::new(front_end);
    // What only one of both has to go by, beside what a user or Heroku says.
    match front_end {
        FrontEnd::Cnb => stage.run(&[
            (Name("/somewhere/web"), &[WEB], Silence),
            // No link of that name in /cnb/process here.
            (Name("web"), &[WEB], Silence),
            // A name of no known shape says nothing, and the launcher's does.
            (
                Type("web"),
                &[WEB, ("DYNO", "something else")],
                Agent("some=label,is=web,heroku=true"),
            ),
        ]),
        FrontEnd::Classic => stage.run(&[
            (Type("web"), &[WEB, ("DYNO", "something else")], Silence),
            (Type("web"), &[WEB, ("DYNO", "")], Silence),
        ]),
    }
    stage.run(&[
        // By the launcher's name, or that of the dyno.
        (
            Type("web"),
            &[WEB, WORKER, TWO_PARTS],
            Agent("some=label,is=web"),
        ),
        (
            Type("worker"),
            &[WEB, WORKER, TWO_PARTS],
            Agent("some=label,is=worker"),
        ),
        (
            Type("two-parts"),
            &[WEB, WORKER, TWO_PARTS],
            Agent("some=label,is=two-parts"),
        ),
        (Type("run"), &[], Silence),
        (Type("release"), &[], Silence),
        (Type("scheduler"), &[], Silence),
        (Command, &[WEB], Silence),
        // By what Heroku says, whatever the launcher's name.
        (
            Type("web"),
            &[WEB, WORKER, ("DYNO", "worker.12")],
            Agent("some=label,is=worker,heroku=true"),
        ),
        (
            Command,
            &[TWO_PARTS, ("DYNO", "two-parts-12a34b56d-e78f9")],
            Agent("some=label,is=two-parts,heroku=true"),
        ),
        (Type("web"), &[WEB, ("DYNO", "run.4321")], Silence),
        // By the user, above all.
        (
            Command,
            &[WEB, ("BACKPLANE_PROCESS_TYPE", "web")],
            Agent("some=label,is=web"),
        ),
        (
            Type("web"),
            &[("BACKPLANE_PROCESS_TYPE", "run"), ("DYNO", "web.1")],
            Silence,
        ),
    ]);
}

fn settings_reach_the_program(front_end: FrontEnd) {
    const ALLOW: &str = "BACKPLANE_PROCESS_ALLOW";
    const NO_TOKEN: (&str, &str) = ("BACKPLANE_TOKEN", "");
    let stage = Stage::new(front_end);
    stage.run(&[
        (
            Type("web"),
            &[("BACKPLANE_DISABLED", "1"), ("BACKPLANE_DRAIN", "what")],
            Silence,
        ),
        (
            Type("web"),
            &[("BACKPLANE_IGNORE_PROCESS_TYPE", "worker web")],
            Silence,
        ),
        (Type("web"), &[(ALLOW, "worker")], Silence),
        (Type("release"), &[(ALLOW, "release")], Agent("some=label")),
        (Type("web"), &[("HEROKU_TEST_RUN_ID", "b5b7")], Silence),
        (
            Type("web"),
            &[NO_TOKEN],
            Words(&["No agent for this process: it has no token"]),
        ),
        (Type("worker"), &[NO_TOKEN], Silence),
        (
            Type("web"),
            &[("BACKPLANE_LABELS", ""), ("BACKPLANE_LABELS_WEB", "a=b")],
            Agent("a=b"),
        ),
        (
            Type("worker"),
            &[("PORT", "http")],
            Words(&["No agent for this process: PORT is 'http'"]),
        ),
        (
            Type("web"),
            &[
                ("BACKPLANE_WAIT_FOR_APP", "later"),
                ("BACKPLANE_DRAIN", "what"),
                ("BACKPLANE_LOG", "loud"),
            ],
            AgentAfter(
                "some=label",
                &[
                    "BACKPLANE_WAIT_FOR_APP is 'later'",
                    "BACKPLANE_DRAIN is 'what'",
                    "BACKPLANE_LOG is 'loud'",
                ],
            ),
        ),
    ]);
    let url = format!("http://localhost:{}/base?query", stage.port);
    let running = stage
        .launch(
            Type("worker"),
            &[("PORT", "1"), ("BACKPLANE_PROXY_URL", &url)],
        )
        .start();
    assert_eq!(
        running.wait_for_agent().arguments()[2..],
        ["connect", &front_end.labels("some=label"), &url]
    );
}

#[test]
fn arguments_for_the_default_process_make_no_one_off_of_it() {
    let image = build_by(FrontEnd::Cnb, SCRIPT_AGENT).run();
    let port = ReservedPort::reserve();
    let running = image
        .launch_with("web", &["some-command"])
        .connect(port.number)
        .start();
    running.wait_for_stdout(APPS_OUTPUT);
    assert_eq!(running.supervisors().len(), 1);
    assert_eq!(running.agents().len(), 0, "nothing listens");
    assert_eq!(running.our_lines(), [""; 0]);
    let _listener = port.listen();
    running.wait_for_agent();
}
