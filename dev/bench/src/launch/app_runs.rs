//! When agents start, start again and end, in many runs of an app.

use std::ops::{Div as _, Range};
use std::time::Duration;

use anyhow::{Context as _, Result};
use backplane_bench_probe::{Timestamp, Who};

use super::app_run::{self, AppRun};
use super::image::Image;
use super::subreaper::Subreaper;
use crate::document::table;
use crate::rounds::milliseconds;
use crate::series::Series;

/// How many apps run side by side: most of the time they only wait.
const SIDE_BY_SIDE: usize = 10;
const LATE_SIDE_BY_SIDE: usize = 50;

/// When an app listens, in milliseconds after its start: a random moment in many turns of what the supervisor does over and over.
const BOOTING: Range<u64> = 200..1_200;
const LATE: Range<u64> = 10_500..12_500;
const AT_ONCE: Range<u64> = 0..1;

/// Measures `runs` runs of an app with ours, and in turn as many with the restart loop; then `runs` long ones with ours.
pub(super) fn measure(
    ours: &Image,
    bash: &Image,
    subreaper: &Subreaper,
    runs: usize,
) -> Result<String> {
    let (mut booting, mut later, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let (mut restarts, mut bash_restarts) = (Vec::new(), Vec::new());
    while booting.len() < runs {
        eprintln!("{} runs of the app of {runs}", booting.len());
        let size = SIDE_BY_SIDE.min(runs - booting.len());
        let mut group = Group::start(ours, size, BOOTING)?;
        booting.extend(group.waits()?);
        restarts.extend(group.restarts()?);
        ends.extend(group.ends()?);
        subreaper.reap(false)?;

        let mut group = Group::start(bash, size, AT_ONCE)?;
        bash_restarts.extend(group.restarts()?);
        // Nothing else ends the loops.
        subreaper.reap(true)?;
    }
    while later.len() < runs {
        eprintln!("{} long runs of the app of {runs}", later.len());
        let size = LATE_SIDE_BY_SIDE.min(runs - later.len());
        let mut group = Group::start(ours, size, LATE)?;
        later.extend(group.waits()?);
        group.ends()?;
        subreaper.reap(false)?;
    }
    let [booting, later, restarts, bash_restarts, ends] =
        [booting, later, restarts, bash_restarts, ends].map(Series::from_iter);
    let row = |name: &str, times: &Series| {
        vec![
            name.to_owned(),
            times.cell(1),
            format!("{:.1}", times.max()),
        ]
    };
    let ratio = restarts.zip_with(&bash_restarts, f64::div);
    let rows = [
        row("listen(2) to agent, within 10 s", &booting),
        row("listen(2) to agent, later", &later),
        row("agent's SIGKILL to next agent", &restarts),
        row("the same with the loop in bash", &bash_restarts),
        vec!["ratio of the two".to_owned(), ratio.cell(2), String::new()],
        row("app's SIGTERM to nothing left", &ends),
    ];
    Ok(table(&["ms", "median", "max"], rows))
}

/// Runs side by side, each with its present agent.
struct Group(Vec<(AppRun, Timestamp)>);

impl Group {
    /// Launches this number of apps, each of which listens at a random moment, and waits for their agents.
    fn start(image: &Image, size: usize, listens: Range<u64>) -> Result<Self> {
        let start = |_| {
            let listens = Duration::from_millis(fastrand::u64(listens.clone()));
            AppRun::start(image, listens)
        };
        let runs: Vec<AppRun> = (0..size).map(start).collect::<Result<_>>()?;
        let with_agent = |mut run: AppRun| {
            let agent = run.timestamp(Who::Agent)?;
            Ok((run, agent))
        };
        runs.into_iter()
            .map(with_agent)
            .collect::<Result<_>>()
            .map(Self)
    }

    /// How long after its app's listen(2) each agent was started.
    fn waits(&mut self) -> Result<Vec<f64>> {
        let wait = |(run, agent): &mut (AppRun, Timestamp)| {
            let app = run.timestamp(Who::App)?;
            let wait = agent.at.checked_sub(app.at);
            wait.map(milliseconds)
                .context("the agent was started before the app listened")
        };
        self.0.iter_mut().map(wait).collect()
    }

    /// Kills all agents, and returns how long it takes until the next ones have started.
    fn restarts(&mut self) -> Result<Vec<f64>> {
        let kills = self.0.iter().map(|(_, agent)| app_run::kill(*agent));
        let kills: Vec<Duration> = kills.collect::<Result<_>>()?;
        let restart = |((run, agent), killed): (&mut (AppRun, Timestamp), Duration)| {
            *agent = run.timestamp(Who::Agent)?;
            Ok(milliseconds(agent.at.saturating_sub(killed)))
        };
        self.0.iter_mut().zip(kills).map(restart).collect()
    }

    /// Ends all apps, one after the other, and returns how long it takes until nothing is left beside each.
    fn ends(self) -> Result<Vec<f64>> {
        let end = |(run, agent): (AppRun, Timestamp)| run.end(agent).map(milliseconds);
        self.0.into_iter().map(end).collect()
    }
}
