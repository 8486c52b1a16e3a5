//! The classic front end: Heroku's older buildpack API, over the same installation.
//!
//! `bin/detect` only prints a word, and `bin/compile` is this program by that name: `bin/compile BUILD_DIR CACHE_DIR ENV_DIR`
//! (<https://devcenter.heroku.com/articles/buildpack-api>). There is no `bin/release`: even an empty one, of the last buildpack in the
//! list, would take the place of the default processes that a language's buildpack has named.

mod cache;
mod config_vars;
mod output;
mod slug;

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Deserialize;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::cache::parse as parse_record;
pub(crate) use self::config_vars::ConfigVarsError;
use self::output::ClassicLog;
use crate::BuildpackMetadata;
use crate::errors::{self, BackplaneError, ErrorMessage};
use crate::install::Installation;
use crate::launch_program;
use crate::limits::Limits;
use crate::output::Output;
use crate::release::{DefaultAgent, Release};
use crate::settings::{self, Environment, Network, Settings};
use crate::target::Target;
use crate::warnings;

/// The name that this program has as a classic buildpack.
pub(crate) const NAME: &str = "compile";

/// Where the archive of the classic buildpack has the launch program.
const LAUNCH_PROGRAM: &str = "lib/launch";

/// Errors that only a classic buildpack can have.
#[derive(Debug)]
pub(crate) enum ClassicError {
    /// It was called in another way than Heroku does it.
    Arguments,
    /// The config vars cannot be read.
    ConfigVars(ConfigVarsError),
    /// The cache's folder or the record in it cannot be written.
    Cache(io::Error),
    /// The agent cannot be copied from the cache into the app, or the app's start script cannot be written.
    Slug(io::Error),
}

/// What Heroku hands to a compile.
struct Compile {
    /// The app's source, and what becomes the slug.
    app: PathBuf,
    /// What is kept for the next compile.
    cache: PathBuf,
    /// A file for each config var.
    config_vars: Option<PathBuf>,
}

/// Plays `bin/compile`: errors are told, in the way of classic buildpacks, and the exit status is 1.
pub(crate) fn main() -> ExitCode {
    let log = ClassicLog;
    log.heading("Backplane");
    match Compile::from_arguments(env::args_os().skip(1).map(PathBuf::from))
        .and_then(|compile| compile.run(&log))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            on_error(&errors::of_buildpack(error));
            ExitCode::FAILURE
        }
    }
}

/// Tells a user what has stopped the compile.
pub(crate) fn on_error(message: &ErrorMessage) {
    ClassicLog.error(&message.to_string());
}

impl Compile {
    fn from_arguments(
        mut arguments: impl Iterator<Item = PathBuf>,
    ) -> Result<Self, BackplaneError> {
        let (Some(app), Some(cache)) = (arguments.next(), arguments.next()) else {
            return Err(BackplaneError::Classic(ClassicError::Arguments));
        };
        Ok(Self {
            app,
            cache,
            config_vars: arguments.next(),
        })
    }

    fn run(&self, output: &dyn Output) -> Result<(), BackplaneError> {
        let limits = Limits::default();
        let config_vars = config_vars::read(self.config_vars.as_deref(), &limits)
            .map_err(ClassicError::ConfigVars)?;
        for (name, ours) in settings::near_misses(&config_vars) {
            output.warning(&warnings::near_miss(&name, ours));
        }
        let settings = Settings {
            // A proxy and its authorities are the build machine's. Those that a config var names are the app's: SSL_CERT_FILE, say, is
            // a path of the dyno, where the app runs, and would break a build that has worked without it.
            network: Network::read(&env::vars_os().collect::<Environment>()),
            ..Settings::parse(&config_vars).map_err(BackplaneError::Settings)?
        };
        let release = Release::determine(
            &settings,
            &default_agent(),
            target_of_this_machine(),
            &self.app,
        )
        .map_err(BackplaneError::Release)?;
        let launch_program = own_launch_program().map_err(BackplaneError::LaunchProgram)?;
        launch_program::check(&launch_program, &release.target)?;

        // Into the cache, and from there into the slug by copying: the cache may be on another file system, over which nothing can be
        // swapped by a rename; and what is kept there is looked at, file by file, before it is used again.
        let cache = cache::Cache::open(&self.cache, output).map_err(ClassicError::Cache)?;
        let record = Installation {
            folder: cache.folder(),
            staging: &cache.folder().join("staging"),
            release: &release,
            optional: settings.optional,
            network: &settings.network,
            limits: &limits,
            output,
        }
        .run(cache.previous(&limits))
        .map_err(BackplaneError::Install)?;
        cache
            .remember(record.as_ref())
            .map_err(ClassicError::Cache)?;

        let slug = slug::Slug::of(&self.app, output);
        slug.put_launch_program(&launch_program)
            .and_then(|()| slug.put_agent(cache.folder(), record.as_ref()))
            .map_err(|error| BackplaneError::Classic(ClassicError::Slug(error)))
    }
}

/// The default that buildpack.toml names for both front ends.
pub(crate) fn default_agent() -> DefaultAgent {
    #[derive(Deserialize)]
    struct Descriptor {
        metadata: BuildpackMetadata,
    }
    toml::from_str::<Descriptor>(include_str!("../buildpack.toml"))
        .expect("a test reads the same text")
        .metadata
        .agent
}

/// Heroku builds an app on the platform that it runs on.
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

/// The launch program of the archive that this program, its `bin/compile`, came from.
fn own_launch_program() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let root = program.ancestors().nth(2).unwrap_or(Path::new("/"));
    fs_err::canonicalize(root.join(LAUNCH_PROGRAM))
}

impl From<ClassicError> for BackplaneError {
    fn from(error: ClassicError) -> Self {
        Self::Classic(error)
    }
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
            Err(BackplaneError::Classic(ClassicError::Arguments))
        ));
        assert_eq!(compile(&["/build", "/cache"]).unwrap(), None);
        assert_eq!(
            compile(&["/build", "/cache", "/env"]).unwrap(),
            Some("/env".into())
        );
    }
}
