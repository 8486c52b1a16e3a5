//! The settings in the launch environment, parsed once. A malformed value is reported, and its
//! default used: nothing here may keep an app from booting.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::Duration;

use sidecar::{Drain, Environment, Upstream, Verbosity};

use crate::messages::Message;

/// The variables of this buildpack that a launch reads, besides `BACKPLANE_LABELS_<TYPE>`.
pub const VARIABLES: [&str; 16] = [
    "BACKPLANE_TOKEN",
    "BACKPLANE_TOKEN_FILE",
    "BACKPLANE_LABELS",
    "BACKPLANE_IGNORE_PROCESS_TYPE",
    "BACKPLANE_PROCESS_ALLOW",
    "BACKPLANE_PROCESS_TYPE",
    "BACKPLANE_PROXY_URL",
    "BACKPLANE_WAIT_FOR_APP",
    "BACKPLANE_READY_PATH",
    "BACKPLANE_HEALTH_URL",
    "BACKPLANE_DRAIN",
    "BACKPLANE_STOP_TIMEOUT",
    "BACKPLANE_AGENT_MEMORY",
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
    /// The directory of service bindings.
    pub(crate) binding_root: PathBuf,
    pub(crate) labels: Option<OsString>,
    pub(crate) ignored_types: Vec<String>,
    /// `None`: no allow list.
    pub(crate) allowed_types: Option<Vec<String>>,
    pub(crate) process_type: Option<String>,
    pub(crate) proxy_url: Option<OsString>,
    pub(crate) port: Option<OsString>,
    pub(crate) wait_for_app: bool,
    pub(crate) ready_path: Option<String>,
    /// An `http` URL of this host.
    pub(crate) health_url: Option<Upstream>,
    pub(crate) drain: Drain,
    pub(crate) stop_timeout: Duration,
    /// In bytes.
    pub(crate) memory_limit: Option<u64>,
    /// Names of further variables for the agent.
    pub(crate) agent_variables: Vec<OsString>,
    pub(crate) verbosity: Verbosity,
    /// Heroku's name of this dyno.
    pub(crate) dyno: Option<String>,
    /// The variable by which this is a run of the app's tests, if one is set.
    pub(crate) test_run: Option<&'static str>,
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
            token_file: environment.get("BACKPLANE_TOKEN_FILE").map(PathBuf::from),
            binding_root: environment
                .get("SERVICE_BINDING_ROOT")
                .unwrap_or(OsStr::new("/bindings"))
                .into(),
            labels: environment.get("BACKPLANE_LABELS").map(OsStr::to_owned),
            ignored_types: parse_list(environment.get("BACKPLANE_IGNORE_PROCESS_TYPE"))
                .unwrap_or_default(),
            allowed_types: parse_list(environment.get("BACKPLANE_PROCESS_ALLOW")),
            process_type: text(environment.get("BACKPLANE_PROCESS_TYPE")),
            proxy_url: environment.get("BACKPLANE_PROXY_URL").map(OsStr::to_owned),
            port: environment.get("PORT").map(OsStr::to_owned),
            wait_for_app: reader.choice("BACKPLANE_WAIT_FOR_APP", &SWITCH, true),
            ready_path: reader.path("BACKPLANE_READY_PATH"),
            health_url: reader.local_url("BACKPLANE_HEALTH_URL"),
            drain: reader.choice("BACKPLANE_DRAIN", &DRAINS, Drain::default()),
            stop_timeout: reader.seconds("BACKPLANE_STOP_TIMEOUT", sidecar::STOP_TIMEOUT),
            memory_limit: reader.bytes("BACKPLANE_AGENT_MEMORY"),
            agent_variables: environment
                .get("BACKPLANE_AGENT_ENV")
                .map(variable_names)
                .unwrap_or_default(),
            verbosity: reader.choice("BACKPLANE_LOG", &VERBOSITIES, Verbosity::default()),
            dyno: text(environment.get("DYNO")),
            test_run: test_run(environment),
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

/// Heroku CI names its run. A platform names an execution environment, and all but one are for tests
/// and development
/// (<https://github.com/buildpacks/spec/blob/main/platform.md#launch-environment>).
fn test_run(environment: &Environment) -> Option<&'static str> {
    const HEROKU_CI: &str = "HEROKU_TEST_RUN_ID";
    const EXEC_ENV: &str = "CNB_EXEC_ENV";
    if environment.get(HEROKU_CI).is_some() {
        return Some(HEROKU_CI);
    }
    let exec_env = text(environment.get(EXEC_ENV))?;
    (exec_env != "production").then_some(EXEC_ENV)
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

/// The longest time in seconds that an agent can have to finish its requests: longer than any
/// platform waits for a container to exit.
const MAX_SECONDS: u64 = 600;

/// Reads settings, and collects a message for each malformed one.
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

    /// A whole number of seconds from 1 to [`MAX_SECONDS`]. The default if the variable is unset or
    /// malformed.
    fn seconds(&mut self, name: &'static str, default: Duration) -> Duration {
        let Some(value) = text(self.environment.get(name)) else {
            return default;
        };
        let seconds = value.parse().ok();
        if let Some(seconds) = seconds.filter(|seconds| (1..=MAX_SECONDS).contains(seconds)) {
            return Duration::from_secs(seconds);
        }
        self.problems.push(Message::MalformedSeconds {
            name,
            value,
            max: MAX_SECONDS,
            taken: default.as_secs(),
        });
        default
    }

    /// A number of bytes, such as `256M`. `None` if the variable is unset or malformed.
    fn bytes(&mut self, name: &'static str) -> Option<u64> {
        let value = text(self.environment.get(name))?;
        let units = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30)];
        let (number, unit): (&str, u64) = units
            .into_iter()
            .find_map(|(letter, unit)| {
                // Kubernetes writes `256Mi`.
                let number = value.strip_suffix('i').unwrap_or(&value);
                let letters = [letter, letter.to_ascii_lowercase()];
                Some((number.strip_suffix(letters)?, unit))
            })
            .unwrap_or((&value, 1));
        let bytes = number
            .parse()
            .ok()
            .and_then(|number: u64| number.checked_mul(unit));
        if bytes.is_none_or(|bytes| bytes == 0) {
            self.problems.push(Message::MalformedBytes { name, value });
            return None;
        }
        bytes
    }

    /// A path of a URL. `None` if the variable is unset or malformed.
    fn path(&mut self, name: &'static str) -> Option<String> {
        let value = text(self.environment.get(name))?;
        let is_odd = |character: char| character.is_whitespace() || character.is_control();
        if value.starts_with('/') && !value.contains(is_odd) {
            return Some(value);
        }
        self.problems.push(Message::MalformedPath { name, value });
        None
    }

    /// A URL of this host with the scheme `http`. `None` if the variable is unset or malformed.
    fn local_url(&mut self, name: &'static str) -> Option<Upstream> {
        let value = self.environment.get(name)?;
        let url = Upstream::from_url(value)
            .ok()
            .filter(Upstream::is_local_http);
        if url.is_none() {
            let value = sidecar::redacted(&value.to_string_lossy());
            self.problems
                .push(Message::MalformedLocalUrl { name, value });
        }
        url
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
        assert!(!defaults.disabled && defaults.wait_for_app && defaults.test_run.is_none());
        assert_eq!(defaults.stop_timeout, Duration::from_secs(5));
        assert_eq!(defaults.drain, Drain::Keep);
        assert_eq!(defaults.verbosity, Verbosity::Info);
        assert_eq!(defaults.allowed_types, None);
        assert_eq!(defaults.ignored_types, Vec::<String>::new());
        let others = ["PORT", "DYNO", "HEROKU_TEST_RUN_ID", "CNB_EXEC_ENV"];
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
            assert_eq!(settings.disabled, expected, "{word}");
            assert_eq!(settings.wait_for_app, expected, "{word}");
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
            let expected = Duration::from_secs(expected);
            assert_eq!(settings.stop_timeout, expected, "{value}");
            assert_eq!(!problems.is_empty(), is_malformed, "{value}");
        }
    }

    #[test]
    fn memory_is_a_number_with_or_without_a_unit() {
        for (value, expected) in [
            ("268435456", Some(256 << 20)),
            ("256M", Some(256 << 20)),
            ("256Mi", Some(256 << 20)),
            (" 1g\n", Some(1 << 30)),
            ("8k", Some(8 << 10)),
            ("0", None),
            ("0M", None),
            ("M", None),
            ("256MB", None),
            ("-1M", None),
            ("1.5G", None),
            ("99999999999999999G", None),
            ("256\u{3a9}", None),
        ] {
            let environment = environment(&[("BACKPLANE_AGENT_MEMORY", value)]);
            let (settings, problems) = Settings::read(&environment);
            assert_eq!(settings.memory_limit, expected, "{value}");
            assert_eq!(problems.is_empty(), expected.is_some(), "{value}");
        }
    }

    #[test]
    fn checks_are_of_paths_and_of_http_urls_of_this_host() {
        for (name, value, is_malformed) in [
            ("BACKPLANE_READY_PATH", "/", false),
            ("BACKPLANE_READY_PATH", "/healthz?full=1", false),
            ("BACKPLANE_READY_PATH", "healthz", true),
            ("BACKPLANE_READY_PATH", "http://127.0.0.1/", true),
            ("BACKPLANE_READY_PATH", "/a b", true),
            ("BACKPLANE_READY_PATH", "/a\r\nHost: b", true),
            ("BACKPLANE_HEALTH_URL", "http://127.0.0.1:7400/x", false),
            ("BACKPLANE_HEALTH_URL", "http://localhost:7400", false),
            ("BACKPLANE_HEALTH_URL", "http://[::1]:7400/x?y", false),
            ("BACKPLANE_HEALTH_URL", "https://127.0.0.1:7400/", true),
            ("BACKPLANE_HEALTH_URL", "http://example.com/", true),
            ("BACKPLANE_HEALTH_URL", "http://10.0.0.1/", true),
            ("BACKPLANE_HEALTH_URL", "http://me:Ω@127.0.0.1/", true),
            ("BACKPLANE_HEALTH_URL", "7400", true),
        ] {
            let (settings, problems) = Settings::read(&environment(&[(name, value)]));
            let is_set = settings.ready_path.is_some() || settings.health_url.is_some();
            assert_eq!(is_set, !is_malformed, "{value}");
            assert_eq!(!problems.is_empty(), is_malformed, "{value}");
            assert!(!format!("{problems:?}").contains('Ω'), "{problems:?}");
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
            let start = format!("{name} is 'ture\u{fffd}', ");
            assert!(text.starts_with(&start), "{text}");
            assert!(text.ends_with(&format!(" Using {default}.")), "{text}");
        }
    }
}
