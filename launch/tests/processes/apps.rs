//! However the app ends, the agent is gone soon after.

use crate::soak::soak_or;
use crate::support::{
    self, App, Layer, PATIENT_AGENT, eventually, field, is_alive, listen, processes,
};
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

/// Processes whose environment names this layer's agent as theirs: the script's children, wherever they went.
fn offspring(layer: &Layer) -> Vec<u32> {
    let mark = format!("OFFSPRING_OF={}", layer.agent().display());
    processes()
        .into_iter()
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environment| String::from_utf8_lossy(&environment).contains(&mark))
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
    app.log_has("has not ended in time");
}

#[test]
fn what_a_crashed_agent_leaves_behind_is_gone_before_the_next() {
    let forgetful = "#!/bin/sh
        export OFFSPRING_OF=\"$0\"
        sleep 1000 &
        setsid sleep 1000 &
        echo \"pid $$\" >>\"$0.notes\"
        wait\n";
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(forgetful, port);
    let app = layer.launch();
    let first = app.agent(1);
    let children = eventually("two children are there", || {
        let children = offspring(&layer);
        (children.len() == 2).then_some(children)
    });
    support::signal(first, "KILL");
    app.agent(2);
    assert!(children.iter().all(|child| !is_alive(*child)));
    app.finish();
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
    app.log_has("The app has ended");
    // The first one's agent is being given its two seconds now.
    let second = Layer::new(PATIENT_AGENT, port);
    let next = second.launch();
    next.agent(1);
    next.finish();
    app.nothing_is_left();
}
