//! The boot of an app that ends at once: what an exec.d program adds to it.

use std::ops::Sub as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::image::{ExecD, Image};
use super::subreaper::Subreaper;
use super::{baseline, take_port};
use crate::bundle::Bundle;
use crate::document::{NamedTable, table};
use crate::rounds::{self, Subject};
use crate::series::Series;

/// How many rounds come before those that count: the first ones read programs from the disk.
const WARM_UPS: usize = 3;

/// How the processes end that a boot leaves behind.
type Leaves = &'static [&'static str];
const NOTHING: Leaves = &[];
/// It ends because the app has ended.
const SUPERVISOR: Leaves = &["exit status: 0"];
/// Nothing else ends it.
const AGENT: Leaves = &["signal: 9 (SIGKILL)"];

/// A launch of `true`.
struct Boot<'a> {
    name: &'static str,
    image: &'a Image,
    port: u16,
    leaves: Leaves,
    /// Whether the process type is one that gets no agent.
    is_skipped: bool,
    subreaper: &'a Subreaper,
}

/// Measures all boots, in turn.
pub(super) fn measure(
    bundle: &Bundle,
    launch: &Path,
    empty: &Path,
    subreaper: &Subreaper,
    runs: usize,
) -> Result<Vec<NamedTable>> {
    let (port, _held) = take_port()?;
    let script = baseline::start_once();
    let bash = ExecD::Script(Path::new(baseline::BASH), &script);
    let image = |name, exec_d| Image::new(bundle, name, Path::new("/bin/true"), exec_d);
    let none = image("none", None)?;
    let empty = image("empty", Some(ExecD::Program(empty)))?;
    let ours = image("ours", Some(ExecD::Program(launch)))?;
    let bash = image("bash", Some(bash))?;
    let log = bundle.work("log");
    let boots = [
        ("no exec.d", &none, NOTHING, false),
        ("empty", &empty, NOTHING, false),
        ("ours", &ours, SUPERVISOR, false),
        ("bash", &bash, AGENT, false),
        ("ours, skipped", &ours, NOTHING, true),
        ("bash, skipped", &bash, NOTHING, true),
    ];
    let mut subjects = boots.map(|(name, image, leaves, is_skipped)| Boot {
        name,
        image,
        port,
        leaves,
        is_skipped,
        subreaper,
    });
    let subjects = subjects.each_mut().map(|boot| boot as &mut dyn Subject);
    let taken = rounds::take_turns(subjects, WARM_UPS, runs, &log)?;
    let none = taken[0].wall();
    let added = taken
        .each_ref()
        .map(|boot| boot.wall().zip_with(&none, f64::sub));
    let times = taken.iter().zip(&added).enumerate();
    let times = times.map(|(row, (boot, added))| {
        // To itself, nothing is added.
        let added = (row > 0).then(|| added.cell(2));
        vec![
            boot.name.clone(),
            boot.wall().cell(2),
            added.unwrap_or_default(),
        ]
    });
    Ok(vec![
        ("launch boot", table(&["ms", "launch", "added"], times)),
        ("launch ratios", ratios(&added)),
    ])
}

/// Ratios of medians: what is added in a single run may be near 0.
fn ratios([_, empty, ours, bash, ours_skipped, bash_skipped]: &[Series; 6]) -> String {
    let rows = [
        ("ours : bash", ours, bash),
        ("ours : bash, skipped", ours_skipped, bash_skipped),
        ("ours : empty", ours, empty),
        ("ours, skipped : empty", ours_skipped, empty),
    ];
    let rows = rows.map(|(name, ours, theirs)| {
        let ratio = ours.median() / theirs.median();
        vec![name.to_owned(), format!("{ratio:.2}")]
    });
    table(&["added", "ratio"], rows)
}

impl Subject for Boot<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn command(&self) -> Command {
        let mut command = self.image.launch(self.port);
        if self.is_skipped {
            command.env("BACKPLANE_IGNORE_PROCESS_TYPE", "worker, web");
        }
        command
    }

    /// When this returns, nothing is left behind that would disturb the next run.
    fn check(&mut self, output: &str) -> Result<()> {
        let left = self.subreaper.reap(self.leaves == AGENT)?;
        let left: Vec<String> = left.iter().map(ToString::to_string).collect();
        ensure!(left == self.leaves, "these were left: {left:?}");
        ensure!(
            output.is_empty() || self.leaves == AGENT,
            "it is not silent"
        );
        Ok(())
    }
}
