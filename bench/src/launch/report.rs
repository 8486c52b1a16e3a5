//! The result as Markdown, for a terminal and for the docs.

use std::fmt;

use super::boot::Boots;
use super::idle::{self, Idle};
use super::lives::{LATE_SIDE_BY_SIDE, Lives, SIDE_BY_SIDE};
use crate::document::{self, verdict};
use crate::rounds::Measurements;
use crate::statistics::Series;

/// All that was found out.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) runs: usize,
    pub(super) processors: usize,
    pub(super) boots: Boots,
    pub(super) lives: Lives,
    pub(super) supervisor: Idle,
    pub(super) bash_loop: Idle,
    pub(super) sizes: Sizes,
}

/// The sizes of programs, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) launch: u64,
    pub(super) empty: u64,
}

/// The most that the launch program may take, as ratios, milliseconds, wakeups in a second, KiB and bytes.
const ADDED: f64 = 1.0;
const ADDED_AIM: f64 = 0.75;
const BOOTING: f64 = 25.0;
const LATER: f64 = 150.0;
const RESTART: f64 = 400.0;
const END: f64 = 50.0;
const WAKEUPS: f64 = 1.0;
const PSS: f64 = 1.4 * 1024.0;
const PRIVATE_DIRTY: f64 = 160.0;
const SIZE: u64 = 300_000;

const BOOT_LEGEND: &str = "\
The CNB launcher runs a process whose command is `true`, with one layer that has:

- **no exec.d**: no exec.d program.
- **empty**: one that does nothing, packaged as ours is. Nothing that is done by an exec.d program takes less.
- **ours**: the buildpack's launch program, which starts a supervisor. It ends when `true` has ended.
- **bash**: a script that finds the process type, compares it with the lists, looks for token, labels and port, and starts
  the agent with `&`; all of it by what is built into bash.
- **skipped**: both, where a list says that the process type gets no agent.";

const LIVES_LEGEND: &str = "\
An app that says when it calls listen(2), at a random moment, and an agent that says when it starts; the millisecond that it
takes to get there counts. The loop in bash is `while true; do agent; sleep 1; done`: it does not wait for the app, and does not
end with it.";

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, idle_runs) = (self.runs, self.runs.min(idle::RUNS));
        writeln!(
            formatter,
            "## Launching the app\n\n\
             The figures are of one run of `script/bench launch` on a shared machine with {} processors. In brackets stands the\n\
             middle half of the runs.\n\n\
             ### What exec.d adds to a boot\n\n{BOOT_LEGEND}\n\n\
             {runs} launches of each, in turn. What is added is the difference to the launch without exec.d in the same turn.\n\n\
             {}\n\n\
             The ratios are of medians of what is added. The range is where 95 of 100 random choices of the runs have theirs.\n\n\
             {}\n",
            self.processors,
            self.boots.durations(),
            self.boots.ratios(),
        )?;
        writeln!(
            formatter,
            "### When the agent starts and ends\n\n{LIVES_LEGEND}\n\n\
             {runs} lives of the app with each, {SIDE_BY_SIDE} side by side; and {runs} in which the app listens after more than 10 s,\n\
             {LATE_SIDE_BY_SIDE} side by side, as they wait for most of the time.\n\n{}\n\n{}\n",
            self.lives.table(),
            self.lives.ratio(),
        )?;
        writeln!(
            formatter,
            "### What it costs to stand by\n\n\
             The supervisor and the restart loop while their agents run, watched side by side for {} seconds in {idle_runs} lives of the\n\
             app. No other process runs the same file. The C library of bash is shared with whatever else uses it on this machine,\n\
             and counts in RSS as a whole; the supervisor needs none.\n\n{}\n",
            idle::WATCH.as_secs(),
            self.standing_by(),
        )?;
        write!(formatter, "### How large it is\n\n{}", self.sizes.table())
    }
}

impl Boots {
    fn added(&self, boot: &Measurements) -> Series {
        boot.wall().differences(&self.none.wall())
    }

    fn durations(&self) -> String {
        let rows = [
            ("no exec.d", &self.none),
            ("empty", &self.empty),
            ("ours", &self.ours),
            ("bash", &self.bash),
            ("ours, skipped", &self.ours_skipped),
            ("bash, skipped", &self.bash_skipped),
        ];
        let mut cells = rows.map(|(name, boot)| {
            let added = with_quartiles(&self.added(boot), 2);
            vec![name.to_owned(), with_quartiles(&boot.wall(), 2), added]
        });
        // To itself, nothing is added.
        cells[0][2].clear();
        document::table(&["ms", "launch", "added"], cells)
    }

    fn ratios(&self) -> String {
        let rows = [
            ("ours : bash", &self.ours, &self.bash, true),
            (
                "ours : bash, skipped",
                &self.ours_skipped,
                &self.bash_skipped,
                true,
            ),
            ("ours : empty", &self.ours, &self.empty, false),
            (
                "ours, skipped : empty",
                &self.ours_skipped,
                &self.empty,
                false,
            ),
        ];
        let cells = rows.map(|(name, ours, theirs, has_goal)| {
            let ours = self.added(ours);
            let (ratio, [low, high]) = ours.ratio_of_medians(&self.added(theirs));
            let goal = if has_goal {
                format!(
                    "≤ {ADDED:.2} {}, aim {ADDED_AIM:.2} {}",
                    verdict(ratio <= ADDED),
                    verdict(ratio <= ADDED_AIM)
                )
            } else {
                String::new()
            };
            vec![
                name.to_owned(),
                format!("{ratio:.2}"),
                format!("{low:.2}–{high:.2}"),
                goal,
            ]
        });
        document::table(&["added", "ratio", "range", "goal"], cells)
    }
}

impl Lives {
    fn table(&self) -> String {
        let median = |series: &Series, goal| goal_of("median", series.median(), goal);
        let each = |series: &Series, goal| goal_of("each", series.max(), goal);
        let rows = [
            (
                "listen(2) to agent, within 10 s",
                &self.booting,
                median(&self.booting, BOOTING),
            ),
            (
                "listen(2) to agent, later",
                &self.later,
                median(&self.later, LATER),
            ),
            (
                "agent's SIGKILL to next agent",
                &self.restart,
                each(&self.restart, RESTART),
            ),
            (
                "the same with the loop in bash",
                &self.bash_restart,
                String::new(),
            ),
            (
                "app's SIGTERM to nothing left",
                &self.end,
                each(&self.end, END),
            ),
        ];
        let cells = rows.map(|(name, series, goal)| {
            vec![
                name.to_owned(),
                with_quartiles(series, 1),
                format!("{:.1}", series.max()),
                goal,
            ]
        });
        document::table(&["ms", "median", "max", "goal"], cells)
    }

    fn ratio(&self) -> String {
        let (ratio, [low, high]) = self.restart.ratio_of_medians(&self.bash_restart);
        format!("The next agent starts after {ratio:.2} ({low:.2}–{high:.2}) of the loop's time.")
    }
}

impl Report {
    fn standing_by(&self) -> String {
        let (ours, bash) = (&self.supervisor, &self.bash_loop);
        let rows = [
            (
                "PSS, KiB",
                &ours.pss,
                &bash.pss,
                format!("median ≤ 1.4 MiB {}", verdict(ours.pss.median() <= PSS)),
            ),
            ("RSS, KiB", &ours.rss, &bash.rss, String::new()),
            (
                "private dirty, KiB",
                &ours.private_dirty,
                &bash.private_dirty,
                goal_of("median", ours.private_dirty.median(), PRIVATE_DIRTY),
            ),
            (
                "wakeups in a second",
                &ours.wakeups,
                &bash.wakeups,
                goal_of("median", ours.wakeups.median(), WAKEUPS),
            ),
            ("CPU in an hour, ms", &ours.cpu, &bash.cpu, String::new()),
        ];
        let cells = rows.map(|(name, ours, bash, goal)| {
            let ratio = ours.median() / bash.median();
            vec![
                name.to_owned(),
                with_quartiles(ours, 1),
                with_quartiles(bash, 1),
                // The loop does nothing at all meanwhile.
                if ratio.is_finite() {
                    format!("{ratio:.2}")
                } else {
                    String::new()
                },
                goal,
            ]
        });
        document::table(&["", "supervisor", "loop in bash", "ratio", "goal"], cells)
    }
}

impl Sizes {
    fn table(&self) -> String {
        let Self { launch, empty } = self;
        let above = launch.saturating_sub(*empty);
        let kilobytes = |bytes: u64| format!("{}.{}", bytes / 1000, bytes % 1000 / 100);
        let rows = [
            ("launch program", kilobytes(*launch), String::new()),
            (
                "empty program, packaged as it is",
                kilobytes(*empty),
                String::new(),
            ),
            (
                "difference",
                kilobytes(above),
                format!("≤ {} {}", SIZE / 1000, verdict(above <= SIZE)),
            ),
        ];
        let cells = rows.map(|(name, size, goal)| vec![name.to_owned(), size, goal]);
        document::table(&["kB", "size", "goal"], cells)
    }
}

/// The median and, in brackets, the middle half of the figures.
fn with_quartiles(series: &Series, decimals: usize) -> String {
    let (median, [low, high]) = (series.median(), series.quartiles());
    format!("{median:.decimals$} ({low:.decimals$}–{high:.decimals$})")
}

/// A goal in words, and whether what was found is within it.
fn goal_of(what: &str, found: f64, goal: f64) -> String {
    format!("{what} ≤ {goal:.0} {}", verdict(found <= goal))
}

#[cfg(test)]
mod tests;
