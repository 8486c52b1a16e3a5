//! An app's instances behind an edge, under load.

use std::collections::VecDeque;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use harness::{Client, Edge, Record, Records, TOKEN, eventually};

use super::instance::Instance;
use super::{AtSigterm, Case};
use crate::bundle::Bundle;
use crate::launch::TIMEOUT;

/// How many instances an app has.
pub(super) const INSTANCES: usize = 3;

/// A client whose requests are answered at once, and some of which each has a request in flight all the time.
pub(super) const LOAD: [Client; 7] = {
    let mut load = [Client::Slow(200); 7];
    load[0] = Client::Quick;
    load
};

const ENDPOINT: &str = "app.test";

/// For how long a new instance has answered when an old one is stopped, in milliseconds: all have requests in flight then, and
/// the moment is a random one for these.
const SETTLE: Range<u64> = 300..500;

/// How long after SIGTERM an app that finishes its requests has certainly closed its port.
const CLOSED: Duration = Duration::from_millis(500);

/// An app and its edge.
pub(super) struct Deployment<'a> {
    case: &'a Case<'a>,
    app: AtSigterm,
    edge: Edge,
    /// The oldest is the first.
    instances: VecDeque<Instance>,
    started: usize,
}

/// How an instance was stopped.
pub(super) struct Stop {
    /// The moment of SIGTERM.
    at: Instant,
    /// How long it took until nothing was left.
    pub(super) took: Duration,
    /// When the edge knew that the agent was gone.
    gone: Instant,
}

impl<'a> Deployment<'a> {
    pub(super) fn start(case: &'a Case<'a>, app: AtSigterm, bundle: &Bundle) -> Result<Self> {
        let edge = Edge::run(&bundle.program(""), TOKEN);
        edge.route(TOKEN, ENDPOINT, "app=deployed");
        let mut deployment = Self {
            case,
            app,
            edge,
            instances: VecDeque::new(),
            started: 0,
        };
        for _ in 0..INSTANCES {
            deployment.start_instance()?;
        }
        Ok(deployment)
    }

    /// Starts one more instance, and waits until the edge has its agent.
    fn start_instance(&mut self) -> Result<()> {
        self.started += 1;
        let instance = Instance::start(self.case, self.app, self.started, &self.edge)?;
        self.edge.wait_for_connected(&instance.label);
        self.instances.push_back(instance);
        Ok(())
    }

    /// Replaces this number of instances under load, each when the next one answers.
    pub(super) fn replace(mut self, runs: usize) -> Result<(Records, Vec<Stop>)> {
        let load = self.edge.load(ENDPOINT, &LOAD);
        let mut stops = Vec::new();
        for _ in 0..runs {
            self.start_instance()?;
            for instance in &self.instances {
                let what = format_args!("an answer of {}", instance.label);
                eventually(TIMEOUT, what, || {
                    let records = load.records();
                    records.has_answer_of(&instance.release).then_some(())
                });
            }
            thread::sleep(Duration::from_millis(fastrand::u64(SETTLE)));
            let old = self.instances.pop_front().context("there is none")?;
            let agent = self.edge.wait_for_connected(&old.label);
            let at = Instant::now();
            let took = old.stop(self.case.platform)?;
            let gone = self.edge.wait_for_gone(agent);
            stops.push(Stop { at, took, gone });
        }
        Ok((load.stop(), stops))
    }
}

impl Stop {
    /// Whether this request came when the app had closed its port, and the agent was still there: then there is no response that
    /// could be lost.
    pub(super) fn has_refused(&self, record: &Record) -> bool {
        record.app.is_none() && (self.at + CLOSED..self.gone).contains(&record.sent)
    }
}
