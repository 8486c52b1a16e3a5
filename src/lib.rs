//! The Backplane buildpack: installs the Backplane agent into a cached layer and runs it beside the
//! app.
//!
//! This is the table of contents of the build program. It flows in one direction: environment →
//! `settings` → `release` → `install` (`fetch`, `archive`, `cache`) → `layers` or `classic`, the
//! two front ends. `messages` has every word that they log. What happens at launch is in the
//! crates `backplane-launch` and `sidecar`.

mod archive;
mod cached_agent;
mod catch_panics;
mod checksum;
mod classic;
mod environment;
mod error;
mod fetch;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../fuzz/entry_points.rs"]
pub mod fuzzing;
mod install;
mod launch_program;
mod layers;
mod limits;
mod messages;
mod metadata;
mod network;
mod output;
mod redact;
mod release;
mod sbom;
mod settings;
mod target;
mod wrapper;

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use libcnb::build::{BuildContext, BuildResult, BuildResultBuilder};
use libcnb::data::launch::{Label, LaunchBuilder};
use libcnb::detect::{DetectContext, DetectResult, DetectResultBuilder};
use libcnb::{Buildpack, Env, Platform, libcnb_runtime};
use rustix::fs::Mode;
use rustix::process::umask;

use crate::catch_panics::catch_panics;
use crate::environment::Environment;
use crate::error::BackplaneError;
use crate::messages::{errors, progress, warnings};
use crate::metadata::AgentMetadata;
use crate::network::Network;
use crate::output::{ClassicLog, CnbLog, Log};
use crate::release::{BuildpackMetadata, Release};
use crate::settings::Settings;
use crate::target::Target;

/// The buildpack, as libcnb drives it.
struct BackplaneBuildpack;

/// The platform, from which nothing is read. Its variables are in the process environment as well,
/// and libcnb would fail for a variable of the app that is not UTF-8.
struct AnyPlatform {
    env: Env,
}

impl Platform for AnyPlatform {
    fn env(&self) -> &Env {
        &self.env
    }

    fn from_path(_platform_dir: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { env: Env::new() })
    }
}

impl Buildpack for BackplaneBuildpack {
    type Platform = AnyPlatform;
    type Metadata = BuildpackMetadata;
    type Error = BackplaneError;

    fn detect(&self, _context: DetectContext<Self>) -> libcnb::Result<DetectResult, Self::Error> {
        // A user who adds this buildpack wants it for any app.
        DetectResultBuilder::pass().build()
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, Self::Error> {
        let started = CnbLog::begin("Backplane", "Agent");

        // The process environment, so that the platform's proxy variables count too.
        let environment: Environment = env::vars_os().collect();
        warnings::log_near_misses(&environment, &CnbLog);
        let settings = Settings::parse(&environment).map_err(BackplaneError::Settings)?;
        let network = Network::read(&environment);
        let target = Target {
            os: context.target.os.clone(),
            arch: context.target.arch.clone(),
        };
        let agents = &context.buildpack_descriptor.metadata.agents;
        let release = Release::determine(&settings, agents, target, &context.app_dir)
            .map_err(BackplaneError::Release)?;
        progress::log_agent(&release, &CnbLog);
        let metadata = layers::agent::install(&context, &settings, &network, &release, &CnbLog)?;

        CnbLog::end(started);
        BuildResultBuilder::new()
            .launch(
                LaunchBuilder::new()
                    .labels(labels(metadata.as_ref()))
                    .build(),
            )
            .build()
    }

    fn on_error(&self, error: libcnb::Error<Self::Error>) {
        CnbLog.error(&errors::message(error));
    }
}

/// The image labels that identify the agent in the image.
fn labels(metadata: Option<&AgentMetadata>) -> Vec<Label> {
    let label = |key: &str, value: &str| Label {
        key: format!("io.backplane.agent.{key}"),
        value: value.to_owned(),
    };
    metadata.map_or_else(Vec::new, |metadata| {
        vec![
            label("name", &metadata.agent),
            label("source", &metadata.source),
            label("sha256", &metadata.sha256.to_string()),
        ]
    })
}

/// Runs detect or build of the Cloud Native Buildpack, or compile of the classic one, depending on
/// the program's name.
///
/// The classic detect is not part of this program, because both would have the same name.
#[must_use = "it is the exit status of the process"]
pub fn main() -> ExitCode {
    // Files and directories have the modes 0644 and 0755, independent of the umask, because any
    // user may run the image.
    umask(Mode::WGRP | Mode::WOTH);
    let path = env::args_os().next().unwrap_or_default();
    let name = Path::new(&path).file_name().and_then(OsStr::to_str);
    if name == Some(classic::NAME) {
        return run(classic::main, &ClassicLog);
    }
    // `bin/build LAYERS PLATFORM PLAN`
    if let (Some("build"), Some(layers)) = (name, env::args_os().nth(1)) {
        layers::agent::remove_store(Path::new(&layers));
    }
    let cnb = || {
        libcnb_runtime(&BackplaneBuildpack);
        ExitCode::SUCCESS
    };
    run(cnb, &CnbLog)
}

/// Runs a front end, and logs a panic as an error.
fn run(front_end: fn() -> ExitCode, log: &dyn Log) -> ExitCode {
    catch_panics(front_end, |location| {
        log.error(&errors::message_of(BackplaneError::Panic { location }));
    })
}
