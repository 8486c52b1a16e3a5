//! What stops a classic build only.

use indoc::formatdoc;

use super::{Closing, ErrorMessage};
use crate::classic::{ClassicError, ConfigVarsError};

pub(super) fn message(error: ClassicError) -> ErrorMessage {
    let (id, header, body, error) = match error {
        ClassicError::Arguments => {
            return ErrorMessage {
                id: "classic/arguments",
                header: "The buildpack was called without its folders",
                body: formatdoc! {"
                    Heroku calls it with three of them:

                    bin/compile BUILD_DIR CACHE_DIR ENV_DIR
                "},
                details: None,
                closing: Closing::Nothing,
            };
        }
        ClassicError::ConfigVars(ConfigVarsError::Read { name, error }) => {
            return ErrorMessage {
                id: "classic/config-vars",
                header: "Unable to read a config var",
                body: formatdoc! {"
                    The config var {name} can't be read. Heroku hands it to
                    the build as a file of that name (in ENV_DIR), which has to be a regular
                    file of at most 128 KiB. Set it again:

                    heroku config:set {name}=…
                "},
                details: Some(error.to_string()),
                closing: Closing::Nothing,
            };
        }
        ClassicError::ConfigVars(ConfigVarsError::List(error)) => (
            "classic/config-vars",
            "Unable to read the config vars",
            "The folder with a file for each config var (ENV_DIR) can't be read.",
            error,
        ),
        ClassicError::Cache(error) => (
            "classic/cache",
            "Unable to use the build cache",
            "The agent can't be kept in the build cache (CACHE_DIR). Empty it, and\n\
             build again: heroku builds:cache:purge (of the plugin heroku-builds).",
            error,
        ),
        ClassicError::Slug(error) => (
            "classic/slug",
            "Unable to put the agent into the app",
            "The agent is installed below '.backplane' in the app, and started by\n\
             '.profile.d/backplane.sh'. Check that the app has nothing in their place.",
            error,
        ),
    };
    ErrorMessage {
        id,
        header,
        body: body.to_owned(),
        details: Some(error.to_string()),
        closing: Closing::Report,
    }
}
