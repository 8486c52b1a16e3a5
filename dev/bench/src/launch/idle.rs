//! What it costs to stand by: a process that waits for an agent to end.

use std::ops::Div as _;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use backplane_bench_probe::{Who, now};
use procfs::process::Process;

use super::app_run::AppRun;
use super::image::Image;
use super::subreaper::Subreaper;
use crate::document::table;
use crate::rounds::milliseconds;
use crate::series::Series;

/// For how long a process is watched.
const WATCH: Duration = Duration::from_secs(20);

/// How many times, unless fewer runs are asked for.
const RUNS: usize = 5;

/// How long after the agent's start the boot is over, and with it what the supervisor does for it.
const SETTLED: Duration = Duration::from_secs(3);

/// What is found of a process, and whether a ratio makes sense: memory in KiB, wakeups in a second, and milliseconds of CPU in an
/// hour.
const ROWS: [(&str, bool); 5] = [
    ("PSS, KiB", true),
    ("RSS, KiB", true),
    ("private dirty, KiB", true),
    ("wakeups in a second", false),
    ("CPU in an hour, ms", false),
];

/// Watches our supervisor and a restart loop in bash, in turn one of each at the same time.
pub(super) fn measure(
    ours: &Image,
    bash: &Image,
    subreaper: &Subreaper,
    runs: usize,
) -> Result<String> {
    let mut watched = [Vec::new(), Vec::new()];
    let runs = runs.min(RUNS);
    for run in 1..=runs {
        eprintln!("Watch {run} of {runs}");
        // One of each, so that neither shares its program's memory with a process like it.
        let (mut app_runs, mut processes) = (Vec::new(), Vec::new());
        for image in [ours, bash] {
            let mut app_run = AppRun::start(image, Duration::ZERO)?;
            processes.push(Process::new(app_run.timestamp(Who::Agent)?.parent)?);
            app_runs.push(app_run);
        }
        thread::sleep(SETTLED);
        let before: Vec<Counters> = processes.iter().map(count).collect::<Result<_>>()?;
        thread::sleep(WATCH);
        for ((process, before), watched) in processes.iter().zip(before).zip(&mut watched) {
            watched.push(figures(process, before)?);
        }
        subreaper.reap(true)?;
    }
    let rows = ROWS.iter().enumerate().map(|(row, (name, has_ratio))| {
        let series = watched
            .each_ref()
            .map(|runs| runs.iter().map(|run| run[row]).collect());
        let [ours, bash]: [Series; 2] = series;
        let ratio = ours.zip_with(&bash, f64::div);
        let ratio = if *has_ratio {
            ratio.cell(2)
        } else {
            String::new()
        };
        vec![(*name).to_owned(), ours.cell(1), bash.cell(1), ratio]
    });
    Ok(table(&["", "supervisor", "loop in bash", "ratio"], rows))
}

/// The time, and what the kernel has counted of a process: how often it has woken, and its CPU time.
type Counters = (Duration, u64, Duration);

fn count(process: &Process) -> Result<Counters> {
    let wakeups = process.status()?.voluntary_ctxt_switches;
    let wakeups = wakeups.context("this kernel does not count context switches")?;
    let cpu = Duration::from_nanos(process.schedstat()?.sum_exec_runtime);
    Ok((now(), wakeups, cpu))
}

/// What was found of a process, in the order of [`ROWS`].
fn figures(process: &Process, (start, earlier_wakeups, earlier_cpu): Counters) -> Result<[f64; 5]> {
    let (end, wakeups, cpu) = count(process)?;
    let seconds = end.saturating_sub(start).as_secs_f64();
    let wakeups = u32::try_from(wakeups - earlier_wakeups)?;
    let rollup = process.smaps_rollup()?.memory_map_rollup;
    let map = &rollup
        .0
        .first()
        .context("this kernel reports no memory")?
        .extension
        .map;
    let kibibytes = |field: &str| -> Result<f64> {
        let bytes = map
            .get(field)
            .with_context(|| format!("this kernel does not report {field}"));
        Ok(u32::try_from(bytes? / 1024)?.into())
    };
    // Pages of a program whose file is in a tmpfs, or not yet on its disk, count as dirty, though no process has written to them.
    let private_dirty = kibibytes("Private_Dirty")?.min(kibibytes("Anonymous")?);
    Ok([
        kibibytes("Pss")?,
        kibibytes("Rss")?,
        private_dirty,
        f64::from(wakeups) / seconds,
        milliseconds(cpu.saturating_sub(earlier_cpu)) * 3600.0 / seconds,
    ])
}
