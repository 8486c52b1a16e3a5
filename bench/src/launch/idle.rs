//! What it costs to stand by: a process that waits for an agent to end.

use std::error::Error;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use backplane_bench_probe::{Who, now};
use procfs::process::Process;

use super::household::Household;
use super::image::Image;
use super::life::Life;
use crate::rounds::milliseconds;
use crate::statistics::Series;

/// What a process costs while nothing happens.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    /// Its proportional share of memory, in KiB.
    pub(super) pss: Series,
    /// Its memory that is resident, shared or not, in KiB.
    pub(super) rss: Series,
    /// The memory that it alone has written to, in KiB.
    pub(super) private_dirty: Series,
    /// How often it wakes in a second.
    pub(super) wakeups: Series,
    /// The CPU time that it takes in an hour, in milliseconds.
    pub(super) cpu: Series,
}

/// For how long a process is watched.
pub(super) const WATCH: Duration = Duration::from_secs(20);

/// How many lives are watched, unless fewer runs are asked for.
pub(super) const RUNS: usize = 5;

/// How long after the agent's start the boot is over, and with it what the supervisor does for it.
const SETTLED: Duration = Duration::from_secs(3);

/// Watches our supervisor and a restart loop in bash, in turn one of each at the same time.
pub(super) fn measure(
    ours: &Image,
    bash: &Image,
    household: &Household,
    runs: NonZeroUsize,
    limit: Duration,
) -> Result<[Idle; 2], Box<dyn Error>> {
    let mut watched = [Vec::new(), Vec::new()];
    let runs = runs.get().min(RUNS);
    for run in 0..runs {
        eprintln!("Watch {} of {runs}", run + 1);
        // One of each, so that neither shares its program's memory with a process like it.
        let mut lives = Vec::new();
        for image in [ours, bash] {
            let mut life = Life::start(image, Duration::ZERO, limit)?;
            let agent = life.stamp(Who::Agent)?;
            lives.push((life, Process::new(agent.parent)?));
        }
        thread::sleep(SETTLED);
        let before: Vec<Counters> = lives
            .iter()
            .map(|(_, process)| Counters::of(process))
            .collect::<Result<_, _>>()?;
        thread::sleep(WATCH);
        for (((_, process), before), watched) in lives.iter().zip(before).zip(&mut watched) {
            watched.push(Watch::new(process, &before)?);
        }
        let [supervisors, _] = &watched;
        if supervisors.last().is_some_and(Watch::shares_memory) {
            return Err(
                "another process has the same launch program in memory, so its PSS says nothing"
                    .into(),
            );
        }
        household.kill_all()?;
    }
    Ok(watched.map(|watches| Idle::of(&watches)))
}

/// What the kernel has counted of a process.
struct Counters {
    at: Duration,
    wakeups: u64,
    cpu: Duration,
}

impl Counters {
    fn of(process: &Process) -> Result<Self, Box<dyn Error>> {
        let wakeups = process.status()?.voluntary_ctxt_switches;
        Ok(Self {
            at: now(),
            wakeups: wakeups.ok_or("this kernel does not count context switches")?,
            cpu: Duration::from_nanos(process.schedstat()?.sum_exec_runtime),
        })
    }
}

/// What was found of a process in one life, as the fields of [`Idle`].
#[derive(Clone, Copy, Debug)]
struct Watch {
    pss: f64,
    rss: f64,
    private_dirty: f64,
    wakeups: f64,
    cpu: f64,
}

impl Watch {
    fn new(process: &Process, before: &Counters) -> Result<Self, Box<dyn Error>> {
        let after = Counters::of(process)?;
        let seconds = after.at.saturating_sub(before.at).as_secs_f64();
        let wakeups = u32::try_from(after.wakeups - before.wakeups)?;
        let rollup = process.smaps_rollup()?.memory_map_rollup;
        let map = rollup.0.first().ok_or("the kernel tells no memory")?;
        let kibibytes = |field: &str| -> Result<f64, Box<dyn Error>> {
            let bytes = map.extension.map.get(field);
            let bytes = bytes.ok_or_else(|| format!("this kernel does not tell {field}"))?;
            Ok(u32::try_from(bytes / 1024)?.into())
        };
        Ok(Self {
            pss: kibibytes("Pss")?,
            rss: kibibytes("Rss")?,
            // Pages of a program whose file is in a tmpfs, or not yet on its disk, count as dirty, though nobody has written to them.
            private_dirty: kibibytes("Private_Dirty")?.min(kibibytes("Anonymous")?),
            wakeups: f64::from(wakeups) / seconds,
            cpu: milliseconds(after.cpu.saturating_sub(before.cpu)) * 3600.0 / seconds,
        })
    }
}

impl Watch {
    /// Whether more is shared with other processes than what the kernel itself puts into each.
    fn shares_memory(&self) -> bool {
        const KERNELS: f64 = 16.0;
        self.rss - self.pss > KERNELS
    }
}

impl Idle {
    fn of(watches: &[Watch]) -> Self {
        let series = |figure: fn(&Watch) -> f64| {
            Series::of(watches.iter().map(figure)).expect("there is at least one run")
        };
        Self {
            pss: series(|watch| watch.pss),
            rss: series(|watch| watch.rss),
            private_dirty: series(|watch| watch.private_dirty),
            wakeups: series(|watch| watch.wakeups),
            cpu: series(|watch| watch.cpu),
        }
    }
}
