//! The end of the app, and the end of the agent and of everything below it.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{
    self, App, Layer, PATIENT_AGENT, children, eventually, family, field, holds_for, is_alive,
    listen, processes,
};

/// How soon after the app's end nothing may be left: 2 s for the agent, and some for a busy machine.
const SOON: Duration = Duration::from_secs(4);

/// Ends the app by the end of its input, or by a signal.
#[track_caller]
fn assert_ends_soon(app: &mut App, how: &str) {
    let started = Instant::now();
    match how {
        "exit" => drop(app.child.stdin.take()),
        signal => support::signal(app.pid(), signal),
    }
    app.wait();
    app.nothing_is_left();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn agent_ends_with_the_app() {
    for how in ["exit", "TERM", "KILL", "INT", "SEGV"] {
        // So does the supervisor of an app that never listened.
        for listens in [true, false] {
            let (listener, port) = listen("127.0.0.1");
            let listener = listens.then_some(listener);
            let layer = Layer::new(PATIENT_AGENT, port);
            let mut app = layer.launch();
            if listener.is_some() {
                app.agent(1);
            } else {
                app.supervisor();
            }
            assert_ends_soon(&mut app, how);
            assert_eq!(layer.agents().len(), usize::from(listens));
        }
    }
}

#[test]
fn app_that_becomes_another_program_in_a_session_of_its_own_is_the_same_app() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(PATIENT_AGENT, port);
    let script = r#"read -r _; exec setsid sh -c "echo reborn; exec cat""#;
    let mut app = layer.launch_app(&format!("sh -c '{script}'"));
    let agent = app.agent(1);
    app.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    eventually("it is another program", || {
        (layer.output() == "reborn\n").then_some(())
    });
    assert_eq!(family(app.pid())[1..], [app.pid(); 2], "group, session");
    holds_for(Duration::from_millis(1500), || is_alive(agent));
    app.finish();
}

/// Living processes whose environment has this layer's agent: the script's children, in any session.
fn offspring(layer: &Layer) -> Vec<u32> {
    marked(&format!("OFFSPRING_OF={}\0", layer.agent().display()))
}

/// The same, below one start of the agent.
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
    let mut layer = Layer::new(stubborn, port);
    layer.set("BACKPLANE_STOP_TIMEOUT", "2");
    let mut app = layer.launch();
    app.agent(1);
    eventually("four children are there", || {
        (offspring(&layer).len() == 4).then_some(())
    });
    assert_ends_soon(&mut app, "exit");
    assert_eq!(offspring(&layer), [] as [u32; 0]);
    app.log_has("did not exit in time");
}

/// Ways to leave processes behind, as parts of an agent's script, and how many processes each makes.
const LEFTOVERS: [(&str, usize); 6] = [
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
    // A helper that starts another process whenever one ends.
    (
        "setsid sh -c 'trap \"\" TERM; while :; do timeout 3600 sleep 1000; done' &",
        3,
    ),
];

/// An agent that leaves all of this behind when it ends; its processes carry its pid in their environment.
fn forgetful(ending: &str) -> String {
    let leftovers = LEFTOVERS.map(|(script, _)| script).join("\n");
    format!(
        "#!/bin/sh
        export OFFSPRING_OF=\"$0\" GENERATION=$$
        {leftovers}
        echo \"pid $$\" >>\"$0.notes\"
        {ending}\n"
    )
}

/// Waits until everything that this agent leaves behind is there.
fn wait_for_leftovers(layer: &Layer, agent: u32) -> Vec<u32> {
    let expected = LEFTOVERS.iter().map(|(_, count)| count).sum();
    eventually("everything to leave behind is there", || {
        let mut found = offspring_of(layer, agent);
        found.retain(|pid| *pid != agent);
        let ready = found
            .iter()
            .filter(|pid| field(**pid, "Name").is_some_and(|name| name == "sleep"))
            .count();
        // One is a child of a helper; the agent's own wait does not count.
        (found.len() >= expected && ready >= LEFTOVERS.len()).then_some(found)
    })
}

#[test]
fn nothing_of_a_crashed_agent_is_alive_when_the_next_one_starts() {
    for signal in ["KILL", "TERM"] {
        let (_listener, port) = listen("127.0.0.1");
        let layer = Layer::new(&forgetful("wait"), port);
        let app = layer.launch();
        let first = app.agent(1);
        wait_for_leftovers(&layer, first);
        support::signal(first, signal);
        app.agent(2);
        assert_eq!(offspring_of(&layer, first), [] as [u32; 0], "{signal}");
        let supervisor = app.supervisor();
        eventually("no zombie is left", || {
            children(supervisor).into_iter().all(is_alive).then_some(())
        });
        app.finish();
        assert_eq!(offspring(&layer), [] as [u32; 0]);
    }
}

#[test]
fn nothing_of_a_drained_agent_is_alive_afterwards() {
    for (trap, listens_meanwhile) in [("exit 0", false), ("sleep 1; exit 0", true)] {
        let (listener, port) = listen("127.0.0.1");
        let mut layer = Layer::new(&forgetful(&format!("trap '{trap}' TERM; wait")), port);
        layer.set("BACKPLANE_DRAIN", "stop");
        let app = layer.launch();
        let first = app.agent(1);
        wait_for_leftovers(&layer, first);
        drop(listener);
        app.log_has("The app no longer listens on port");
        if !listens_meanwhile {
            app.log_has("The agent exited with status 0. It restarts when the app listens again.");
            eventually("all of it is gone", || {
                offspring(&layer).is_empty().then_some(())
            });
        }
        let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        app.agent(2);
        assert_eq!(offspring_of(&layer, first), [] as [u32; 0]);
        app.finish();
        assert_eq!(offspring(&layer), [] as [u32; 0]);
    }
}

#[test]
fn each_process_below_the_agent_gets_one_sigterm_and_may_finish_after_the_app() {
    // The agent, in its group, in another session, below a helper that has one, and an orphan.
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
        exec sh -c \"$WORKER\" \"$0\"\n",
        worker.replace('\'', "'\\''")
    );
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new(&agent, port);
    let app = layer.launch();
    let count = |what: &str| layer.notes().lines().filter(|line| *line == what).count();
    let is_sleep = |pid: &u32| field(*pid, "Name").is_some_and(|name| name == "sleep");
    eventually("six workers sleep", || {
        let sleeping = offspring(&layer).iter().filter(|pid| is_sleep(pid)).count();
        (count("ready") == 6 && sleeping == 6).then_some(())
    });
    app.finish();
    eventually("nothing is left", || {
        offspring(&layer).is_empty().then_some(())
    });
    assert_eq!([count("term"), count("finished")], [6, 6]);
    assert!(!layer.log().contains("Killing it"));
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
        (children(supervisor) == [agent]).then_some(())
    });
    app.finish();
}
