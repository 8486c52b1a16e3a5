//! What the launch environment asks for, parsed once. A malformed value is named, and its default
//! taken: nothing here may keep an app from booting.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use sidecar::{Drain, Environment, Upstream, Verbosity};

use crate::messages::Message;

/// The variables of ours that a launch reads, besides `BACKPLANE_LABELS_<TYPE>`.
pub const VARIABLES: [&str; 11] = [
    "BACKPLANE_TOKEN",
    "BACKPLANE_LABELS",
    "BACKPLANE_IGNORE_PROCESS_TYPE",
    "BACKPLANE_PROCESS_ALLOW",
    "BACKPLANE_PROCESS_TYPE",
    "BACKPLANE_PROXY_URL",
    "BACKPLANE_WAIT_FOR_APP",
    "BACKPLANE_DRAIN",
    "BACKPLANE_AGENT_ENV",
    "BACKPLANE_LOG",
    "BACKPLANE_DISABLED",
];

/// The settings of one process; see the README's table for their meaning to the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Settings {
    pub(crate) disabled: bool,
    pub(crate) token: Option<OsString>,
    pub(crate) labels: Option<OsString>,
    pub(crate) ignored_types: Vec<String>,
    /// `None`: no allow list.
    pub(crate) allowed_types: Option<Vec<String>>,
    pub(crate) process_type: Option<String>,
    pub(crate) proxy_url: Option<OsString>,
    pub(crate) port: Option<OsString>,
    pub(crate) wait_for_app: bool,
    pub(crate) drain: Drain,
    /// Names of further variables for the agent.
    pub(crate) agent_variables: Vec<OsString>,
    pub(crate) verbosity: Verbosity,
    /// Heroku's name of this dyno.
    pub(crate) dyno: Option<String>,
    /// Whether Heroku CI runs the app's tests here.
    pub(crate) is_test_run: bool,
}

impl Settings {
    /// Reads the settings and names every malformed one.
    pub(crate) fn read(environment: &Environment) -> (Self, Vec<Message>) {
        let mut problems = Vec::new();
        let settings = Self {
            disabled: choice(
                environment,
                "BACKPLANE_DISABLED",
                &SWITCH,
                false,
                &mut problems,
            ),
            token: environment.get("BACKPLANE_TOKEN").map(OsStr::to_owned),
            labels: environment.get("BACKPLANE_LABELS").map(OsStr::to_owned),
            ignored_types: parse_list(environment.get("BACKPLANE_IGNORE_PROCESS_TYPE"))
                .unwrap_or_default(),
            allowed_types: parse_list(environment.get("BACKPLANE_PROCESS_ALLOW")),
            process_type: text(environment.get("BACKPLANE_PROCESS_TYPE")),
            proxy_url: environment.get("BACKPLANE_PROXY_URL").map(OsStr::to_owned),
            port: environment.get("PORT").map(OsStr::to_owned),
            wait_for_app: choice(
                environment,
                "BACKPLANE_WAIT_FOR_APP",
                &SWITCH,
                true,
                &mut problems,
            ),
            drain: choice(
                environment,
                "BACKPLANE_DRAIN",
                &[("keep", Drain::Keep), ("stop", Drain::Stop)],
                Drain::default(),
                &mut problems,
            ),
            agent_variables: environment
                .get("BACKPLANE_AGENT_ENV")
                .map(variable_names)
                .unwrap_or_default(),
            verbosity: choice(
                environment,
                "BACKPLANE_LOG",
                &[
                    ("info", Verbosity::Info),
                    ("quiet", Verbosity::Quiet),
                    ("debug", Verbosity::Debug),
                ],
                Verbosity::default(),
                &mut problems,
            ),
            dyno: text(environment.get("DYNO")),
            is_test_run: environment.get("HEROKU_TEST_RUN_ID").is_some(),
        };
        (settings, problems)
    }

    /// The address of the app, by `BACKPLANE_PROXY_URL` or else by `PORT`. `None` if neither is
    /// set.
    pub(crate) fn upstream(&self) -> Option<Result<Upstream, Message>> {
        if let Some(url) = &self.proxy_url {
            return Some(Upstream::from_url(url).map_err(|error| {
                let url = sidecar::redacted(&url.to_string_lossy());
                Message::MalformedProxyUrl { url, error }
            }));
        }
        let port = self.port.as_ref()?;
        Some(Upstream::from_port(port).map_err(|_| {
            let value = port.to_string_lossy().into_owned();
            Message::MalformedPort { value }
        }))
    }
}

const SWITCH: [(&str, bool); 8] = [
    ("true", true),
    ("false", false),
    ("1", true),
    ("0", false),
    ("yes", true),
    ("no", false),
    ("on", true),
    ("off", false),
];

/// One of the named values, in any case; the default where the variable is unset or, with a word to
/// the user, malformed.
fn choice<T: Copy + PartialEq>(
    environment: &Environment,
    name: &'static str,
    values: &[(&'static str, T)],
    default: T,
    problems: &mut Vec<Message>,
) -> T {
    let Some(given) = text(environment.get(name)) else {
        return default;
    };
    let found = values
        .iter()
        .find(|(word, _)| given.eq_ignore_ascii_case(word));
    found.map_or_else(
        || {
            let word_of_default = values.iter().find(|(_, value)| *value == default);
            problems.push(Message::MalformedSetting {
                name,
                value: given,
                wanted: values.iter().map(|(word, _)| *word).collect(),
                taken: word_of_default.map_or("", |(word, _)| word),
            });
            default
        },
        |(_, value)| *value,
    )
}

fn text(value: Option<&OsStr>) -> Option<String> {
    Some(value?.to_string_lossy().trim().to_owned())
}

/// The words of a list, which commas and white space separate; none where the variable is unset or
/// holds no word.
fn parse_list(value: Option<&OsStr>) -> Option<Vec<String>> {
    let words: Vec<String> = text(value)?
        .split(is_separator)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    (!words.is_empty()).then_some(words)
}

fn is_separator(character: char) -> bool {
    character == ',' || character.is_whitespace()
}

/// The names in a list, which need not be UTF-8, as names in an environment need not be.
fn variable_names(value: &OsStr) -> Vec<OsString> {
    value
        .as_bytes()
        .split(|byte| *byte == b',' || byte.is_ascii_whitespace())
        .filter(|name| !name.is_empty())
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{WithBytes as _, environment};

    fn read(variables: &[(&str, &str)]) -> Settings {
        let (settings, problems) = Settings::read(&environment(variables));
        assert_eq!(problems, []);
        settings
    }

    #[test]
    fn nothing_set_gives_the_defaults() {
        let defaults = read(&[]);
        assert!(!defaults.disabled && defaults.wait_for_app && !defaults.is_test_run);
        assert_eq!(defaults.drain, Drain::Keep);
        assert_eq!(defaults.verbosity, Verbosity::Info);
        assert_eq!(defaults.allowed_types, None);
        assert_eq!(defaults.ignored_types, Vec::<String>::new());
        let names = VARIABLES
            .into_iter()
            .chain(["PORT", "DYNO", "HEROKU_TEST_RUN_ID"]);
        for value in ["", " "] {
            let pairs: Vec<_> = names.clone().map(|name| (name, value)).collect();
            assert_eq!(read(&pairs), defaults, "{value:?} is the same as unset");
        }
    }

    #[test]
    fn switches_know_eight_words_in_any_case() {
        for (word, expected) in [
            ("1", true),
            ("true", true),
            ("YES", true),
            ("on", true),
            (" on\n", true),
            ("0", false),
            ("False", false),
            ("no", false),
            ("off", false),
        ] {
            let settings = read(&[
                ("BACKPLANE_DISABLED", word),
                ("BACKPLANE_WAIT_FOR_APP", word),
            ]);
            assert_eq!(
                (settings.disabled, settings.wait_for_app),
                (expected, expected),
                "{word}"
            );
        }
    }

    #[test]
    fn choices_are_read() {
        let settings = read(&[("BACKPLANE_DRAIN", "Stop"), ("BACKPLANE_LOG", "quiet")]);
        assert_eq!(
            (settings.drain, settings.verbosity),
            (Drain::Stop, Verbosity::Quiet)
        );
        assert_eq!(read(&[("BACKPLANE_DRAIN", "keep")]).drain, Drain::Keep);
        assert_eq!(
            read(&[("BACKPLANE_LOG", "debug")]).verbosity,
            Verbosity::Debug
        );
        assert_eq!(
            read(&[("BACKPLANE_LOG", "info")]).verbosity,
            Verbosity::Info
        );
    }

    #[test]
    fn lists_are_split_at_commas_and_spaces() {
        for (value, expected) in [
            ("worker", vec!["worker"]),
            ("worker,clock", vec!["worker", "clock"]),
            ("worker clock", vec!["worker", "clock"]),
            (" worker , ,clock,\n", vec!["worker", "clock"]),
        ] {
            let settings = read(&[
                ("BACKPLANE_PROCESS_ALLOW", value),
                ("BACKPLANE_IGNORE_PROCESS_TYPE", value),
            ]);
            assert_eq!(settings.ignored_types, expected, "{value:?}");
            assert_eq!(settings.allowed_types.unwrap(), expected, "{value:?}");
        }
        assert_eq!(
            read(&[("BACKPLANE_PROCESS_ALLOW", " , ,")]).allowed_types,
            None
        );
        let environment = Environment::default().with_bytes(b"BACKPLANE_AGENT_ENV", b"A, B\xff C");
        let (settings, _) = Settings::read(&environment);
        let names: Vec<&[u8]> = settings
            .agent_variables
            .iter()
            .map(|name| name.as_bytes())
            .collect();
        assert_eq!(names, [b"A".as_slice(), b"B\xff", b"C"]);
    }

    #[test]
    fn malformed_values_are_named_and_their_defaults_taken() {
        let names = [
            "BACKPLANE_DISABLED",
            "BACKPLANE_WAIT_FOR_APP",
            "BACKPLANE_DRAIN",
            "BACKPLANE_LOG",
        ];
        let mut environment = Environment::default();
        for name in names {
            environment = environment.with_bytes(name.as_bytes(), b"ture\xff");
        }
        let (settings, problems) = Settings::read(&environment);
        let (defaults, _) = Settings::read(&Environment::default());
        assert_eq!(settings, defaults);
        let found: Vec<(&str, &str)> = problems
            .iter()
            .map(|problem| match problem {
                Message::MalformedSetting {
                    name, taken, value, ..
                } if value == "ture\u{fffd}" => (*name, *taken),
                other => panic!("{other}"),
            })
            .collect();
        let defaults = ["false", "true", "keep", "info"];
        assert_eq!(found, names.into_iter().zip(defaults).collect::<Vec<_>>());
    }
}
