//! Errors that stop only a classic build.

use std::io;

use indoc::formatdoc;

use super::message::ErrorMessage;

pub(super) fn arguments() -> ErrorMessage {
    ErrorMessage::new(
        "classic/arguments",
        "The buildpack was called without its directories",
        "Heroku calls it with three of them:\n\n\
         bin/compile BUILD_DIR CACHE_DIR ENV_DIR",
    )
}

pub(super) fn config_vars(error: &io::Error) -> ErrorMessage {
    ErrorMessage::new(
        "classic/config-vars",
        "Unable to read the config vars",
        "The directory with a file for each config var (ENV_DIR) can't be read.",
    )
    .unexpected(error)
}

pub(super) fn config_var(name: &str, error: &io::Error) -> ErrorMessage {
    ErrorMessage::new(
        "classic/config-vars",
        "Unable to read a config var",
        formatdoc! {"
            The config var {name} can't be read. Heroku passes it to the
            build as a file of that name in ENV_DIR, which must be a regular file of
            at most 128 KiB. Set it again:

            heroku config:set {name}=…
        "},
    )
    .details(error)
}

pub(super) fn build_cache(error: &io::Error) -> ErrorMessage {
    ErrorMessage::new(
        "classic/cache",
        "Unable to use the build cache",
        "The agent can't be stored in the build cache (CACHE_DIR). Empty the cache\n\
         and build again: heroku builds:cache:purge (from the plugin heroku-builds).",
    )
    .unexpected(error)
}

pub(super) fn slug(error: &io::Error) -> ErrorMessage {
    ErrorMessage::new(
        "classic/slug",
        "Unable to put the agent into the app",
        "The agent is installed in '.backplane' of the app and started by\n\
         '.profile.d/backplane.sh'. Check that the app has nothing else there.",
    )
    .unexpected(error)
}
