//! `deploy`: how many requests are lost while the instances of an app are replaced one by one under constant load, with the
//! supervisor and with scripts in bash.

mod deployment;
mod instance;

use std::panic;
use std::thread::{self, available_parallelism};

use anyhow::{Context as _, Result, bail};
use harness::{Record, Records};

use super::image::{self, ExecD, Image};
use super::subreaper::Subreaper;
use super::{TIMEOUT, baseline};
use crate::bundle::{AGENT, BACKPLANE, Bundle};
use crate::document::{NamedTable, rows, table};
use crate::measure;
use crate::rounds::milliseconds;
use crate::series::Series;
use deployment::{Deployment, INSTANCES, LOAD, Stop};

/// What a process does at SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq)]
enum AtSigterm {
    /// As a program without a handler of the signal.
    ExitsAtOnce,
    /// It finishes its requests first.
    Finishes,
}
use AtSigterm::{ExitsAtOnce, Finishes};

/// How an instance is stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Platform {
    /// SIGTERM to process 1, with which all others end.
    Container,
    /// SIGTERM to all processes at once, as on Heroku's Cedar.
    Dyno,
}
use Platform::{Container, Dyno};

/// What docs/stopping.md and docs/heroku.md promise.
#[derive(Clone, Copy, Debug)]
enum Promise {
    Nothing,
    /// Every response of the app arrives.
    Responses,
    /// Every request has a response.
    Requests,
}

/// An app's way to have an agent, and its platform.
struct Case<'a> {
    name: &'static str,
    platform: Platform,
    image: &'a Image,
    /// `BACKPLANE_DRAIN`.
    drain: &'static str,
    agent: AtSigterm,
    /// For each of [`APPS`].
    promises: [Promise; 2],
}

const APPS: [(AtSigterm, &str, &str); 2] = [
    (ExitsAtOnce, "deploy exits", "an app that exits at once"),
    (
        Finishes,
        "deploy finishes",
        "an app that finishes its requests",
    ),
];

/// Replaces `runs` instances in each case, with all cases at the same time, and returns the tables.
pub(crate) fn run(bundle: &Bundle, target: &str, runs: usize) -> Result<Vec<NamedTable>> {
    let subreaper = Subreaper::new(TIMEOUT)?;
    measure::run(image::container().arg("true"), &bundle.work("log"))
        .context("'deploy' needs user namespaces")?;
    let launch = bundle.buildpack(BACKPLANE)?.additional_program("launch");
    let app = bundle.program("sample-app");
    let make = |name, exec_d| {
        Image::new(bundle, name, &app, Some(exec_d))?.with_agent(&bundle.program(AGENT))
    };
    let [once, again] = [baseline::start_once(), baseline::restart_loop()];
    let script = |script| ExecD::Script(baseline::BASH.as_ref(), script);
    let once = make("deploy-once", script(&once))?;
    let again = make("deploy-loop", script(&again))?;
    let ours = make("deploy-ours", ExecD::Program(&launch))?;
    let run = make("deploy-run", ExecD::Program(&launch))?.below_run(&app)?;
    let cases = cases(&once, &again, &ours, &run);

    let conditions = rows([
        ("built for", target.to_owned()),
        ("instances", INSTANCES.to_string()),
        ("instances replaced", runs.to_string()),
        ("clients", LOAD.len().to_string()),
        ("processors", available_parallelism()?.to_string()),
    ]);
    let mut tables = vec![("deploy conditions", table(&["deploy", ""], conditions))];
    for (index, (app, name, header)) in APPS.into_iter().enumerate() {
        eprintln!("{} deployments of {header}", cases.len());
        let replaced: Vec<Result<_>> = thread::scope(|scope| {
            let deploy =
                |case| scope.spawn(move || Deployment::start(case, app, bundle)?.replace(runs));
            let deployments: Vec<_> = cases.iter().map(deploy).collect();
            let results = deployments.into_iter().map(|deployment| {
                let result = deployment.join();
                result.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
            });
            results.collect()
        });
        subreaper.reap(true)?;
        let mut rows = Vec::new();
        for (case, replaced) in cases.iter().zip(replaced) {
            let (records, stops) = replaced.context(case.name)?;
            check(case.promises[index], &records, &stops).context(case.name)?;
            rows.push(row(case.name, &records, &stops)?);
        }
        let header = [header, "requests", "failed", "at each stop", "end, ms"];
        tables.push((name, table(&header, rows)));
    }
    Ok(tables)
}

fn cases<'a>(once: &'a Image, again: &'a Image, ours: &'a Image, run: &'a Image) -> [Case<'a>; 10] {
    let case = |name, platform, image| Case {
        name,
        platform,
        image,
        drain: "keep",
        agent: ExitsAtOnce,
        promises: [Promise::Nothing; 2],
    };
    [
        case("container: started once", Container, once),
        case("container: loop in bash", Container, again),
        case("container: ours", Container, ours),
        Case {
            promises: [Promise::Nothing, Promise::Responses],
            ..case("container: ours, run keep", Container, run)
        },
        Case {
            drain: "stop",
            agent: Finishes,
            promises: [Promise::Requests; 2],
            ..case("container: ours, run stop", Container, run)
        },
        case("dyno: started once", Dyno, once),
        case("dyno: loop in bash", Dyno, again),
        Case {
            promises: [Promise::Nothing, Promise::Responses],
            ..case("dyno: ours", Dyno, ours)
        },
        Case {
            agent: Finishes,
            ..case("dyno: started once, drains", Dyno, once)
        },
        Case {
            drain: "stop",
            agent: Finishes,
            promises: [Promise::Nothing, Promise::Responses],
            ..case("dyno: ours, drain stop", Dyno, ours)
        },
    ]
}

fn row(name: &str, records: &Records, stops: &[Stop]) -> Result<Vec<String>> {
    let failed = records.failed().count();
    let stopped = u32::try_from(stops.len())?;
    let at_each_stop = f64::from(u32::try_from(failed)?) / f64::from(stopped);
    let ends: Series = stops.iter().map(|stop| milliseconds(stop.took)).collect();
    Ok(vec![
        name.to_owned(),
        records.sent().to_string(),
        failed.to_string(),
        format!("{at_each_stop:.2}"),
        ends.cell(0),
    ])
}

/// Fails if a request is lost that should not be.
fn check(promise: Promise, records: &Records, stops: &[Stop]) -> Result<()> {
    let is_lost = |record: &&Record| match promise {
        Promise::Nothing => false,
        Promise::Responses => !stops.iter().any(|stop| stop.has_refused(record)),
        Promise::Requests => true,
    };
    match records.failed().find(is_lost) {
        Some(record) => bail!("a request is lost: {record:#?}"),
        None => Ok(()),
    }
}
