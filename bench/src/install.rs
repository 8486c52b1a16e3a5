//! `install`: what a build takes to install the agent, beside what people do today to get a file out of an archive on a
//! server, and beside the least that a build takes.

mod archive;
mod build_program;
mod phase;
mod pipeline;
mod release_server;
mod report;
mod subjects;

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;

use crate::kit::Kit;
use crate::measure::Limits;
use crate::rounds;
use archive::Archive;
use build_program::BuildProgram;
use phase::Phase;
use pipeline::Pipeline;
use release_server::ReleaseServer;
use report::{Report, Times};
use subjects::{ColdInstall, PinnedRebuild, RevalidatedRebuild};

/// How often each command is measured unless it is said.
pub(crate) const RUNS: NonZeroUsize = NonZeroUsize::new(21).expect("21 is not 0");

/// The sizes of archives for which the memory is measured, in MB.
const SIZES: [u64; 2] = [10, 100];
const SOAK_SIZE: u64 = 1000;

/// How often the memory is measured: it hardly varies, so a few runs are enough to see that.
const MEMORY_RUNS: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not 0");

/// Measures, and gives the result as Markdown.
pub(crate) fn run(
    kit: &Kit,
    runs: NonZeroUsize,
    soak: bool,
    limits: &Limits,
) -> Result<String, Box<dyn Error>> {
    fs_err::create_dir_all(kit.work("releases"))?;
    let server = ReleaseServer::start(kit, &kit.work("releases"), limits)?;
    let mut peaks = Vec::new();
    for size in SIZES.into_iter().chain(soak.then_some(SOAK_SIZE)) {
        // Before the times: for those, this program holds an archive in its own memory, below which no peak of another
        // can be told.
        peaks.push((size, measure_peak(kit, &server, size, limits)?));
    }

    let agent = kit.program("agent");
    let archive = Archive::of_program(kit, "agent.tgz", &agent, limits)?;
    let times = measure_times(kit, &server, &archive, runs, limits)?;
    let report = Report {
        runs: runs.get(),
        processors: available_parallelism()?.get(),
        archive_bytes: fs_err::metadata(&archive.path)?.len(),
        agent_bytes: fs_err::metadata(&agent)?.len(),
        times,
        peaks,
    };
    Ok(report.to_string())
}

/// The most memory that the build program has resident at once, in bytes, with an archive of `size` MB that does not
/// compress.
fn measure_peak(
    kit: &Kit,
    server: &ReleaseServer,
    size: u64,
    limits: &Limits,
) -> Result<u64, Box<dyn Error>> {
    let agent = kit.work("random-agent");
    archive::write_random_agent(&agent, size * 1_000_000)?;
    let archive = Archive::of_program(kit, "random.tgz", &agent, limits)?;
    let mut cold = ColdInstall {
        name: format!("cold install of {size} MB"),
        program: BuildProgram::new(kit, "memory", &archive.pinned(server))?,
        server,
        archive: &archive,
        agent: &agent,
    };
    let [taken] = rounds::take_turns([&mut cold], 0, MEMORY_RUNS, &kit.work("log"), limits.run)?;
    cold.program.empty()?;
    fs_err::remove_file(&archive.path)?;
    fs_err::remove_file(&agent)?;
    let peak = taken.peak();
    Ok(peak.ok_or("this program takes more memory than what it measures, so that can't be told")?)
}

fn measure_times(
    kit: &Kit,
    server: &ReleaseServer,
    archive: &Archive,
    runs: NonZeroUsize,
    limits: &Limits,
) -> Result<Times, Box<dyn Error>> {
    let agent: &Path = &kit.program("agent");
    let log = kit.work("log");
    let pinned = archive.pinned(server);
    let [checked, unchecked, cold, pinned, revalidated, phase, floor] = rounds::take_turns(
        [
            &mut Pipeline::checked(kit, server, archive, agent),
            &mut Pipeline::unchecked(kit, server, archive, agent),
            &mut ColdInstall {
                name: "cold install".to_owned(),
                program: BuildProgram::new(kit, "cold", &pinned)?,
                server,
                archive,
                agent,
            },
            &mut PinnedRebuild {
                program: BuildProgram::new(kit, "pinned", &pinned)?,
                server,
                agent,
                log: &log,
                limit: limits.run,
            },
            &mut RevalidatedRebuild::new(kit, archive, agent, &log, limits.run)?,
            &mut Phase::with_agent(kit, server, archive, agent, limits.run)?,
            &mut Phase::floor(kit, server, limits.run)?,
        ],
        1,
        runs,
        &log,
        limits.run,
    )?;
    Ok(Times {
        checked,
        unchecked,
        cold,
        pinned,
        revalidated,
        phase,
        floor,
    })
}

/// This machine's architecture, as builds are told for which one they are
/// (<https://github.com/buildpacks/spec/blob/buildpack/v0.10/buildpack.md#targets>).
fn target_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
