//! The classic front end: Heroku's older buildpack API, over the same installation.
//!
//! `bin/detect` only prints a word, and `bin/compile` is this program by that name: `bin/compile
//! BUILD_DIR CACHE_DIR ENV_DIR` (<https://devcenter.heroku.com/articles/buildpack-api>). There is
//! no `bin/release`: even an empty one, of the last buildpack in the list, would replace the
//! default processes that a language's buildpack has named.

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
use self::slug::{Slug, StartScripts};
use crate::environment::Environment;
use crate::error::BackplaneError;
use crate::install::{self, Installation};
use crate::launch_program;
use crate::limits::Limits;
use crate::messages::{errors, progress, warnings};
use crate::network::Network;
use crate::output::{ClassicLog, Log};
use crate::release::{BuildpackMetadata, DefaultAgent, Release};
use crate::settings::Settings;
use crate::target::Target;

/// The name of this program as a classic buildpack.
pub(crate) const NAME: &str = "compile";

/// Where the archive of the classic buildpack has the launch program.
const LAUNCH_PROGRAM: &str = "lib/launch";

/// The arguments of a compile.
struct Compile {
    /// The app's source, which becomes the slug.
    app: PathBuf,
    /// What is kept for the next compile.
    cache: PathBuf,
    /// A file for each config var.
    config_vars: Option<PathBuf>,
}

/// Runs `bin/compile`.
pub(crate) fn main() -> ExitCode {
    ClassicLog::begin("Backplane");
    let arguments = env::args_os().skip(1).map(PathBuf::from);
    match Compile::from_arguments(arguments).and_then(|compile| compile.run(&ClassicLog)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ClassicLog.error(&errors::message_of(error));
            ExitCode::FAILURE
        }
    }
}

impl Compile {
    fn from_arguments(
        mut arguments: impl Iterator<Item = PathBuf>,
    ) -> Result<Self, BackplaneError> {
        let (Some(app), Some(cache)) = (arguments.next(), arguments.next()) else {
            return Err(BackplaneError::Arguments);
        };
        Ok(Self {
            app,
            cache,
            config_vars: arguments.next(),
        })
    }

    fn run(&self, log: &dyn Log) -> Result<(), BackplaneError> {
        let limits = Limits::default();
        let config_vars = config_vars::read(self.config_vars.as_deref(), &limits)?;
        warnings::log_near_misses(&config_vars, log);
        let settings = Settings::parse(&config_vars).map_err(BackplaneError::Settings)?;
        // Those of the build machine. The app's config vars are for the dyno: SSL_CERT_FILE, say,
        // names a file there, and would break a build that worked without it.
        let network = Network::read(&env::vars_os().collect::<Environment>());
        let target = target_of_this_machine();
        let release = Release::determine(&settings, &default_agent(), target, &self.app)
            .map_err(BackplaneError::Release)?;
        let launch_program = own_launch_program().map_err(BackplaneError::LaunchProgram)?;
        launch_program::check(&launch_program, &release.target)?;

        // Into the cache, and from there into the slug by copying: the cache may be on another file
        // system, over which nothing can be swapped by a rename, and each file in it is inspected
        // before it is used again.
        let on_notice = |notice: install::Notice<'_>| progress::log(&notice, log);
        let cache =
            cache::Cache::open(&self.cache, &on_notice).map_err(BackplaneError::BuildCache)?;
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

        let slug = Slug { app: &self.app };
        let start_scripts = slug
            .put_launch_program(&launch_program)
            .map_err(BackplaneError::Slug)?;
        if start_scripts == StartScripts::Replaced {
            log.warning(&warnings::start_scripts_replaced());
        }
        slug.put_agent(cache.directory(), metadata.as_ref())
            .map_err(BackplaneError::Slug)
    }
}

/// The default that buildpack.toml names for both front ends.
pub(crate) fn default_agent() -> DefaultAgent {
    #[derive(Deserialize)]
    struct Descriptor {
        metadata: BuildpackMetadata,
    }
    toml::from_str::<Descriptor>(include_str!("../../buildpack.toml"))
        .expect("a test reads the same text")
        .metadata
        .agent
}

/// The platform of this machine, which Heroku runs the app on as well.
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

/// The launch program of the archive that this program came from.
fn own_launch_program() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let root = program.ancestors().nth(2).unwrap_or(Path::new("/"));
    fs_err::canonicalize(root.join(LAUNCH_PROGRAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_of_the_descriptor_is_found() {
        let settings = Settings::parse(&Environment::new()).unwrap();
        let target = Target {
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
        };
        let release =
            Release::determine(&settings, &default_agent(), target, Path::new("/app")).unwrap();
        assert_eq!(
            release.source.redacted().to_string(),
            "https://bin.equinox.io/c/jWahGASjoRq/backplane-stable-linux-amd64.tgz"
        );
    }

    #[test]
    fn arguments_are_those_of_heroku() {
        let compile = |arguments: &[&str]| {
            Compile::from_arguments(arguments.iter().map(PathBuf::from))
                .map(|compile| compile.config_vars)
        };
        assert!(matches!(
            compile(&["/build"]),
            Err(BackplaneError::Arguments)
        ));
        assert_eq!(compile(&["/build", "/cache"]).unwrap(), None);
        assert_eq!(
            compile(&["/build", "/cache", "/env"]).unwrap(),
            Some("/env".into())
        );
    }
}
