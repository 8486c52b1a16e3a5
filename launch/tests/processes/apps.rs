//! However the app ends, the agent is gone soon after.

use crate::soak::soak_or;
use crate::support::{self, App, Layer, PATIENT_AGENT, eventually, field, listen, processes};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// How soon after the app's end nothing may be left: 2 s of grace for the agent, and some for a busy machine.
const SOON: Duration = Duration::from_secs(4);

fn ends_soon(app: &mut App, how: impl FnOnce(&mut App)) {
    let started = Instant::now();
    how(app);
    app.wait();
    app.nothing_is_left();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn agent_ends_with_the_app() {
    for how in ["exit", "TERM", "KILL", "INT"] {
        let (_listener, port) = listen("127.0.0.1");
        let layer = Layer::new(PATIENT_AGENT, port);
        let mut app = layer.launch();
        app.agent(1);
        ends_soon(&mut app, |app| match how {
            "exit" => drop(app.child.stdin.take()),
            name => support::signal(app.pid(), name),
        });
    }
}

#[test]
fn supervisor_ends_with_an_app_that_never_listened() {
    let layer = Layer::new(PATIENT_AGENT, support::free_port());
    let mut app = layer.launch();
    app.supervisor();
    ends_soon(&mut app, |app| support::signal(app.pid(), "KILL"));
    assert_eq!(layer.notes(), "");
}

#[test]
fn agent_gets_sigterm_first() {
    let (_listener, port) = listen("127.0.0.1");
    let polite = "#!/bin/sh
        trap 'kill $!; echo bye >>\"$0.notes\"; exit' TERM
        echo \"pid $$\" >>\"$0.notes\"
        sleep 1000 & wait $!\n";
    let layer = Layer::new(polite, port);
    let app = layer.launch();
    app.agent(1);
    app.finish();
    assert!(layer.notes().ends_with("bye\n"), "{}", layer.notes());
}

#[test]
fn agents_children_get_sigterm_too() {
    // A wrapper that ends at SIGTERM without a word to its child, which finishes its work.
    let wrapper = "#!/bin/sh
        sh -c 'trap \"kill \\$!; echo finished >>\\\"$0.notes\\\"; exit\" TERM
            echo ready >>\"$0.notes\"
            sleep 1000 & wait $!' \"$0\" &
        exec sleep 1000\n";
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(wrapper, port);
    let app = layer.launch();
    eventually("the child is ready", || {
        layer.notes().contains("ready\n").then_some(())
    });
    app.finish();
    assert!(layer.notes().ends_with("finished\n"), "{}", layer.notes());
}

/// Living processes whose environment names this layer's agent as theirs: the script's children, wherever they went.
fn offspring(layer: &Layer) -> Vec<u32> {
    marked(&format!("OFFSPRING_OF={}\0", layer.agent().display()))
}

/// The same, of one start of the agent.
fn offspring_of(layer: &Layer, agent: u32) -> Vec<u32> {
    let mut found = offspring(layer);
    let of_the_agent = marked(&format!("GENERATION={agent}\0"));
    found.retain(|pid| of_the_agent.contains(pid));
    found
}

fn marked(mark: &str) -> Vec<u32> {
    processes()
        .into_iter()
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environment| String::from_utf8_lossy(&environment).contains(mark))
        })
        .collect()
}

#[test]
fn stubborn_agent_and_its_children_are_killed() {
    // The agent and a child ignore SIGTERM; another child has left for a session of its own, and has a child there.
    let stubborn = "#!/bin/sh
        export OFFSPRING_OF=\"$0\"
        trap '' TERM
        sleep 1000 &
        setsid sh -c 'sleep 1000 & exec sleep 1000' &
        echo \"pid $$\" >>\"$0.notes\"
        while :; do sleep 1000; done\n";
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(stubborn, port);
    let mut app = layer.launch();
    app.agent(1);
    eventually("four children are there", || {
        (offspring(&layer).len() == 4).then_some(())
    });
    ends_soon(&mut app, |app| drop(app.child.stdin.take()));
    assert_eq!(offspring(&layer), [] as [u32; 0]);
    app.log_has("did not exit in time");
}

/// Ways to leave processes behind, as parts of an agent's script, and how many processes each makes.
const LEAVINGS: [(&str, usize); 6] = [
    // In its process group, and in a session of its own.
    ("sleep 1000 & setsid sleep 1000 &", 2),
    // In a process group of its own, with a child that loses its parent only when that is killed.
    ("timeout 3600 sleep 1000 &", 2),
    ("setsid sh -c 'sleep 1000; :' &", 2),
    // Sessions within sessions: each level loses its parent a moment after the one above.
    (
        "setsid sh -c 'setsid sh -c \"setsid timeout 3600 sleep 1000; :\"; :' &",
        4,
    ),
    // An orphan of a running agent, which has a child.
    ("(setsid sh -c 'trap \"\" TERM; sleep 1000; :' &)", 2),
    // A helper that makes more of its kind whenever one ends.
    (
        "setsid sh -c 'trap \"\" TERM; while :; do timeout 3600 sleep 1000; done' &",
        3,
    ),
];

/// An agent that leaves all of this behind when it ends; its processes carry its pid in their environment.
fn forgetful(ending: &str) -> String {
    let leavings = LEAVINGS.map(|(script, _)| script).join("\n");
    format!(
        "#!/bin/sh
        export OFFSPRING_OF=\"$0\" GENERATION=$$
        {leavings}
        echo \"pid $$\" >>\"$0.notes\"
        {ending}\n"
    )
}

/// Waits until everything that this agent leaves behind is there.
fn leavings_of(layer: &Layer, agent: u32) -> Vec<u32> {
    let expected = LEAVINGS.iter().map(|(_, count)| count).sum();
    eventually("everything to leave behind is there", || {
        let mut found = offspring_of(layer, agent);
        found.retain(|pid| *pid != agent);
        let ready = found
            .iter()
            .filter(|pid| field(**pid, "Name").is_some_and(|name| name == "sleep"))
            .count();
        // One is a child of a helper; the agent's own wait is no leaving.
        (found.len() >= expected && ready >= LEAVINGS.len()).then_some(found)
    })
}

#[test]
fn nothing_of_a_crashed_agent_is_alive_when_the_next_one_starts() {
    for signal in ["KILL", "TERM"] {
        let (_listener, port) = listen("127.0.0.1");
        let layer = Layer::new(&forgetful("wait"), port);
        let app = layer.launch();
        let first = app.agent(1);
        leavings_of(&layer, first);
        support::signal(first, signal);
        app.agent(2);
        assert_eq!(offspring_of(&layer, first), [] as [u32; 0], "{signal}");
        app.finish();
        assert_eq!(offspring(&layer), [] as [u32; 0]);
    }
}

#[test]
fn nothing_of_a_drained_agent_is_alive_afterwards() {
    let (listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(&forgetful("trap 'exit 0' TERM; wait"), port);
    layer.set("BACKPLANE_DRAIN", "stop");
    let app = layer.launch();
    let first = app.agent(1);
    leavings_of(&layer, first);
    drop(listener);
    app.log_has("It restarts when the app listens again.");
    eventually("all of it is gone", || {
        offspring(&layer).is_empty().then_some(())
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    app.agent(2);
    drop(listener);
    app.finish();
    assert_eq!(offspring(&layer), [] as [u32; 0]);
}

#[test]
fn app_that_listens_again_while_its_agent_drains_gets_the_next_one_only_when_nothing_is_left() {
    let (listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(&forgetful("trap 'sleep 1; exit 0' TERM; wait"), port);
    layer.set("BACKPLANE_DRAIN", "stop");
    let app = layer.launch();
    let first = app.agent(1);
    leavings_of(&layer, first);
    drop(listener);
    app.log_has("The app no longer listens on port");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    app.agent(2);
    assert_eq!(offspring_of(&layer, first), [] as [u32; 0]);
    app.finish();
    assert_eq!(offspring(&layer), [] as [u32; 0]);
}

#[test]
fn each_process_below_the_agent_gets_one_sigterm_and_may_finish_after_the_app() {
    // In the agent's group, in a session of its own, below a helper that has one, and an orphan.
    let worker = "trap 'echo term >>\"$0.notes\"' TERM
        sleep 1000 & echo ready >>\"$0.notes\"; wait $!; wait $!; sleep 0.3
        echo finished >>\"$0.notes\"";
    let agent = format!(
        "#!/bin/sh
        export OFFSPRING_OF=\"$0\" WORKER='{}'
        sh -c \"$WORKER\" \"$0\" &
        setsid sh -c \"$WORKER\" \"$0\" &
        setsid sh -c 'setsid sh -c \"$WORKER\" \"$0\" & sh -c \"$WORKER\" \"$0\"' \"$0\" &
        (setsid sh -c \"$WORKER\" \"$0\" &)
        exec sleep 1000\n",
        worker.replace('\'', "'\\''")
    );
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(&agent, port);
    let app = layer.launch();
    let count = |what: &str| layer.notes().lines().filter(|line| *line == what).count();
    eventually("five workers are ready", || {
        (count("ready") == 5).then_some(())
    });
    app.finish();
    eventually("nothing is left", || {
        offspring(&layer).is_empty().then_some(())
    });
    assert_eq!([count("term"), count("finished")], [5, 5]);
    assert!(!layer.log().contains("is killed"));
}

#[test]
fn orphans_of_a_running_agent_are_reaped() {
    let (_listener, port) = listen("127.0.0.1");
    let breeding = "#!/bin/sh
        for i in 1 2 3 4 5; do (sleep 0.01 & exec sh -c :); done
        echo \"pid $$\" >>\"$0.notes\"
        exec sleep 1000\n";
    let layer = Layer::new(breeding, port);
    let app = layer.launch();
    let agent = app.agent(1);
    let supervisor = app.supervisor();
    eventually("the agent is the only child left", || {
        let children =
            std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))
                .unwrap();
        (children.trim() == agent.to_string()).then_some(())
    });
    app.finish();
}

#[test]
fn many_launches_in_a_row_leave_nothing() {
    let (_listener, port) = listen("127.0.0.1");
    for _ in 0..soak_or(200, 20) {
        let layer = Layer::new(PATIENT_AGENT, port);
        let mut app = layer.launch();
        let agent = app.agent(1);
        let supervisor = app.supervisor();
        drop(app.child.stdin.take());
        app.wait();
        // The next one starts while this one's agent may still be ending.
        let ended = move || {
            [agent, supervisor]
                .iter()
                .all(|pid| field(*pid, "State").is_none_or(|state| state.starts_with('Z')))
        };
        eventually("both are gone", || ended().then_some(()));
    }
}

#[test]
fn app_that_is_started_again_at_once_has_an_agent_again() {
    let (_listener, port) = listen("127.0.0.1");
    let stubborn = PATIENT_AGENT.replace(
        "exec sleep 1000",
        "trap '' TERM; while :; do sleep 1000; done",
    );
    let first = Layer::new(&stubborn, port);
    let mut app = first.launch();
    app.agent(1);
    drop(app.child.stdin.take());
    app.wait();
    app.log_has("The app exited");
    // The first one's agent is being given its two seconds now.
    let second = Layer::new(PATIENT_AGENT, port);
    let next = second.launch();
    next.agent(1);
    next.finish();
    app.nothing_is_left();
}
