//! The build program alone, without the lifecycle around it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use backplane_bench_probe::PEAK;

use super::release::Release;
use super::target_architecture;
use crate::bundle::{AGENT, BACKPLANE, Buildpack, Bundle};
use crate::measure;
use crate::rounds::Subject;

/// A build on an empty directory of layers, or on one with an earlier build's layer.
pub(super) struct Build<'a> {
    name: &'static str,
    directory: PathBuf,
    buildpack: Buildpack,
    release: &'a Release<'a>,
    variables: Vec<(&'static str, String)>,
    is_cold: bool,
    requests: usize,
    log: PathBuf,
    /// The command that runs the build program, in front of it. Empty, or that of a probe, which also prints a peak.
    runner: Vec<OsString>,
    /// The most memory that was resident at once in a build that a probe has run, in bytes.
    pub(super) peak: Option<u64>,
}

impl<'a> Build<'a> {
    /// A build that finds nothing in the cache.
    pub(super) fn cold(
        bundle: &Bundle,
        name: &'static str,
        release: &'a Release<'a>,
        variables: &[(&'static str, String)],
    ) -> Result<Self> {
        let directory = bundle.make_work(name, &["layers", "app", "platform/env"])?;
        fs_err::write(directory.join("plan.toml"), "")?;
        Ok(Self {
            name,
            directory,
            buildpack: bundle.buildpack(BACKPLANE)?,
            release,
            variables: variables.to_vec(),
            is_cold: true,
            requests: 1,
            log: bundle.work("log"),
            runner: Vec::new(),
            peak: None,
        })
    }

    /// The same build, run by a probe that measures its memory.
    pub(super) fn weighed(self, bundle: &Bundle) -> Self {
        Self {
            runner: vec![bundle.program("bench-probe").into(), "peak".into()],
            ..self
        }
    }

    /// A build that finds the agent in the cache, and makes this number of requests.
    pub(super) fn cached(
        bundle: &Bundle,
        name: &'static str,
        release: &'a Release<'a>,
        variables: &[(&'static str, String)],
        requests: usize,
    ) -> Result<Self> {
        let mut build = Self::cold(bundle, name, release, variables)?;
        measure::run(&mut build.command(), &build.log)?;
        release.check(&build.installed(), 1)?;
        (build.is_cold, build.requests) = (false, requests);
        Ok(build)
    }

    /// Where a build installs the agent.
    pub(super) fn installed(&self) -> PathBuf {
        self.directory.join("layers/agent/libexec").join(AGENT)
    }
}

impl Subject for Build<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&mut self) -> Result<()> {
        let layers = self.directory.join("layers");
        if self.is_cold {
            fs_err::remove_dir_all(&layers)?;
            return Ok(fs_err::create_dir(&layers)?);
        }
        // What the lifecycle restores from its cache: the layer, and its metadata without its types
        // (<https://github.com/buildpacks/spec/blob/buildpack/v0.10/buildpack.md#layer-types>).
        fs_err::remove_file(layers.join("launch.toml"))?;
        let metadata = layers.join("agent.toml");
        let mut table: toml::Table = fs_err::read_to_string(&metadata)?.parse()?;
        table.remove("types");
        Ok(fs_err::write(&metadata, table.to_string())?)
    }

    /// A build as the lifecycle starts it
    /// (<https://github.com/buildpacks/spec/blob/buildpack/v0.10/buildpack.md#build>), with no other variables than its
    /// own.
    fn command(&self) -> Command {
        let path = |name| self.directory.join(name);
        let program = self.buildpack.directory.join("bin/build").into();
        let mut words = self.runner.iter().chain([&program]);
        let mut command = Command::new(words.next().expect("the last one is the program"));
        command
            .args(words)
            .args([path("layers"), path("platform"), path("plan.toml")])
            .current_dir(path("app"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("CNB_BUILDPACK_DIR", &self.buildpack.directory)
            .env("CNB_LAYERS_DIR", path("layers"))
            .env("CNB_PLATFORM_DIR", path("platform"))
            .env("CNB_BP_PLAN_PATH", path("plan.toml"))
            .env("CNB_TARGET_OS", "linux")
            .env("CNB_TARGET_ARCH", target_architecture())
            .env("CNB_TARGET_DISTRO_NAME", "ubuntu")
            .env("CNB_TARGET_DISTRO_VERSION", "24.04")
            .envs(self.variables.iter().cloned());
        command
    }

    fn check(&mut self, output: &str) -> Result<()> {
        let is_cached = output.contains("Using the cached agent");
        ensure!(
            is_cached != self.is_cold,
            "the cache is not what it should be"
        );
        if let Some(peak) = output.lines().find_map(|line| line.strip_prefix(PEAK)) {
            self.peak = self.peak.max(Some(peak.parse()?));
        }
        self.release.check(&self.installed(), self.requests)
    }
}
