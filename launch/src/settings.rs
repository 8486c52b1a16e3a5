//! The settings in the launch environment, parsed once. A malformed value is reported, and its
//! default used: nothing here may keep an app from booting.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use sidecar::{Drain, Environment, Upstream, Verbosity};

use crate::messages::Message;

/// The variables of this buildpack that a launch reads, besides `BACKPLANE_LABELS_<TYPE>`.
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
    /// Reads the settings, and returns a message for each malformed one.
    pub(crate) fn read(environment: &Environment) -> (Self, Vec<Message>) {
        let mut reader = Reader {
            environment,
            problems: Vec::new(),
        };
        let settings = Self {
            disabled: reader.choice("BACKPLANE_DISABLED", &SWITCH, false),
            token: environment.get("BACKPLANE_TOKEN").map(OsStr::to_owned),
            labels: environment.get("BACKPLANE_LABELS").map(OsStr::to_owned),
            ignored_types: parse_list(environment.get("BACKPLANE_IGNORE_PROCESS_TYPE"))
                .unwrap_or_default(),
            allowed_types: parse_list(environment.get("BACKPLANE_PROCESS_ALLOW")),
            process_type: text(environment.get("BACKPLANE_PROCESS_TYPE")),
            proxy_url: environment.get("BACKPLANE_PROXY_URL").map(OsStr::to_owned),
            port: environment.get("PORT").map(OsStr::to_owned),
            wait_for_app: reader.choice("BACKPLANE_WAIT_FOR_APP", &SWITCH, true),
            drain: reader.choice("BACKPLANE_DRAIN", &DRAINS, Drain::default()),
            agent_variables: environment
                .get("BACKPLANE_AGENT_ENV")
                .map(variable_names)
                .unwrap_or_default(),
            verbosity: reader.choice("BACKPLANE_LOG", &VERBOSITIES, Verbosity::default()),
            dyno: text(environment.get("DYNO")),
            is_test_run: environment.get("HEROKU_TEST_RUN_ID").is_some(),
        };
        (settings, reader.problems)
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
        Some(Upstream::from_port(port).ok_or_else(|| {
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

const DRAINS: [(&str, Drain); 2] = [("keep", Drain::Keep), ("stop", Drain::Stop)];

const VERBOSITIES: [(&str, Verbosity); 3] = [
    ("info", Verbosity::Info),
    ("quiet", Verbosity::Quiet),
    ("debug", Verbosity::Debug),
];

/// Reads choices, and collects a message for each malformed one.
struct Reader<'a> {
    environment: &'a Environment,
    problems: Vec<Message>,
}

impl Reader<'_> {
    /// One of the named values, in any case. The default if the variable is unset or malformed.
    fn choice<T: Copy + PartialEq>(
        &mut self,
        name: &'static str,
        values: &[(&'static str, T)],
        default: T,
    ) -> T {
        let Some(value) = text(self.environment.get(name)) else {
            return default;
        };
        let named = values
            .iter()
            .find(|(word, _)| value.eq_ignore_ascii_case(word));
        if let Some((_, value)) = named {
            return *value;
        }
        let word_of_default = values.iter().find(|(_, value)| *value == default);
        self.problems.push(Message::MalformedSetting {
            name,
            value,
            wanted: values.iter().map(|(word, _)| *word).collect(),
            taken: word_of_default.map_or("", |(word, _)| word),
        });
        default
    }
}

fn text(value: Option<&OsStr>) -> Option<String> {
    Some(value?.to_string_lossy().trim().to_owned())
}

/// The words of a list, which commas and white space separate. `None` if the variable is unset or
/// holds no word.
fn parse_list(value: Option<&OsStr>) -> Option<Vec<String>> {
    let words: Vec<String> = text(value)?
        .split(|character: char| character == ',' || character.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    (!words.is_empty()).then_some(words)
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
pub(crate) mod tests {
    use super::*;

    /// An environment of these variables.
    pub(crate) fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    /// An environment with one more variable, of any bytes.
    pub(crate) fn with_bytes(environment: &Environment, name: &[u8], value: &[u8]) -> Environment {
        let variable = (OsStr::from_bytes(name), OsStr::from_bytes(value));
        environment.iter().chain([variable]).collect()
    }

    fn read(variables: &[(&str, &str)]) -> Settings {
        let (settings, problems) = Settings::read(&environment(variables));
        assert_eq!(problems, []);
        settings
    }

    #[test]
    fn unset_and_blank_variables_have_their_defaults() {
        let defaults = read(&[]);
        assert!(!defaults.disabled && defaults.wait_for_app && !defaults.is_test_run);
        assert_eq!(defaults.drain, Drain::Keep);
        assert_eq!(defaults.verbosity, Verbosity::Info);
        assert_eq!(defaults.allowed_types, None);
        assert_eq!(defaults.ignored_types, Vec::<String>::new());
        let others = ["PORT", "DYNO", "HEROKU_TEST_RUN_ID"];
        for value in ["", " "] {
            let names = VARIABLES.into_iter().chain(others);
            let pairs: Vec<_> = names.map(|name| (name, value)).collect();
            assert_eq!(read(&pairs), defaults, "{value:?}");
        }
    }

    #[test]
    fn choices_are_one_of_their_words_in_any_case() {
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
                [settings.disabled, settings.wait_for_app],
                [expected; 2],
                "{word}"
            );
        }
        for (word, expected) in [("keep", Drain::Keep), ("Stop", Drain::Stop)] {
            assert_eq!(read(&[("BACKPLANE_DRAIN", word)]).drain, expected);
        }
        for (word, expected) in [
            ("quiet", Verbosity::Quiet),
            ("info", Verbosity::Info),
            ("DEBUG", Verbosity::Debug),
        ] {
            assert_eq!(read(&[("BACKPLANE_LOG", word)]).verbosity, expected);
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
        let blank = read(&[("BACKPLANE_PROCESS_ALLOW", " , ,")]);
        assert_eq!(blank.allowed_types, None);
        let environment = with_bytes(&environment(&[]), b"BACKPLANE_AGENT_ENV", b"A, B\xff C");
        let (settings, _) = Settings::read(&environment);
        let names = settings.agent_variables.iter().map(|name| name.as_bytes());
        assert!(names.eq([b"A".as_slice(), b"B\xff", b"C"]));
    }

    #[test]
    fn malformed_values_are_reported_and_their_defaults_used() {
        let choices = [
            ("BACKPLANE_DISABLED", "false"),
            ("BACKPLANE_WAIT_FOR_APP", "true"),
            ("BACKPLANE_DRAIN", "keep"),
            ("BACKPLANE_LOG", "info"),
        ];
        let environment = choices
            .iter()
            .fold(environment(&[]), |environment, (name, _)| {
                with_bytes(&environment, name.as_bytes(), b"ture\xff")
            });
        let (settings, problems) = Settings::read(&environment);
        assert_eq!(settings, read(&[]));
        assert_eq!(problems.len(), choices.len());
        for (problem, (name, default)) in problems.iter().zip(choices) {
            let text = problem.to_string();
            assert!(
                text.starts_with(&format!("{name} is 'ture\u{fffd}', ")),
                "{text}"
            );
            assert!(text.ends_with(&format!(" Using {default}.")), "{text}");
        }
    }
}
