//! The result as Markdown, for a terminal and for the docs.

use std::fmt;

use crate::document::{self, verdict};
use crate::rounds::Measurements;
use crate::statistics::Series;

/// What each subject took.
#[derive(Clone, Debug)]
pub(super) struct Times {
    pub(super) checked: Measurements,
    pub(super) unchecked: Measurements,
    pub(super) cold: Measurements,
    pub(super) pinned: Measurements,
    pub(super) revalidated: Measurements,
    pub(super) phase: Measurements,
    pub(super) floor: Measurements,
}

/// All that was found out.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) runs: usize,
    pub(super) processors: usize,
    pub(super) archive_bytes: u64,
    pub(super) agent_bytes: u64,
    pub(super) times: Times,
    /// Sizes of archives in MB, and the peak of memory with each, in bytes.
    pub(super) peaks: Vec<(u64, u64)>,
}

/// The highest ratios, and the most memory in bytes, that the build program is to have.
const COLD_WALL: f64 = 0.60;
const COLD_CPU: f64 = 0.55;
const PINNED_WALL: f64 = 0.20;
const PEAK: u64 = 16 << 20;

/// How far the peaks may be apart, in bytes.
const PEAK_SPREAD: u64 = 1 << 20;

const LEGEND: &str = "\
- **shell, checked**: `curl -sSf URL | tee >(sha256sum) | tar xz` in bash, which compares the checksum at the end. It
  waits for the checksum, and that counts.
- **shell, unchecked**: `curl -s URL | tar xz`, as the original buildpack does it.
- **cold install**: the build program alone on an empty folder of layers, with the archive pinned.
- **pinned rebuild**: the same with the layer restored; it makes no request.
- **revalidated rebuild**: not pinned, over https, with the layer restored; its one request is answered with 304.
- **build phase**: the CNB lifecycle's builder with this buildpack alone, cold and pinned; its **floor** is the same
  builder with a libcnb buildpack that does nothing.";

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "## Installing the agent\n\n\
             An archive of {} MB that holds a Go executable of {} MB, from a server on the same machine:\n\n{LEGEND}\n\n\
             {} runs of each, in turn, after one that does not count. The figures are of one run of `script/bench install` on a\n\
             shared machine with {} processors: it is the ratios that matter. They are ratios of medians; behind each stand\n\
             median and range of the ratios of runs in the same turn.\n",
            megabytes(self.archive_bytes),
            megabytes(self.agent_bytes),
            self.runs,
            self.processors,
        )?;
        writeln!(formatter, "{}\n", self.times.durations())?;
        writeln!(formatter, "{}\n", self.times.ratios())?;
        writeln!(
            formatter,
            "The most memory that the build program has resident at once, for archives that do not compress:\n"
        )?;
        writeln!(formatter, "{}\n", self.peaks())?;
        write!(formatter, "{}", self.spread())
    }
}

impl Times {
    fn durations(&self) -> String {
        let header = ["ms", "wall", "min–max", "CPU", "min–max"];
        let rows = [
            ("shell, checked", &self.checked),
            ("shell, unchecked", &self.unchecked),
            ("cold install", &self.cold),
            ("pinned rebuild", &self.pinned),
            ("revalidated rebuild", &self.revalidated),
            ("build phase", &self.phase),
            ("build phase, floor", &self.floor),
        ];
        let cells = rows.map(|(name, taken)| {
            let mut row = vec![name.to_owned()];
            for series in [taken.wall(), taken.cpu()] {
                row.push(format!("{:.1}", series.median()));
                row.push(format!("{:.1}–{:.1}", series.min(), series.max()));
            }
            row
        });
        document::table(&header, cells)
    }

    fn ratios(&self) -> String {
        let header = ["ratio", "wall", "in turn", "CPU", "in turn", "goal"];
        let rows = [
            ("cold : checked shell", &self.cold, &self.checked),
            ("cold : unchecked shell", &self.cold, &self.unchecked),
            ("pinned : checked shell", &self.pinned, &self.checked),
            (
                "revalidated : checked shell",
                &self.revalidated,
                &self.checked,
            ),
            ("phase : floor", &self.phase, &self.floor),
        ];
        let goals = [
            vec![("wall", COLD_WALL), ("CPU", COLD_CPU)],
            vec![],
            vec![("wall", PINNED_WALL)],
            vec![],
            vec![],
        ];
        let cells = rows
            .into_iter()
            .zip(goals)
            .map(|((name, ours, theirs), goals)| {
                let wall = Ratio::of(&ours.wall(), &theirs.wall());
                let cpu = Ratio::of(&ours.cpu(), &theirs.cpu());
                let goals: Vec<String> = goals
                    .into_iter()
                    .map(|(what, goal)| {
                        let found = if what == "wall" { &wall } else { &cpu };
                        format!("{what} ≤ {goal:.2} {}", verdict(found.medians <= goal))
                    })
                    .collect();
                [
                    vec![name.to_owned()],
                    wall.cells(),
                    cpu.cells(),
                    vec![goals.join(", ")],
                ]
                .concat()
            });
        document::table(&header, cells)
    }
}

struct Ratio {
    medians: f64,
    in_turn: Series,
}

impl Ratio {
    fn of(ours: &Series, theirs: &Series) -> Self {
        Self {
            medians: ours.median() / theirs.median(),
            in_turn: ours.ratios(theirs),
        }
    }

    fn cells(&self) -> Vec<String> {
        let Self { medians, in_turn } = self;
        let (median, min, max) = (in_turn.median(), in_turn.min(), in_turn.max());
        vec![
            format!("{medians:.2}"),
            format!("{median:.2} ({min:.2}–{max:.2})"),
        ]
    }
}

impl Report {
    fn peaks(&self) -> String {
        let header = ["archive", "peak", "goal"];
        let rows = self.peaks.iter().map(|(size, peak)| {
            vec![
                format!("{size} MB"),
                format!("{} MiB", mebibytes(*peak)),
                format!("≤ {} MiB {}", PEAK >> 20, verdict(*peak <= PEAK)),
            ]
        });
        document::table(&header, rows)
    }

    fn spread(&self) -> String {
        let peaks = || self.peaks.iter().map(|(_, peak)| *peak);
        let spread = peaks().max().unwrap_or_default() - peaks().min().unwrap_or_default();
        let verdict = if spread <= PEAK_SPREAD {
            "equal within 1 MiB"
        } else {
            "not equal within 1 MiB"
        };
        format!("They are {} MiB apart: {verdict}.", mebibytes(spread))
    }
}

/// In MB, with one decimal.
fn megabytes(bytes: u64) -> String {
    tenths(bytes, 1_000_000)
}

/// In MiB, with one decimal.
fn mebibytes(bytes: u64) -> String {
    tenths(bytes, 1 << 20)
}

fn tenths(bytes: u64, unit: u64) -> String {
    let tenths = (bytes * 10 + unit / 2) / unit;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indoc::indoc;

    fn report(cold: u64, peak: u64) -> Report {
        let taken = |wall, cpu| Measurements::of_milliseconds(&[(wall, cpu), (wall * 2, cpu * 2)]);
        Report {
            runs: 2,
            processors: 4,
            archive_bytes: 8_640_000,
            agent_bytes: 24_350_000,
            times: Times {
                checked: taken(200, 300),
                unchecked: taken(180, 200),
                cold: taken(cold, 150),
                pinned: taken(20, 20),
                revalidated: taken(30, 30),
                phase: taken(150, 200),
                floor: taken(40, 50),
            },
            peaks: vec![(10, 8 << 20), (100, peak)],
        }
    }

    #[test]
    fn report_reads_well() {
        let text = report(100, 9 << 20).to_string();
        let (words, tables) = text.split_once("\n\n|").unwrap();
        assert!(words.contains("An archive of 8.6 MB that holds a Go executable of 24.4 MB"));
        assert!(words.contains("2 runs of each, in turn, after one that does not count"));
        assert!(words.contains("shared machine with 4 processors"));
        assert_eq!(
            format!("|{tables}"),
            indoc! {"
                | ms                  |  wall |     min–max |   CPU |     min–max |
                |---------------------|-------|-------------|-------|-------------|
                | shell, checked      | 300.0 | 200.0–400.0 | 450.0 | 300.0–600.0 |
                | shell, unchecked    | 270.0 | 180.0–360.0 | 300.0 | 200.0–400.0 |
                | cold install        | 150.0 | 100.0–200.0 | 225.0 | 150.0–300.0 |
                | pinned rebuild      |  30.0 |   20.0–40.0 |  30.0 |   20.0–40.0 |
                | revalidated rebuild |  45.0 |   30.0–60.0 |  45.0 |   30.0–60.0 |
                | build phase         | 225.0 | 150.0–300.0 | 300.0 | 200.0–400.0 |
                | build phase, floor  |  60.0 |   40.0–80.0 |  75.0 |  50.0–100.0 |

                | ratio                       | wall |          in turn |  CPU |          in turn |                            goal |
                |-----------------------------|------|------------------|------|------------------|---------------------------------|
                | cold : checked shell        | 0.50 | 0.50 (0.50–0.50) | 0.50 | 0.50 (0.50–0.50) | wall ≤ 0.60 met, CPU ≤ 0.55 met |
                | cold : unchecked shell      | 0.56 | 0.56 (0.56–0.56) | 0.75 | 0.75 (0.75–0.75) |                                 |
                | pinned : checked shell      | 0.10 | 0.10 (0.10–0.10) | 0.07 | 0.07 (0.07–0.07) |                 wall ≤ 0.20 met |
                | revalidated : checked shell | 0.15 | 0.15 (0.15–0.15) | 0.10 | 0.10 (0.10–0.10) |                                 |
                | phase : floor               | 3.75 | 3.75 (3.75–3.75) | 4.00 | 4.00 (4.00–4.00) |                                 |

                The most memory that the build program has resident at once, for archives that do not compress:

                | archive |    peak |         goal |
                |---------|---------|--------------|
                | 10 MB   | 8.0 MiB | ≤ 16 MiB met |
                | 100 MB  | 9.0 MiB | ≤ 16 MiB met |

                They are 1.0 MiB apart: equal within 1 MiB."}
        );
    }

    #[test]
    fn missed_goals_are_said() {
        let text = report(121, (9 << 20) + 1).to_string();
        assert!(
            text.contains("wall ≤ 0.60 missed, CPU ≤ 0.55 met"),
            "{text}"
        );
        assert!(
            text.contains("They are 1.0 MiB apart: not equal within 1 MiB."),
            "{text}"
        );
        let text = report(120, 16 << 20).to_string();
        assert!(text.contains("wall ≤ 0.60 met"), "{text}");
        assert!(!text.contains("MiB missed"), "{text}");
        let text = report(120, (16 << 20) + 1).to_string();
        assert!(text.contains("≤ 16 MiB missed"), "{text}");
    }
}
