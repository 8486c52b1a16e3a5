//! The diagram of the supervisor's states, made from the table that its state machine is tested with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::generated;
use crate::read;

const DOCUMENT: &str = "docs/supervisor.md";
const TABLE: &str = "sidecar/src/state_machine/tests/transitions.txt";

/// The rows that a supervisor starts with, and when.
const STARTS: [(&str, &str); 3] = [
    ("waiting", ""),
    ("standing by", ": another supervisor has the target"),
    ("not waiting for the app", ": BACKPLANE_WAIT_FOR_APP=false"),
];

/// The table's states by the names that `backplane-status` has for them. It does not see a
/// supervisor that stands by, and the last one is the end.
const STATES: [(&str, &str); 10] = [
    ("StandingBy", "standing_by"),
    ("Waiting", "waiting"),
    ("Running", "running"),
    ("Draining", "draining"),
    ("Replacing", "restarting"),
    ("Restarting", "restarting"),
    ("Ended", "ended"),
    ("Stopping", "stopping"),
    ("Killed", "stopping"),
    ("Finished", "[*]"),
];

/// The table's events, in the words of the document.
const EVENTS: [(&str, &str); 18] = [
    ("app listens", "the app listens"),
    ("app ready", "the app is ready"),
    ("app is silent", "the app does not listen"),
    ("another listens", "another app owns the listener"),
    ("lock taken", "the target is free"),
    ("lock held", "the target is taken"),
    ("agent started", "the agent has started"),
    ("agent exited", "the agent exits"),
    ("agent exited, not all", "the agent exits"),
    ("app not ready", "the app is not ready"),
    ("agent healthy", "the agent is healthy"),
    ("agent not healthy", "the agent is not healthy"),
    ("too much memory", "the agent takes too much memory"),
    ("told to end", "SIGTERM"),
    ("asked to drain", "asked to drain"),
    ("app ended", "the app exits"),
    ("app waits for us", "the app waits for its children"),
    ("time is up", "the time is up"),
];

fn find(names: &[(&'static str, &'static str)], name: &str) -> &'static str {
    let found = names.iter().find(|(of_table, _)| *of_table == name);
    found.unwrap_or_else(|| panic!("no words for {name}")).1
}

/// Whether no agent is wanted after this one: the supervisor has got SIGTERM, or was asked to drain.
fn is_last(row: &str) -> bool {
    row.ends_with(", told to end") || row.ends_with(", asked to drain")
}

/// The diagram in Mermaid's language, with one arrow for all events that lead from one state to
/// another.
fn diagram() -> String {
    let table = read(TABLE);
    let rows: Vec<[&str; 3]> = table
        .lines()
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            [(); 3].map(|()| cells.next().unwrap())
        })
        .collect();
    // The start of the agent is reported, and changes no state.
    let state_of = |name: &str| {
        let row = rows.iter().find(|row| row[..2] == [name, "agent started"]);
        find(&STATES, row.unwrap()[2])
    };
    let order = |name: &str| STATES.iter().position(|(_, state)| *state == name);
    let mut arrows = BTreeMap::<_, Vec<&str>>::new();
    for [name, event, next] in &rows {
        let (from, to) = (state_of(name), find(&STATES, next));
        if from != to {
            let events = arrows.entry((order(from), order(to))).or_default();
            let event = match find(&EVENTS, event) {
                "the agent exits" if is_last(name) => "the agent exits for good",
                event => event,
            };
            if !events.contains(&event) {
                events.push(event);
            }
        }
    }
    let mut text = "```mermaid\nstateDiagram-v2\n".to_owned();
    for (name, when) in STARTS {
        writeln!(text, "    [*] --> {}{when}", state_of(name)).unwrap();
    }
    for ((from, to), events) in arrows {
        let [from, to] = [from, to].map(|place| STATES[place.unwrap()].1);
        let events = events.join("<br>");
        writeln!(text, "    {from} --> {to}: {events}").unwrap();
    }
    text + "```\n"
}

#[test]
fn diagram_of_the_states_is_that_of_the_table() {
    let expected = generated::with_block(DOCUMENT, "states", &diagram());
    generated::assert_is(DOCUMENT, &expected);
}
