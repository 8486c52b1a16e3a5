//! Agents that fail, in every way that an agent can: the app does not notice, and another agent comes.

use crate::subjects::{APPS_OUTPUT, APPS_STATUS, image_with_agent};
use crate::support::{
    DEADLINE, Process, ReservedPort, Running, eventually, never_within, zombies_of,
};
use indoc::indoc;
use rustix::fs::OFlags;
use rustix::process::Signal;
use std::time::Duration;

/// Lets the app end, and sees that nothing is left of it or beside it.
#[track_caller]
fn ends_well(running: &mut Running) {
    running.close_stdin();
    assert_eq!(
        running.wait().code(),
        Some(APPS_STATUS),
        "{}",
        running.stderr()
    );
    let time = running.wait_for_nothing_left();
    assert!(time < Duration::from_secs(3), "{time:?}");
    assert_eq!(String::from_utf8(running.stdout()).unwrap(), APPS_OUTPUT);
}

/// 126 and 127 are also what the step before the agent exits with where the agent's file cannot be run; this one can.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_comes_back_however_it_ended() {
    for (ending, words) in [
        ("exit 0", "exited with status 0"),
        ("exit 1", "exited with status 1"),
        ("exit 126", "exited with status 126"),
        ("exit 127", "exited with status 127"),
        ("sleep 0.3; exit 1", "exited with status 1"),
        ("kill -TERM $$", "was terminated by SIGTERM"),
        ("kill -SEGV $$", "was terminated by SIGSEGV"),
        ("kill -KILL $$", "was terminated by SIGKILL"),
    ] {
        let image = image_with_agent(&format!("#!/bin/sh\necho an agent\n{ending}\n"));
        let port = ReservedPort::new();
        let launch = image.launch("web").connect(port.number);
        let _listener = port.listen();
        let mut running = launch.start();

        running.wait_for_stderr(&format!("[backplane] The agent {words}. Restarting it in "));
        eventually(DEADLINE, "another agent's word", || {
            (running.stderr().matches("an agent\n").count() >= 2).then_some(())
        });
        let supervisor = running.wait_for_supervisor();
        ends_well(&mut running);
        assert!(!supervisor.is_alive(), "{ending}");
    }
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn children_of_a_crashed_agent_are_gone_before_the_next() {
    // One child in its process group, one in a session of its own, and one of an orphan.
    let image = image_with_agent(indoc! {"
        #!/bin/sh
        sleep 1000 &
        setsid sleep 1001 &
        (sleep 1002 & exec sh -c :)
        while :; do sleep 0.05; done
    "});
    let port = ReservedPort::new();
    let launch = image.launch("web").connect(port.number);
    let _listener = port.listen();
    let mut running = launch.start();
    let children = |running: &Running| -> Vec<Process> {
        let mut processes = running.processes();
        processes.retain(|process| {
            let arguments = process.arguments();
            arguments.first().is_some_and(|name| name == "sleep") && arguments[1].len() == 4
        });
        processes
    };
    // Orphans are children of the supervisor for a moment, as agents are.
    let agent_after = |earlier: Option<u32>| {
        eventually(DEADLINE, "an agent", || {
            let mut agents = running.agents();
            agents.retain(|agent| Some(agent.id()) != earlier && agent.arguments().len() > 2);
            agents.pop()
        })
    };
    let first = agent_after(None);
    let of_the_first = eventually(DEADLINE, "three children", || {
        let children = children(&running);
        (children.len() == 3).then_some(children)
    });
    first.signal(Signal::KILL);
    agent_after(Some(first.id()));
    for child in of_the_first {
        assert!(!child.is_alive(), "{:?}", child.arguments());
    }
    let supervisor = running.wait_for_supervisor().id();
    assert_eq!(zombies_of(supervisor), Vec::<u32>::new());
    ends_well(&mut running);
}

/// The agent waits for ever in its write, and so may the app in its own; but not the supervisor.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_that_fills_its_output_stops_nobody_else() {
    let flood = "#!/bin/sh\nwhile :; do echo 0123456789012345678901234567890123456789; done\n";
    let image = image_with_agent(flood);
    let port = ReservedPort::new();
    let launch = image
        .launch("web")
        .connect(port.number)
        .env("BACKPLANE_LOG", "debug")
        .with_stderr_unread();
    let _listener = port.listen();
    let mut running = launch.start();
    let mut agent = running.wait_for_agent();
    for _ in 0..3 {
        eventually(DEADLINE, "an agent that waits in its write", || {
            // Its loop sleeps nowhere else.
            agent.status().state.starts_with('S').then_some(())
        });
        agent.signal(Signal::KILL);
        agent = running.wait_for_agent_after(&agent);
    }
    // That the supervisor never waits holds for its own description, not for the app's.
    assert!(!running.app().flags_of(2).contains(OFlags::NONBLOCK));
    ends_well(&mut running);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_that_closes_its_descriptors_is_still_looked_after() {
    let image = image_with_agent(indoc! {"
        #!/bin/sh
        exec 0<&- 1>&- 2>&-
        sleep 0.1
        exit 9
    "});
    let port = ReservedPort::new();
    let launch = image.launch("web").connect(port.number);
    let _listener = port.listen();
    let mut running = launch.start();
    running.wait_for_stderr("[backplane] The agent exited with status 9. Restarting it in ");
    ends_well(&mut running);
}

/// Nobody takes it for dead, and it does not outlive the app.
#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn agent_that_is_stopped_and_continued_is_left_alone() {
    let image = image_with_agent("#!/bin/sh\nwhile :; do sleep 0.05; done\n");
    let port = ReservedPort::new();
    let launch = image.launch("web").connect(port.number);
    let _listener = port.listen();
    let mut running = launch.start();
    let agent = running.wait_for_agent();
    agent.signal(Signal::STOP);
    never_within(
        Duration::from_secs(1),
        "the end of a stopped agent, or another one",
        || !agent.is_alive() || running.agents().len() != 1,
    );
    agent.signal(Signal::CONT);
    agent.signal(Signal::STOP);
    // A stopped process sees no SIGTERM before it is continued, but it does see SIGKILL.
    ends_well(&mut running);
}
