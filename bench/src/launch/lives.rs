//! When agents start, start again and end, in many lives of an app.

use std::error::Error;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::time::Duration;

use backplane_bench_probe::{Stamp, Who};

use super::household::Household;
use super::image::Image;
use super::life::{self, Life};
use crate::rounds::milliseconds;
use crate::statistics::Series;

/// The times between what happens in the lives of apps, in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Lives {
    /// From the app's listen(2), in the first seconds of its life, to the agent's start.
    pub(super) booting: Series,
    /// The same after more than ten seconds, when the supervisor looks less often.
    pub(super) later: Series,
    /// From the agent's SIGKILL to the start of the next one.
    pub(super) restart: Series,
    /// The same with a restart loop in bash.
    pub(super) bash_restart: Series,
    /// From the app's SIGTERM to the end of the app, the agent and the supervisor.
    pub(super) end: Series,
}

/// How many apps live side by side: most of the time they only wait.
pub(super) const SIDE_BY_SIDE: usize = 10;
pub(super) const LATE_SIDE_BY_SIDE: usize = 50;

/// When an app listens, in milliseconds after its start: a random moment in many turns of what the supervisor does over and over.
const BOOTING: Range<u64> = 200..1_200;
const LATE: Range<u64> = 10_500..12_500;
const AT_ONCE: Range<u64> = 0..1;

/// Measures `runs` lives of an app with ours, and in turn as many with the restart loop; then `runs` long ones with ours.
pub(super) fn measure(
    ours: &Image,
    bash: &Image,
    household: &Household,
    runs: NonZeroUsize,
    limit: Duration,
) -> Result<Lives, Box<dyn Error>> {
    let (mut booting, mut later, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let (mut restarts, mut bash_restarts) = (Vec::new(), Vec::new());
    for size in groups(runs.get(), SIDE_BY_SIDE) {
        eprintln!("{} lives of {runs}", booting.len());
        let mut group = Group::start(ours, size, BOOTING, limit)?;
        booting.extend(group.waits()?);
        restarts.extend(group.restarts()?);
        ends.extend(group.ends()?);
        household.wait_for_all()?;

        let mut group = Group::start(bash, size, AT_ONCE, limit)?;
        bash_restarts.extend(group.restarts()?);
        // Nobody else ends the loops.
        household.kill_all()?;
    }
    for size in groups(runs.get(), LATE_SIDE_BY_SIDE) {
        eprintln!("{} long lives of {runs}", later.len());
        let mut group = Group::start(ours, size, LATE, limit)?;
        later.extend(group.waits()?);
        group.ends()?;
        household.wait_for_all()?;
    }
    let series = |figures| Series::of(figures).expect("there is at least one run");
    Ok(Lives {
        booting: series(booting),
        later: series(later),
        restart: series(restarts),
        bash_restart: series(bash_restarts),
        end: series(ends),
    })
}

/// The sizes of groups of at most `most` that come to `all`.
fn groups(all: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..all).step_by(most).map(move |done| most.min(all - done))
}

/// Lives side by side, each with its present agent.
struct Group(Vec<(Life, Stamp)>);

impl Group {
    /// Launches so many apps, each of which listens at a random moment, and waits for their agents.
    fn start(image: &Image, size: usize, listens: Range<u64>, limit: Duration) -> io::Result<Self> {
        let start = |_| {
            let listens = Duration::from_millis(fastrand::u64(listens.clone()));
            Life::start(image, listens, limit)
        };
        let lives: Vec<Life> = (0..size).map(start).collect::<io::Result<_>>()?;
        let with_agent = |mut life: Life| {
            let agent = life.stamp(Who::Agent)?;
            Ok((life, agent))
        };
        lives
            .into_iter()
            .map(with_agent)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// How long after its app's listen(2) each agent was started.
    fn waits(&mut self) -> io::Result<Vec<f64>> {
        let wait = |(life, agent): &mut (Life, Stamp)| {
            let app = life.stamp(Who::App)?;
            let wait = agent.at.checked_sub(app.at);
            let early = || io::Error::other("the agent was started before the app listened");
            wait.map(milliseconds).ok_or_else(early)
        };
        self.0.iter_mut().map(wait).collect()
    }

    /// Kills all agents, and tells how long it takes until the next ones have started.
    fn restarts(&mut self) -> io::Result<Vec<f64>> {
        let kills: Vec<Duration> = self
            .0
            .iter()
            .map(|(_, agent)| life::kill(*agent))
            .collect::<io::Result<_>>()?;
        let restart = |((life, agent), killed): (&mut (Life, Stamp), Duration)| {
            *agent = life.stamp(Who::Agent)?;
            Ok(milliseconds(agent.at.saturating_sub(killed)))
        };
        self.0.iter_mut().zip(kills).map(restart).collect()
    }

    /// Ends all apps, one after the other, and tells how long it takes until nothing is left beside each.
    fn ends(self) -> io::Result<Vec<f64>> {
        let end = |(life, agent): (Life, Stamp)| life.end(agent).map(milliseconds);
        self.0.into_iter().map(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_to_all() {
        for (all, most, expected) in [
            (1, 10, &[1][..]),
            (10, 10, &[10]),
            (25, 10, &[10, 10, 5]),
            (3, 1, &[1, 1, 1]),
        ] {
            assert_eq!(groups(all, most).collect::<Vec<_>>(), expected);
        }
    }
}
