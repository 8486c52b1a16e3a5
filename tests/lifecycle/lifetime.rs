//! When the agent starts, comes back and ends.

use crate::subjects::{
    APPS_OUTPUT, APPS_STATUS, LEFT_AFTER_APP, PATIENT_AGENT, app, build_with_agent, connected,
    image_with_agent,
};
use crate::support::{
    DEADLINE, ReservedPort, eventually, never_within, soak_or, workshop, zombies_of,
};
use indoc::indoc;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_starts_only_after_the_app_listens() {
    let marks = workshop().new_folder();
    let (listens, started) = (marks.path().join("listens"), marks.path().join("started"));
    let image = image_with_agent(&format!(
        "#!/bin/sh\n[ -e '{}' ] && echo after >'{}'\nexec sleep 1000\n",
        listens.display(),
        started.display()
    ));
    let port = ReservedPort::new();
    let running = image.launch("web").connect(port.number).start();
    running.wait_for_stdout(APPS_OUTPUT);
    running.wait_for_supervisor();
    // At boot it looks every 20 ms, so one that does not wait, or takes the bound port for a listener, is seen here.
    never_within(
        Duration::from_millis(500),
        "an agent for an app that does not listen",
        || !running.agents().is_empty(),
    );

    fs::write(&listens, "").unwrap();
    let _listener = port.listen();
    eventually(
        DEADLINE,
        "an agent that was started after the app listened",
        || started.exists().then_some(()),
    );
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_starts_at_once_where_it_shall_not_wait() {
    let image = image_with_agent(PATIENT_AGENT);
    let port = ReservedPort::new();
    let launch = image.launch("web").connect(port.number);
    let running = launch.env("BACKPLANE_WAIT_FOR_APP", "false").start();
    running.wait_for_agent();
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_comes_back_after_it_was_killed() {
    let (running, _listener) = connected(PATIENT_AGENT);
    let first = running.wait_for_agent();
    first.signal(Signal::KILL);

    let second = running.wait_for_agent_after(&first);
    assert!(second.is_alive());
    running.wait_for_stderr("[backplane] The agent was terminated by SIGKILL. Restarting it in ");
    assert_eq!(running.agents().len(), 1);
    assert_eq!(
        zombies_of(running.wait_for_supervisor().id()),
        Vec::<u32>::new()
    );
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_that_exits_at_once_is_tried_ever_more_rarely_and_explained() {
    let image = image_with_agent("#!/bin/sh\nexit 3\n");
    let port = ReservedPort::new();
    let launch = image.launch("web").connect(port.number);
    let _listener = port.listen();
    let mut running = launch.start();

    running.wait_for_stderr("The agent has exited 5 times in a row soon after its start.");
    let lines = running.our_lines();
    let exits = lines
        .iter()
        .filter(|line| line.contains("exited with status 3."))
        .count();
    assert!((4..=5).contains(&exits), "{lines:?}");
    running.close_stdin();
    assert_eq!(running.wait().code(), Some(APPS_STATUS));
    assert!(running.wait_for_nothing_left() < LEFT_AFTER_APP);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_is_gone_after_the_app_exits() {
    let (mut running, _listener) = connected(PATIENT_AGENT);
    running.close_stdin();
    assert_eq!(running.wait().code(), Some(APPS_STATUS));
    assert!(running.wait_for_nothing_left() < LEFT_AFTER_APP);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_is_gone_after_the_app_is_signalled() {
    for signal in [Signal::TERM, Signal::KILL, Signal::SEGV] {
        let (mut running, _listener) = connected(PATIENT_AGENT);
        running.signal(signal);
        assert!(!running.wait().success());
        let time = running.wait_for_nothing_left();
        assert!(time < LEFT_AFTER_APP, "{signal:?}: {time:?}");
    }
}

/// An agent that does not obey, and that has children that do not either, is killed with them.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn stubborn_agent_is_gone_after_the_app() {
    let script = "#!/bin/sh\ntrap '' TERM HUP INT\nsleep 1000 &\n(sleep 1000 &)\nwait\nwhile :; do sleep 1; done\n";
    let (mut running, _listener) = connected(script);
    eventually(DEADLINE, "the agent's children", || {
        let sleepers = running
            .processes()
            .iter()
            .filter(|process| process.arguments().starts_with(&["sleep".to_owned()]))
            .count();
        (sleepers >= 2).then_some(())
    });
    running.signal(Signal::KILL);
    running.wait();
    let time = running.wait_for_nothing_left();
    assert!(time < LEFT_AFTER_APP, "{time:?}");
    running.wait_for_stderr("[backplane] The agent did not exit in time");
}

/// An agent that finishes its work on SIGTERM is given the time to do so, and so are the processes that it started.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn willing_agent_may_finish_after_the_app() {
    let script = indoc! {"
        #!/bin/sh
        (trap 'echo child finished; exit' TERM; echo child ready; while :; do sleep 0.05; done) &
        trap 'sleep 0.5; echo agent finished; exit' TERM
        echo agent ready
        while :; do sleep 0.05; done
    "};
    let (mut running, _listener) = connected(script);
    running.wait_for_stderr("agent ready\n");
    running.wait_for_stderr("child ready\n");
    running.close_stdin();
    running.wait();
    assert!(running.wait_for_nothing_left() < LEFT_AFTER_APP);
    for words in ["agent finished\n", "child finished\n"] {
        assert!(running.stderr().contains(words), "{}", running.stderr());
    }
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_is_gone_after_its_supervisor_is_killed() {
    let (running, _listener) = connected(PATIENT_AGENT);
    let agent = running.wait_for_agent();
    running.wait_for_supervisor().signal(Signal::KILL);
    eventually(DEADLINE, "the agent's end", || {
        (!agent.is_alive()).then_some(())
    });
    // The app does not notice.
    assert!(running.app().is_alive());
}

/// Heroku's Cedar stack sends SIGTERM to every process at once.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn supervisor_goes_on_after_sigterm_while_the_app_does() {
    let (mut running, _listener) = connected(PATIENT_AGENT);
    let agent = running.wait_for_agent();
    let supervisor = running.wait_for_supervisor();
    supervisor.signal(Signal::TERM);
    running.wait_for_stderr("[backplane] Received SIGTERM.");
    assert!(agent.is_alive());

    agent.signal(Signal::KILL);
    running.wait_for_stderr("[backplane] The agent was terminated by SIGKILL.\n");
    // Longer than the pause before a first restart.
    never_within(Duration::from_secs(1), "an agent after SIGTERM", || {
        !running.agents().is_empty()
    });
    assert!(
        supervisor.is_alive(),
        "it ends with the app, so that it leaves no zombie"
    );
    running.close_stdin();
    running.wait();
    assert!(running.wait_for_nothing_left() < LEFT_AFTER_APP);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn second_process_gets_no_second_agent() {
    let image = image_with_agent(PATIENT_AGENT);
    let port = ReservedPort::new();
    let number = port.number;
    let _listener = port.listen();
    let launch = || {
        image
            .launch("web")
            .connect(number)
            .env("BACKPLANE_LOG", "debug")
    };
    let first = launch().start();
    first.wait_for_agent();

    let second = launch().start();
    second.wait_for_stdout(APPS_OUTPUT);
    second.wait_for_stderr(&format!(
        "[backplane] No second agent: another supervisor already runs one for localhost:{number}."
    ));
    // Longer than the pauses between its attempts.
    never_within(Duration::from_secs(2), "a second agent", || {
        !second.agents().is_empty()
    });
    drop(first);

    // The lock has gone with its holder, and the next one is at hand.
    second.wait_for_agent();
}

/// As process 1 of a container, the app would have to reap what we leave: most apps do not, and zombies count against the limit of
/// processes until the container ends.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn launches_leave_nothing() {
    let image = build_with_agent(
        app().process("web", "echo the app is up; exec cat >/dev/null"),
        PATIENT_AGENT,
    )
    .run();
    let port = ReservedPort::new();
    let number = port.number;
    let _listener = port.listen();
    let files_before = files_in(&image.layers());
    let mut signals = [None, Some(Signal::TERM), Some(Signal::KILL)]
        .into_iter()
        .cycle();
    for round in 0..soak_or(200, 20) {
        let mut running = image.launch("web").connect(number).like_process_1().start();
        running.wait_for_stdout(APPS_OUTPUT);
        let first = running.wait_for_agent();
        if round % 5 == 0 {
            // A restart leaves nothing either.
            first.signal(Signal::KILL);
            running.wait_for_agent_after(&first);
        }
        assert_eq!(zombies_of(running.id()), Vec::<u32>::new(), "round {round}");
        assert_eq!(
            zombies_of(running.wait_for_supervisor().id()),
            Vec::<u32>::new(),
            "round {round}"
        );
        match signals.next().unwrap() {
            None => running.close_stdin(),
            Some(signal) => running.signal(signal),
        }
        running.wait();
        let time = running.wait_for_nothing_left();
        assert!(time < LEFT_AFTER_APP, "round {round}: {time:?}");
    }
    assert_eq!(files_in(&image.layers()), files_before);
}

/// The names of all files below a folder.
fn files_in(folder: &std::path::Path) -> BTreeSet<std::path::PathBuf> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.append(&mut files_in(&path));
        }
        files.insert(path);
    }
    files
}

/// Where there is nothing to do, nothing is started that could be left; where there may be later, a supervisor stands by.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn skipped_launches_leave_nothing() {
    let image = build_with_agent(
        app().process("web", "echo the app is up; exec cat >/dev/null"),
        PATIENT_AGENT,
    )
    .run();
    let port = ReservedPort::new();
    let number = port.number;
    let _listener = port.listen();
    let first = image.launch("web").connect(number).start();
    first.wait_for_agent();
    for round in 0..soak_or(200, 20) {
        // One without a token, one whose target has its agent already.
        let launch = if round % 2 == 0 {
            image.launch("web")
        } else {
            image.launch("web").connect(number)
        };
        let mut running = launch.like_process_1().start();
        running.wait_for_stdout(APPS_OUTPUT);
        let expected = if round % 2 == 0 { 1 } else { 2 };
        eventually(DEADLINE, "the process, and what stands by", || {
            (running.processes().len() == expected).then_some(())
        });
        assert_eq!(zombies_of(running.id()), Vec::<u32>::new(), "round {round}");
        running.close_stdin();
        running.wait();
        running.wait_for_nothing_left();
    }
}
