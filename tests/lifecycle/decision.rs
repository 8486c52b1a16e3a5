//! Which processes get an agent: the rules through the real launcher, in their order.

use crate::stage::Outcome::{Agent, AgentAfter, Silence};
use crate::stage::Stage;
use crate::stage::Start::{Command, Name, Type};
use crate::stage::sees_none;
use crate::subjects::{APPS_OUTPUT, SCRIPT_AGENT, build_by};
use crate::support::{FrontEnd, ReservedPort, for_each_front_end};

for_each_front_end! {
    disabled_is_silence,
    process_type_is_found,
    lists_choose_the_types,
    one_offs_are_not_disturbed,
    proxy_url_goes_before_port,
}

fn disabled_is_silence(front_end: FrontEnd) {
    let stage = Stage::new(front_end);
    for yes in ["1", "true", "yes", "on", "TRUE", " true "] {
        let running = stage
            .launch(Type("web"), &[("BACKPLANE_DISABLED", yes)])
            .start();
        running.wait_for_stdout(APPS_OUTPUT);
        sees_none(&running, &[("BACKPLANE_DISABLED", yes)], &[]);
    }
    stage.run(&[
        (Type("web"), &[("BACKPLANE_DISABLED", "1")], Silence),
        (Type("web"), &[("BACKPLANE_DISABLED", "1"), ("BACKPLANE_TOKEN", "")], Silence),
        (Type("web"), &[("BACKPLANE_DISABLED", "1"), ("BACKPLANE_DRAIN", "what")], Silence),
        (Type("web"), &[("BACKPLANE_DISABLED", "0")], Agent("some=label")),
        (Type("web"), &[("BACKPLANE_DISABLED", "false")], Agent("some=label")),
        (Type("web"), &[("BACKPLANE_DISABLED", "")], Agent("some=label")),
        (
            Type("web"),
            &[("BACKPLANE_DISABLED", "maybe")],
            AgentAfter(
                "some=label",
                &["BACKPLANE_DISABLED is 'maybe', but should be one of true, false, 1, 0, yes, no, on, off. It is taken as false."],
            ),
        ),
    ]);
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
        (Command, &[WEB], Silence),
        // By what Heroku says, whatever the launcher's name.
        (
            Command,
            &[WEB, ("DYNO", "web.1")],
            Agent("some=label,is=web,heroku=true"),
        ),
        (
            Type("web"),
            &[WEB, WORKER, ("DYNO", "worker.12")],
            Agent("some=label,is=worker,heroku=true"),
        ),
        (
            Command,
            &[WEB, ("DYNO", "web-12a34b56d-e78f9")],
            Agent("some=label,is=web,heroku=true"),
        ),
        (
            Command,
            &[TWO_PARTS, ("DYNO", "two-parts-12a34b56d-e78f9")],
            Agent("some=label,is=two-parts,heroku=true"),
        ),
        (Type("web"), &[WEB, ("DYNO", "run.4321")], Silence),
        (Type("web"), &[WEB, ("DYNO", "run-7f8d9c-x2z4")], Silence),
        (Type("web"), &[WEB, ("DYNO", "release.5521")], Silence),
        (Type("web"), &[WEB, ("DYNO", "scheduler.7")], Silence),
        (Command, &[WEB, ("DYNO", "something else")], Silence),
        // By the user, above all.
        (
            Command,
            &[WEB, ("BACKPLANE_PROCESS_TYPE", "web")],
            Agent("some=label,is=web"),
        ),
        (
            Type("web"),
            &[WEB, WORKER, ("BACKPLANE_PROCESS_TYPE", "worker")],
            Agent("some=label,is=worker"),
        ),
        (Type("web"), &[("BACKPLANE_PROCESS_TYPE", "run")], Silence),
        (
            Type("web"),
            &[("BACKPLANE_PROCESS_TYPE", "run"), ("DYNO", "web.1")],
            Silence,
        ),
        (
            Type("web"),
            &[WEB, ("BACKPLANE_PROCESS_TYPE", "")],
            Agent("some=label,is=web"),
        ),
    ]);
}

fn lists_choose_the_types(front_end: FrontEnd) {
    const IGNORE: &str = "BACKPLANE_IGNORE_PROCESS_TYPE";
    const ALLOW: &str = "BACKPLANE_PROCESS_ALLOW";
    Stage::new(front_end).run(&[
        (Type("web"), &[(IGNORE, "web")], Silence),
        (Type("web"), &[(IGNORE, "worker,web")], Silence),
        (Type("web"), &[(IGNORE, "worker  web")], Silence),
        (Type("web"), &[(IGNORE, " , web , ")], Silence),
        (Type("worker"), &[(IGNORE, "web")], Agent("some=label")),
        // By whole word.
        (
            Type("web"),
            &[(IGNORE, "webby, we, two-web")],
            Agent("some=label"),
        ),
        (Type("web"), &[(IGNORE, "")], Agent("some=label")),
        (Type("web"), &[(IGNORE, " , ")], Agent("some=label")),
        (Type("web"), &[(ALLOW, "web")], Agent("some=label")),
        (Type("web"), &[(ALLOW, "worker, web")], Agent("some=label")),
        (Type("web"), &[(ALLOW, "worker")], Silence),
        (Type("web"), &[(ALLOW, "webby")], Silence),
        (Type("web"), &[(ALLOW, "")], Agent("some=label")),
        (Type("web"), &[(ALLOW, ",")], Agent("some=label")),
        (Command, &[(ALLOW, "web")], Silence),
        // Ignore wins over allow.
        (Type("web"), &[(ALLOW, "web"), (IGNORE, "web")], Silence),
        // Who allows a one-off type means it.
        (Type("release"), &[(ALLOW, "release")], Agent("some=label")),
        (
            Type("web"),
            &[(ALLOW, "run"), ("DYNO", "run.1")],
            Agent("some=label,heroku=true"),
        ),
        (
            Type("web"),
            &[(ALLOW, "web"), ("HEROKU_TEST_RUN_ID", "1")],
            Agent("some=label"),
        ),
    ]);
}

fn one_offs_are_not_disturbed(front_end: FrontEnd) {
    Stage::new(front_end).run(&[
        (Type("run"), &[], Silence),
        (Type("release"), &[], Silence),
        (Type("scheduler"), &[], Silence),
        (Command, &[], Silence),
        (Type("web"), &[("HEROKU_TEST_RUN_ID", "b5b7")], Silence),
        (
            Type("web"),
            &[("HEROKU_TEST_RUN_ID", "")],
            Agent("some=label"),
        ),
        // Not even by what would be warned of elsewhere.
        (Type("run"), &[("BACKPLANE_TOKEN", "")], Silence),
        (Type("run"), &[("BACKPLANE_LABELS", "-")], Silence),
        (Type("run"), &[("BACKPLANE_DRAIN", "what")], Silence),
    ]);
}

fn proxy_url_goes_before_port(front_end: FrontEnd) {
    let stage = Stage::new(front_end);
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
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn arguments_for_the_default_process_make_no_one_off_of_it() {
    let image = build_by(FrontEnd::Cnb, SCRIPT_AGENT).run();
    let port = ReservedPort::new();
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
