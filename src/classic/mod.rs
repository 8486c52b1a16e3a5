//! The classic front end: Heroku's older buildpack API, over the same installation.
//!
//! `bin/detect` only prints a word, and `bin/compile` is this program by that name: `bin/compile
//! BUILD_DIR CACHE_DIR ENV_DIR` (<https://devcenter.heroku.com/articles/buildpack-api>). There is
//! no `bin/release`: the default processes of an app are those of the last buildpack that has one,
//! so even an empty one would replace those of a language's buildpack.

mod cache;
mod config_vars;
mod slug;

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Deserialize;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::cache::parse as parse_metadata;
use self::slug::Slug;
use crate::environment::Environment;
use crate::error::BackplaneError;
use crate::install::{self, Installation};
use crate::launch_program;
use crate::limits::Limits;
use crate::messages::{errors, progress, warnings};
use crate::network::Network;
use crate::output::{ClassicLog, Log};
use crate::release::{Agents, BuildpackMetadata, Release};
use crate::settings::Settings;
use crate::target::Target;
use crate::wrapper::Wrapper;

/// The name of this program as a classic buildpack.
pub(crate) const NAME: &str = "compile";

/// The path of the launch program in the archive of the classic buildpack.
const LAUNCH_PROGRAM: &str = "lib/launch";

/// Runs `bin/compile`.
pub(crate) fn main() -> ExitCode {
    ClassicLog::begin("Backplane");
    match compile(env::args_os().skip(1).map(PathBuf::from), &ClassicLog) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ClassicLog.error(&errors::message_of(error));
            ExitCode::FAILURE
        }
    }
}

/// Compiles an app. The arguments are the directory of its source, which becomes the slug, the
/// directory of what is kept for the next compile, and the one with a file for each config var.
fn compile(
    mut arguments: impl Iterator<Item = PathBuf>,
    log: &dyn Log,
) -> Result<(), BackplaneError> {
    let (Some(app), Some(cache)) = (arguments.next(), arguments.next()) else {
        return Err(BackplaneError::Arguments);
    };
    let limits = Limits::default();
    let config_vars = config_vars::read(arguments.next().as_deref(), &limits)?;
    warnings::log_near_misses(&config_vars, log);
    let settings = Settings::parse(&config_vars).map_err(BackplaneError::Settings)?;
    // The variables of the build machine. The app's config vars are for the dyno: for example,
    // SSL_CERT_FILE names a file there, and would break a build that worked without it.
    let network = Network::read(&env::vars_os().collect::<Environment>());
    let target = target_of_this_machine();
    let package = own_package().map_err(BackplaneError::Package)?;
    let agents = agents(&package).map_err(BackplaneError::Package)?;
    let release =
        Release::determine(&settings, &agents, target, &app).map_err(BackplaneError::Release)?;
    progress::log_agent(&release, log);
    let launch_program = package.join(LAUNCH_PROGRAM);
    launch_program::check(&launch_program, &release.target)?;
    let wrapper = Wrapper::find(&package, &release).map_err(BackplaneError::Package)?;

    // The agent is installed into the cache and copied from there into the slug. The cache may be
    // on another file system, so files can't be renamed from one to the other, and each file in it
    // is inspected before it is used again.
    let on_notice = |notice: install::Notice<'_>| progress::log(&notice, log);
    let cache = cache::Cache::open(&cache, &on_notice).map_err(BackplaneError::BuildCache)?;
    let metadata = Installation {
        directory: cache.directory(),
        staging: &cache.directory().join("staging"),
        release: &release,
        optional: settings.optional,
        network: &network,
        limits: &limits,
        on_notice: &on_notice,
    }
    .run(cache.previous(&limits))
    .map_err(BackplaneError::Install)?;
    cache
        .write(metadata.as_ref())
        .map_err(BackplaneError::BuildCache)?;

    let slug = Slug { app: &app };
    let is_replaced = slug
        .put_launch_program(&launch_program)
        .map_err(BackplaneError::Slug)?;
    if is_replaced {
        log.warning(&warnings::start_scripts_replaced());
    }
    slug.put_agent(cache.directory(), metadata.as_ref(), wrapper.as_ref())
        .map_err(BackplaneError::Slug)
}

/// The agents of both front ends, from the buildpack.toml of a package.
pub(crate) fn agents(package: &Path) -> io::Result<Agents> {
    #[derive(Deserialize)]
    struct Descriptor {
        metadata: BuildpackMetadata,
    }
    let text = fs_err::read_to_string(package.join("buildpack.toml"))?;
    toml::from_str::<Descriptor>(&text)
        .map(|descriptor| descriptor.metadata.agents)
        .map_err(|error| io::Error::other(format!("buildpack.toml: {}", error.message())))
}

/// The platform of this machine. Heroku runs the app on the same.
fn target_of_this_machine() -> Target {
    Target {
        os: env::consts::OS.to_owned(),
        arch: match env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
        .to_owned(),
    }
}

/// The package that contains this program, as `bin/compile`.
fn own_package() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    fs_err::canonicalize(program.ancestors().nth(2).unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::variables;
    use crate::release::tests::target;

    #[test]
    fn agents_of_the_descriptor_are_complete() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let agents = agents(package).unwrap();
        for (name, url) in [
            (
                "backplane",
                "https://bin.equinox.io/c/jWahGASjoRq/backplane-stable-linux-amd64.tgz",
            ),
            (
                "chisel",
                "https://github.com/jpillora/chisel/releases/download/v1.10.1/chisel_1.10.1_linux_amd64.gz",
            ),
            (
                "frp",
                "https://github.com/fatedier/frp/releases/download/v0.61.0/frp_0.61.0_linux_amd64.tar.gz",
            ),
        ] {
            let environment = variables(&[("BACKPLANE_AGENT", name)]);
            let settings = Settings::parse(&environment).unwrap();
            let target = target("amd64");
            let release = Release::determine(&settings, &agents, target, Path::new("/app"));
            let release = release.unwrap();
            assert_eq!(release.source.redacted().to_string(), url);
            Wrapper::find(package, &release).unwrap();
        }
        assert_eq!(agents.len(), 3);
    }

    #[test]
    fn two_directories_are_required() {
        let arguments = [PathBuf::from("/build")].into_iter();
        let outcome = compile(arguments, &ClassicLog);
        assert!(matches!(outcome, Err(BackplaneError::Arguments)));
    }
}
