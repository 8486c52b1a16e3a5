//! `launch`: what exec.d adds to a boot, when the agent starts, starts again and ends, and what the supervisor costs meanwhile,
//! beside scripts in bash that do the same.

mod boot;
mod household;
mod idle;
mod image;
mod life;
mod lives;
mod peer;
mod port;
mod programs;
mod report;
mod stamps;

use std::error::Error;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use crate::kit::Kit;
use crate::measure::Limits;
use household::Household;
use image::{ExecD, Image};
use programs::Programs;
use report::{Report, Sizes};

/// How often each launch is measured unless it is said.
pub(crate) const RUNS: NonZeroUsize = NonZeroUsize::new(300).expect("300 is not 0");

/// Measures, and gives the result as Markdown.
pub(crate) fn run(
    kit: &Kit,
    runs: NonZeroUsize,
    limits: &Limits,
) -> Result<String, Box<dyn Error>> {
    let programs = Programs::of(kit)?;
    let household = Household::new(limits.start)?;
    let boots = boot::measure(kit, &programs, &household, runs, limits)?;

    // A copy: what the loop has in memory is not shared with the other scripts of this machine.
    let bash = kit.work("bash");
    fs_err::copy(peer::BASH, &bash)?;
    let app = kit.program("bench-app");
    let loop_script = peer::restart_loop();
    let ours = ExecD::Program(&programs.launch);
    let ours = Image::new(kit, "ours-with-app", &app, Some(ours))?;
    let script = ExecD::Script(&bash, &loop_script);
    let bash = Image::new(kit, "bash-with-app", &app, Some(script))?;
    let lives = lives::measure(&ours, &bash, &household, runs, limits.start)?;
    let [supervisor, bash_loop] = idle::measure(&ours, &bash, &household, runs, limits.start)?;

    let report = Report {
        runs: runs.get(),
        processors: available_parallelism()?.get(),
        boots,
        lives,
        supervisor,
        bash_loop,
        sizes: Sizes {
            launch: fs_err::metadata(&programs.launch)?.len(),
            empty: fs_err::metadata(&programs.empty)?.len(),
        },
    };
    Ok(report.to_string())
}
