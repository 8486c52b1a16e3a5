//! `install`: what a build takes to install the agent, beside what people do today to get a file out of an archive on a
//! server, and beside the least that a build takes.

mod build;
mod phase;
mod pipeline;
mod release;

use std::env::consts::ARCH;
use std::ops::Div as _;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use harness::release_server::{Answer, Authority, ReleaseServer};

use crate::bundle::{BACKPLANE, Bundle, DO_NOTHING};
use crate::document::{NamedTable, rows, table, tenths};
use crate::rounds::{self, Measurements};
use build::Build;
use phase::Phase;
use pipeline::Pipeline;
use release::Release;

/// The sizes of archives for which the memory is measured, in MB.
const SIZES: [u64; 2] = [10, 100];
const SOAK_SIZE: u64 = 1000;

/// How often the memory is measured: it hardly varies, so a few runs are enough to see that.
const MEMORY_RUNS: usize = 3;

/// Measures, and returns the tables.
pub(crate) fn run(
    bundle: &Bundle,
    target: &str,
    runs: usize,
    soak: bool,
) -> Result<Vec<NamedTable>> {
    let releases = bundle.make_work("releases", &[""])?;
    let server = ReleaseServer::http([Answer::Directory(releases.clone())]);
    let mut peaks = Vec::new();
    for size in SIZES.into_iter().chain(soak.then_some(SOAK_SIZE)) {
        let peak = measure_peak(bundle, &server, size)?;
        peaks.push(vec![format!("{size} MB"), tenths(peak, 1 << 20) + " MiB"]);
    }

    let authority = Authority::new();
    let ca_file = bundle.work("ca.pem");
    fs_err::write(&ca_file, authority.pem())?;
    let https = ReleaseServer::https(&authority, [Answer::Directory(releases)]);
    let agent = bundle.program("agent");
    let release = Release::publish(bundle, &server, "agent.tgz", &agent)?;
    let current = Release {
        server: &https,
        ..release.clone()
    };
    // Without a pin, nothing is fetched over http.
    let unpinned = [
        ("BACKPLANE_AGENT_URL", current.url()),
        ("SSL_CERT_FILE", ca_file.display().to_string()),
    ];
    let pinned = release.pinned();
    let taken = rounds::take_turns(
        [
            &mut Pipeline::new(bundle, "shell, checked", pipeline::CHECKED, &release),
            &mut Pipeline::new(bundle, "shell, unchecked", pipeline::UNCHECKED, &release),
            &mut Build::cold(bundle, "cold install", &release, &pinned)?,
            &mut Build::cached(bundle, "pinned rebuild", &release, &pinned, 0)?,
            &mut Build::cached(bundle, "revalidated rebuild", &current, &unpinned, 1)?,
            &mut Phase::new(bundle, "build phase", BACKPLANE, Some(&release))?,
            &mut Phase::new(bundle, "build phase, floor", DO_NOTHING, None)?,
        ],
        1,
        runs,
        &bundle.work("log"),
    )?;
    let size = |path| Ok::<_, std::io::Error>(tenths(fs_err::metadata(path)?.len(), 1_000_000));
    let conditions = [
        ("built for", target.to_owned()),
        ("runs", runs.to_string()),
        ("processors", available_parallelism()?.to_string()),
        ("archive, MB", size(&release.archive)?),
        ("agent, MB", size(&agent)?),
    ];
    Ok(vec![
        (
            "install conditions",
            table(&["install", ""], rows(conditions)),
        ),
        ("install times", times(&taken)),
        ("install ratios", ratios(&taken)),
        ("install memory", table(&["archive", "peak"], peaks)),
    ])
}

/// The most memory that the build program has resident at once, in bytes, with an archive of `size` MB that does not
/// compress.
fn measure_peak(bundle: &Bundle, server: &ReleaseServer, size: u64) -> Result<u64> {
    let agent = bundle.work("random-agent");
    release::write_random_agent(&agent, size * 1_000_000)?;
    let release = Release::publish(bundle, server, "random.tgz", &agent)?;
    let mut cold = Build::cold(bundle, "memory", &release, &release.pinned())?.weighed(bundle);
    rounds::take_turns([&mut cold], 0, MEMORY_RUNS, &bundle.work("log"))?;
    for path in [&release.archive, &agent, &cold.installed()] {
        fs_err::remove_file(path)?;
    }
    cold.peak.context("the probe has printed no peak")
}

fn times(taken: &[Measurements]) -> String {
    let rows = taken.iter().map(|taken| {
        let [wall, cpu] = [taken.wall(), taken.cpu()].map(|series| series.cell(1));
        vec![taken.name.clone(), wall, cpu]
    });
    table(&["ms", "wall", "CPU"], rows)
}

fn ratios(taken: &[Measurements; 7]) -> String {
    let [checked, unchecked, cold, pinned, revalidated, phase, floor] = taken;
    let rows = [
        ("cold : checked shell", cold, checked),
        ("cold : unchecked shell", cold, unchecked),
        ("pinned : checked shell", pinned, checked),
        ("revalidated : checked shell", revalidated, checked),
        ("phase : floor", phase, floor),
    ];
    let rows = rows.map(|(name, ours, theirs)| {
        let wall = ours.wall().zip_with(&theirs.wall(), f64::div);
        let cpu = ours.cpu().zip_with(&theirs.cpu(), f64::div);
        vec![name.to_owned(), wall.cell(2), cpu.cell(2)]
    });
    table(&["ratio", "wall", "CPU"], rows)
}

/// This machine's architecture, by the name that a platform gives to builds
/// (<https://github.com/buildpacks/spec/blob/buildpack/v0.10/buildpack.md#targets>).
fn target_architecture() -> &'static str {
    if ARCH == "aarch64" { "arm64" } else { "amd64" }
}
