//! Constant load, while the replicas of an app are restarted one by one.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;

use harness::{Client, DEADLINE, Load, Record, app_of, eventually, soak_or};
use rustix::process::Signal;

use crate::replicas::{ENDPOINT, Replicas};

/// How long the last request of an app takes: longer than the supervisor takes to see that the app no longer listens.
const LAST_REQUEST: &str = "/slow?ms=4000";

/// An app that is told to end no longer listens and finishes its requests; its agent is asked to end meanwhile; the other replica takes
/// what it can no longer take.
#[test]
fn no_request_is_lost_while_apps_are_restarted_one_by_one() {
    let rounds = soak_or(10, 2);
    let mut replicas = Replicas::start(2, &[("BACKPLANE_DRAIN", "stop")]);
    let load = replicas.load(&Client::MIX);
    let mut apps = BTreeSet::new();
    for _ in 0..rounds {
        for index in 0..replicas.len() {
            let app = replicas.get(index).running.id();
            apps.insert(app);
            wait_for_answer(&load, app);
            let mut last = last_request_of(&replicas, app);
            replicas.get(index).running.signal(Signal::TERM);
            replicas
                .get(index)
                .running
                .wait_for_stderr("Asking the agent to finish its requests");
            let mut rest = String::new();
            last.read_to_string(&mut rest).unwrap();
            assert!(rest.contains("10/10\n"), "{rest}");

            replicas.relaunch(index);
            replicas.edge.wait_for_connected(&replicas.get(index).label);
            let app = replicas.get(index).running.id();
            apps.insert(app);
            wait_for_answer(&load, app);
        }
    }
    let records = load.stop();

    let failed: Vec<&Record> = records.failed().collect();
    println!(
        "{} requests, {} processes of the app, {} requests failed",
        records.sent(),
        apps.len(),
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:#?}\n{:#?}", replicas.logs());
    // Each restart lasts for seconds.
    assert!(records.sent() > 50 * apps.len(), "{}", records.sent());
    assert_eq!(records.answering(), apps);
}

/// Waits until the load has an answer of this process of the app: that it answers at all is asserted at the end.
fn wait_for_answer(load: &Load, app: u32) {
    eventually(DEADLINE, "an answer of a replica", || {
        load.answering().contains(&app).then_some(())
    });
}

/// Sends requests through the edge until this process of the app has begun to answer one.
fn last_request_of(replicas: &Replicas, app: u32) -> BufReader<TcpStream> {
    eventually(DEADLINE, "an answer of this replica", || {
        let mut answer = replicas.edge.open(ENDPOINT, LAST_REQUEST);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(answer.read_line(&mut head).unwrap(), 0, "{head}");
        }
        (app_of(&head) == Some(app)).then_some(answer)
    })
}
