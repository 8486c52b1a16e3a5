//! What the launch environment asks for, parsed once. A malformed value is named, and its default
//! taken: nothing here may keep an app from booting.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::Duration;

use sidecar::{Drain, Environment, Upstream, Verbosity};

use crate::messages::Message;

/// The variables of ours that a launch reads, besides `BACKPLANE_LABELS_<TYPE>`.
pub const VARIABLES: [&str; 13] = [
    "BACKPLANE_TOKEN",
    "BACKPLANE_TOKEN_FILE",
    "BACKPLANE_LABELS",
    "BACKPLANE_IGNORE_PROCESS_TYPE",
    "BACKPLANE_PROCESS_ALLOW",
    "BACKPLANE_PROCESS_TYPE",
    "BACKPLANE_PROXY_URL",
    "BACKPLANE_WAIT_FOR_APP",
    "BACKPLANE_DRAIN",
    "BACKPLANE_STOP_TIMEOUT",
    "BACKPLANE_AGENT_ENV",
    "BACKPLANE_LOG",
    "BACKPLANE_DISABLED",
];

/// The settings of one process; see the README's table for their meaning to the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Settings {
    pub(crate) disabled: bool,
    pub(crate) token: Option<OsString>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) labels: Option<OsString>,
    pub(crate) ignored_types: Vec<String>,
    /// `None`: no allow list.
    pub(crate) allowed_types: Option<Vec<String>>,
    pub(crate) process_type: Option<String>,
    pub(crate) proxy_url: Option<OsString>,
    pub(crate) port: Option<OsString>,
    pub(crate) wait_for_app: bool,
    pub(crate) drain: Drain,
    pub(crate) stop_timeout: Duration,
    /// Names of further variables for the agent.
    pub(crate) agent_variables: Vec<OsString>,
    pub(crate) verbosity: Verbosity,
    /// Heroku's name of this dyno.
    pub(crate) dyno: Option<String>,
    /// The variable that says that the app's tests run here, if one does.
    pub(crate) test_run: Option<&'static str>,
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
            token_file: environment.get("BACKPLANE_TOKEN_FILE").map(PathBuf::from),
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
            stop_timeout: seconds(
                environment,
                "BACKPLANE_STOP_TIMEOUT",
                MAX_STOP_TIMEOUT,
                sidecar::STOP_TIMEOUT,
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
            test_run: test_run(environment),
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

/// The longest time in seconds that an agent can have to finish its requests: longer than any
/// platform waits for a container to end.
const MAX_STOP_TIMEOUT: u64 = 600;

/// Heroku CI names its run; a platform names an execution environment, of which all but one are
/// for tests and development
/// (<https://github.com/buildpacks/spec/blob/main/platform.md#launch-time-variables>).
fn test_run(environment: &Environment) -> Option<&'static str> {
    const HEROKU_CI: &str = "HEROKU_TEST_RUN_ID";
    const EXEC_ENV: &str = "CNB_EXEC_ENV";
    if environment.get(HEROKU_CI).is_some() {
        return Some(HEROKU_CI);
    }
    let exec_env = text(environment.get(EXEC_ENV))?;
    (exec_env != "production").then_some(EXEC_ENV)
}

/// A whole number of seconds from 1 to `max`, or the default with a message.
fn seconds(
    environment: &Environment,
    name: &'static str,
    max: u64,
    default: Duration,
    problems: &mut Vec<Message>,
) -> Duration {
    let Some(value) = text(environment.get(name)) else {
        return default;
    };
    let seconds = value
        .parse()
        .ok()
        .filter(|seconds| (1..=max).contains(seconds));
    seconds.map_or_else(
        || {
            let taken = default.as_secs();
            problems.push(Message::MalformedSeconds {
                name,
                value,
                max,
                taken,
            });
            default
        },
        Duration::from_secs,
    )
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
        assert!(!defaults.disabled && defaults.wait_for_app && defaults.test_run.is_none());
        assert_eq!(defaults.stop_timeout, Duration::from_secs(5));
        assert_eq!(defaults.drain, Drain::Keep);
        assert_eq!(defaults.verbosity, Verbosity::Info);
        assert_eq!(defaults.allowed_types, None);
        assert_eq!(defaults.ignored_types, Vec::<String>::new());
        let names =
            VARIABLES
                .into_iter()
                .chain(["PORT", "DYNO", "HEROKU_TEST_RUN_ID", "CNB_EXEC_ENV"]);
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
    fn timeouts_are_whole_seconds_within_a_range() {
        for (value, expected, is_malformed) in [
            ("1", 1, false),
            (" 600\n", 600, false),
            ("0", 5, true),
            ("601", 5, true),
            ("1.5", 5, true),
            ("-1", 5, true),
            ("5s", 5, true),
            ("99999999999999999999", 5, true),
        ] {
            let environment = environment(&[("BACKPLANE_STOP_TIMEOUT", value)]);
            let (settings, problems) = Settings::read(&environment);
            assert_eq!(
                settings.stop_timeout,
                Duration::from_secs(expected),
                "{value}"
            );
            assert_eq!(!problems.is_empty(), is_malformed, "{value}");
        }
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
