//! The Backplane buildpack: installs the Backplane agent into a cached layer and runs it beside the app.
//!
//! This is the table of contents of the build side. It flows in one direction: environment → `settings` →
//! `release` → `download` → `archive` → `layers`, with `sbom` and labels at the end. What happens at launch
//! is in the crates `backplane-launch` and `sidecar`. `classic` is the front end for Heroku's older buildpack API, over all of the same.

mod archive;
mod cache;
mod checksum;
mod classic;
mod content;
mod download;
mod errors;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gunzip;
mod http;
mod install;
mod launch_program;
mod layers;
mod limits;
mod output;
mod panics;
mod record;
mod redact;
mod release;
mod sbom;
mod settings;
mod target;
mod warnings;

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use bullet_stream::global::print;
use libcnb::build::{BuildContext, BuildResult, BuildResultBuilder};
use libcnb::data::launch::{Label, LaunchBuilder};
use libcnb::detect::{DetectContext, DetectResult, DetectResultBuilder};
use libcnb::{Buildpack, Env, Platform, libcnb_runtime};
use rustix::fs::Mode;
use rustix::process::umask;
use serde::Deserialize;

use crate::errors::BackplaneError;
use crate::output::{BuildLog, Output};
use crate::record::Record;
use crate::release::{DefaultAgent, Release};
use crate::settings::{Environment, Settings};
use crate::target::Target;

/// The buildpack, as libcnb drives it.
struct BackplaneBuildpack;

/// The platform, of which nothing is read: its variables are in the process environment as well, and those of the app may hold
/// anything, while libcnb's own reading fails for one that is not UTF-8.
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

/// The `[metadata]` table of buildpack.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuildpackMetadata {
    agent: DefaultAgent,
}

impl Buildpack for BackplaneBuildpack {
    type Platform = AnyPlatform;
    type Metadata = BuildpackMetadata;
    type Error = BackplaneError;

    fn detect(&self, _context: DetectContext<Self>) -> libcnb::Result<DetectResult, Self::Error> {
        // Whoever adds this buildpack wants it, whatever the app is.
        DetectResultBuilder::pass().build()
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, Self::Error> {
        let output = BuildLog;
        let started = print::buildpack("Backplane");
        print::bullet("Agent");

        // The process environment, so that the platform's proxy variables count too.
        let environment: Environment = env::vars_os().collect();
        for (name, ours) in settings::near_misses(&environment) {
            output.warning(&warnings::near_miss(&name, ours));
        }
        let settings = Settings::parse(&environment).map_err(BackplaneError::Settings)?;
        let target = Target {
            os: context.target.os.clone(),
            arch: context.target.arch.clone(),
        };
        let default = &context.buildpack_descriptor.metadata.agent;
        let release = Release::determine(&settings, default, target, &context.app_dir)
            .map_err(BackplaneError::Release)?;
        let record = layers::agent::install(&context, &settings, &release, &output)?;

        print::all_done(&Some(started));
        BuildResultBuilder::new()
            .launch(LaunchBuilder::new().labels(labels(record.as_ref())).build())
            .build()
    }

    fn on_error(&self, error: libcnb::Error<Self::Error>) {
        errors::on_error(error);
    }
}

impl From<BackplaneError> for libcnb::Error<BackplaneError> {
    fn from(error: BackplaneError) -> Self {
        Self::BuildpackError(error)
    }
}

/// The image labels that tell which agent is in it.
fn labels(record: Option<&Record>) -> Vec<Label> {
    let label = |key: &str, value: &str| Label {
        key: format!("io.backplane.agent.{key}"),
        value: value.to_owned(),
    };
    record.map_or_else(Vec::new, |record| {
        vec![
            label("source", &record.source),
            label("sha256", &record.sha256.to_string()),
        ]
    })
}

/// Runs detect or build of the Cloud Native Buildpack, or compile of the classic one, picked by the name that the program is
/// called by.
///
/// The classic detect is no program of ours: it would have the name of the other one.
#[must_use = "it is the exit status of the process"]
pub fn main() -> ExitCode {
    // What is made has the modes of its kind, 0644 and 0755, whatever the umask of the build: any user may run the image.
    umask(Mode::WGRP | Mode::WOTH);
    let name = env::args_os().next().unwrap_or_default();
    let called = Path::new(&name)
        .file_name()
        .and_then(OsStr::to_str)
        .unwrap_or_default();
    if called == classic::NAME {
        return panics::catch(classic::main, |message| classic::on_error(&message));
    }
    // `bin/build LAYERS PLATFORM PLAN`
    if let ("build", Some(layers)) = (called, env::args_os().nth(1)) {
        layers::agent::remove_store(Path::new(&layers));
    }
    let cnb = || {
        libcnb_runtime(&BackplaneBuildpack);
        ExitCode::SUCCESS
    };
    panics::catch(cnb, |message| errors::print(&message))
}
