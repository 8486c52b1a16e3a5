//! The settings of a build: parsed once, into types that cannot be invalid afterwards.

use std::collections::BTreeMap;

use crate::archive::AGENT;
use crate::checksum::{Checksum, NotAChecksum};
use crate::environment::{self, Environment};
use crate::redact::Redacted;

/// The prefix of all our names, and of misspelled ones.
pub(crate) const PREFIX: &str = "BACKPL";

/// The quotation marks that a shell removes from a value, unlike Docker's `--env-file`.
const QUOTATION_MARKS: [char; 7] = ['"', '\'', '`', '“', '”', '‘', '’'];

/// The variables that a build reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Setting {
    Agent,
    AgentVersion,
    AgentUrl,
    AgentChannel,
    AgentSha256,
    AgentOptional,
}

impl Setting {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Agent,
        Self::AgentVersion,
        Self::AgentUrl,
        Self::AgentChannel,
        Self::AgentSha256,
        Self::AgentOptional,
    ];

    /// The variable's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agent => "BACKPLANE_AGENT",
            Self::AgentVersion => "BACKPLANE_AGENT_VERSION",
            Self::AgentUrl => "BACKPLANE_AGENT_URL",
            Self::AgentChannel => "BACKPLANE_AGENT_CHANNEL",
            Self::AgentSha256 => "BACKPLANE_AGENT_SHA256",
            Self::AgentOptional => "BACKPLANE_AGENT_OPTIONAL",
        }
    }
}

/// The settings of a build.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Settings {
    /// The name of the agent.
    pub(crate) agent: String,
    /// The value of `{version}`, without a `v` before it; `None` for that of the buildpack.
    pub(crate) version: Option<String>,
    /// Where the agent comes from, with placeholders; `None` for the buildpack's default.
    pub(crate) url: Option<String>,
    /// The value of `{channel}`: letters, digits, `.`, `_` and `-`.
    pub(crate) channel: String,
    /// The checksum that the download must have.
    pub(crate) pin: Pin,
    /// Whether a build continues without an agent that cannot be fetched.
    pub(crate) optional: bool,
}

/// The checksum that the download must have.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Pin {
    /// Any download is accepted.
    None,
    /// This one, on every architecture.
    Every(Checksum),
    /// One per architecture, by its CNB name.
    PerArch(BTreeMap<String, Checksum>),
}

/// A variable whose value cannot be used.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct SettingsError {
    pub(crate) setting: Setting,
    pub(crate) value: Redacted,
    pub(crate) problem: SettingProblem,
}

/// What is wrong with a value.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum SettingProblem {
    /// It is not UTF-8, or has control characters.
    NotText,
    /// It starts or ends with a quotation mark.
    Quoted,
    /// It does not have the format that the variable requires.
    Malformed,
    /// It names this architecture more than once.
    RepeatedArch(String),
}

impl Settings {
    /// Reads all settings; the first malformed one is the error.
    pub(crate) fn parse(environment: &Environment) -> Result<Self, SettingsError> {
        let text = |setting| setting_text(environment, setting);
        Ok(Self {
            agent: text(Setting::Agent)?
                .map_or_else(|| AGENT.to_owned(), |name| name.to_ascii_lowercase()),
            version: text(Setting::AgentVersion)?
                .map(parse_version)
                .transpose()?,
            url: text(Setting::AgentUrl)?,
            channel: text(Setting::AgentChannel)?.map_or_else(
                || Ok("stable".to_owned()),
                |value| word(Setting::AgentChannel, value),
            )?,
            pin: text(Setting::AgentSha256)?.map_or(Ok(Pin::None), |value| parse_pin(&value))?,
            optional: text(Setting::AgentOptional)?
                .map_or(Ok(false), |value| parse_switch(&value))?,
        })
    }
}

/// The names in `environment` that are probably misspelled names of ours, each with the name that
/// it resembles.
pub(crate) fn near_misses(environment: &Environment) -> Vec<(String, &'static str)> {
    // Two typos, or a name without its `256`.
    const MAX_DISTANCE: usize = 3;

    // Including those of the launch program, because users read the log of a build.
    let ours = || {
        let at_build = Setting::ALL.map(Setting::name);
        at_build.into_iter().chain(backplane_launch::VARIABLES)
    };
    environment
        .keys()
        .filter_map(|name| name.to_str())
        .filter(|name| name.to_ascii_uppercase().starts_with(PREFIX))
        .filter(|name| !name.starts_with("BACKPLANE_LABELS_") && ours().all(|our| our != *name))
        .filter_map(|name| {
            let upper = name.to_ascii_uppercase();
            ours()
                .map(|our| (strsim::damerau_levenshtein(&upper, our), our))
                .filter(|(distance, _)| *distance <= MAX_DISTANCE)
                // A shortened name is matched with the name that starts with it.
                .min_by_key(|(distance, our)| (!our.starts_with(&upper), *distance))
                .map(|(_, our)| (name.to_owned(), our))
        })
        .collect()
}

fn setting_text(
    environment: &Environment,
    setting: Setting,
) -> Result<Option<String>, SettingsError> {
    let Some(value) = environment::value(environment, setting.name()) else {
        return Ok(None);
    };
    let text = value.to_string_lossy();
    let text = text.trim();
    let problem = if value.to_str().is_none() || text.chars().any(char::is_control) {
        SettingProblem::NotText
    } else if text.starts_with(QUOTATION_MARKS) || text.ends_with(QUOTATION_MARKS) {
        SettingProblem::Quoted
    } else {
        return Ok(Some(text.to_owned()).filter(|text| !text.is_empty()));
    };
    Err(SettingsError {
        setting,
        value: Redacted::text(text),
        problem,
    })
}

/// A value that can be a part of a URL's path.
fn word(setting: Setting, value: String) -> Result<String, SettingsError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if value.bytes().all(is_allowed) && value != "." && value != ".." {
        Ok(value)
    } else {
        Err(malformed(setting, &value))
    }
}

/// A version, as projects name it or its tag: `0.61.0` or `v0.61.0`.
fn parse_version(value: String) -> Result<String, SettingsError> {
    let version = word(Setting::AgentVersion, value)?;
    let number = version.strip_prefix('v');
    let number = number.filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    Ok(number.map(str::to_owned).unwrap_or(version))
}

fn parse_pin(value: &str) -> Result<Pin, SettingsError> {
    let malformed = || malformed(Setting::AgentSha256, value);
    if let Ok(checksum) = parse_checksum(value) {
        return Ok(Pin::Every(checksum));
    }
    let mut pins = BTreeMap::new();
    for part in value.split(',').map(str::trim) {
        let (arch, checksum) = part.split_once(':').ok_or_else(malformed)?;
        let arch = arch.trim();
        let checksum = parse_checksum(checksum).map_err(|NotAChecksum| malformed())?;
        if arch.is_empty() {
            return Err(malformed());
        }
        if pins.insert(arch.to_owned(), checksum).is_some() {
            return Err(SettingsError {
                problem: SettingProblem::RepeatedArch(arch.to_owned()),
                ..malformed()
            });
        }
    }
    Ok(Pin::PerArch(pins))
}

/// Parses a checksum, alone or after the name of its algorithm, as release pages show it.
fn parse_checksum(text: &str) -> Result<Checksum, NotAChecksum> {
    let text = text.trim();
    match text.split_once(':') {
        Some((algorithm, digits)) if algorithm.eq_ignore_ascii_case("sha256") => digits.trim(),
        _ => text,
    }
    .parse()
}

fn parse_switch(value: &str) -> Result<bool, SettingsError> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(malformed(Setting::AgentOptional, value)),
    }
}

fn malformed(setting: Setting, value: &str) -> SettingsError {
    SettingsError {
        setting,
        value: Redacted::text(value),
        problem: SettingProblem::Malformed,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::environment::tests::variables;

    pub(crate) const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(setting: Setting, value: &str) -> Result<Settings, SettingsError> {
        Settings::parse(&variables(&[(setting.name(), value)]))
    }

    fn pin(value: &str) -> Pin {
        parse(Setting::AgentSha256, value).unwrap().pin
    }

    #[test]
    fn empty_and_blank_values_are_like_none() {
        let defaults = Settings {
            agent: "backplane".to_owned(),
            version: None,
            url: None,
            channel: "stable".to_owned(),
            pin: Pin::None,
            optional: false,
        };
        assert_eq!(Settings::parse(&Environment::new()), Ok(defaults));
        for value in ["", " \n"] {
            let pairs = Setting::ALL.map(|setting| (setting.name(), value));
            let settings = Settings::parse(&variables(&pairs));
            assert_eq!(settings, Settings::parse(&Environment::new()));
        }
    }

    #[test]
    fn every_setting_is_read() {
        let settings = Settings::parse(&variables(&[
            ("BACKPLANE_AGENT", "FRP"),
            ("BACKPLANE_AGENT_VERSION", "v0.61.0-rc.1"),
            ("BACKPLANE_AGENT_URL", " https://mirror.example/agent.tgz\n"),
            ("BACKPLANE_AGENT_CHANNEL", "beta-2.1"),
            ("BACKPLANE_AGENT_SHA256", SUM),
            ("BACKPLANE_AGENT_OPTIONAL", "Yes"),
        ]));
        let expected = Settings {
            agent: "frp".to_owned(),
            version: Some("0.61.0-rc.1".to_owned()),
            url: Some("https://mirror.example/agent.tgz".to_owned()),
            channel: "beta-2.1".to_owned(),
            pin: Pin::Every(SUM.parse().unwrap()),
            optional: true,
        };
        assert_eq!(settings, Ok(expected));
    }

    #[test]
    fn pin_may_name_its_algorithm_and_its_architecture() {
        let sum: Checksum = SUM.parse().unwrap();
        for prefix in ["", "sha256:", "SHA256: ", " sha256:"] {
            let value = format!("{prefix}{SUM}");
            assert_eq!(pin(&value), Pin::Every(sum.clone()), "{value}");
        }
        let pins = ["amd64", "arm64"].map(|arch| (arch.to_owned(), sum.clone()));
        for prefix in ["", "sha256:"] {
            let upper = SUM.to_ascii_uppercase();
            let value = format!("amd64:{prefix}{SUM}, arm64:{prefix}{upper}");
            assert_eq!(pin(&value), Pin::PerArch(pins.clone().into()), "{value}");
        }
    }

    #[test]
    fn switch_has_four_words_for_each_side() {
        for (words, expected) in [
            (["1", "true", "YES", "on"], true),
            (["0", "False", "no", "off"], false),
        ] {
            for word in words {
                let settings = parse(Setting::AgentOptional, word).unwrap();
                assert_eq!(settings.optional, expected, "{word}");
            }
        }
    }

    #[test]
    fn values_that_cannot_be_used_are_refused_with_their_problem() {
        let [quoted, twice, no_arch] = [
            format!("'{SUM}'"),
            format!("amd64:{SUM},amd64:{SUM}"),
            format!(":{SUM}"),
        ];
        let repeated = || SettingProblem::RepeatedArch("amd64".to_owned());
        let malformed = || SettingProblem::Malformed;
        let quoted_url = "\"https://mirror.example/agent.tgz\"";
        for (setting, value, problem) in [
            (Setting::AgentUrl, quoted_url, SettingProblem::Quoted),
            (Setting::AgentUrl, "'vendor/agent'", SettingProblem::Quoted),
            (Setting::AgentUrl, "vendor/agent\"", SettingProblem::Quoted),
            (Setting::AgentChannel, "“beta”", SettingProblem::Quoted),
            (Setting::AgentSha256, &quoted, SettingProblem::Quoted),
            (Setting::AgentOptional, "\"true\"", SettingProblem::Quoted),
            (Setting::AgentUrl, "a\x1b[31m", SettingProblem::NotText),
            (Setting::AgentUrl, "a\nb", SettingProblem::NotText),
            (Setting::AgentChannel, "../beta", malformed()),
            (Setting::AgentChannel, "..", malformed()),
            (Setting::AgentChannel, "a b", malformed()),
            (Setting::AgentChannel, "{arch}", malformed()),
            (Setting::AgentVersion, "../1", malformed()),
            (Setting::AgentSha256, "abc", malformed()),
            (Setting::AgentSha256, "amd64:abc", malformed()),
            (Setting::AgentSha256, "amd64:", malformed()),
            (Setting::AgentSha256, "sha256", malformed()),
            (Setting::AgentSha256, &no_arch, malformed()),
            (Setting::AgentSha256, &twice, repeated()),
            (Setting::AgentOptional, "maybe", malformed()),
            (Setting::AgentOptional, "2", malformed()),
        ] {
            let expected = SettingsError {
                setting,
                value: Redacted::text(value),
                problem,
            };
            assert_eq!(parse(setting, value), Err(expected));
        }
        let bytes = OsString::from_vec(b"a\xff".to_vec());
        let environment = Environment::from([("BACKPLANE_AGENT_URL".into(), bytes)]);
        let error = Settings::parse(&environment).unwrap_err();
        assert_eq!(error.problem, SettingProblem::NotText);
    }

    #[test]
    fn each_variable_has_a_row_in_the_readme() {
        let document = include_str!("../README.md");
        let rows: Vec<&str> = document
            .lines()
            .filter_map(|line| line.strip_prefix("| `BACKPLANE_")?.split('`').next())
            // Its end is a process type.
            .filter(|name| *name != "LABELS_<TYPE>")
            .collect();
        let at_build = Setting::ALL.map(Setting::name);
        let names = at_build.into_iter().chain(backplane_launch::VARIABLES);
        let names: Vec<_> = names
            .map(|name| name.strip_prefix("BACKPLANE_").unwrap())
            .collect();
        assert_eq!(rows, names);
    }

    #[test]
    fn near_misses_are_found_and_real_names_are_not() {
        for (name, expected) in [
            ("BACKPLANE_AGENT_SHA", Some("BACKPLANE_AGENT_SHA256")),
            ("BACKPLANE_AGENT_SHA_256", Some("BACKPLANE_AGENT_SHA256")),
            ("BACKPLANE_AGENTS", Some("BACKPLANE_AGENT")),
            ("BACKPLANE_FRP_SERVER", None),
            ("BACKPLANE_AGENT_URI", Some("BACKPLANE_AGENT_URL")),
            ("backplane_token", Some("BACKPLANE_TOKEN")),
            ("BACKPLAN_TOKEN", Some("BACKPLANE_TOKEN")),
            ("BACKPLANE_LABEL", Some("BACKPLANE_LABELS")),
            ("BACKPLANE_DISABLE", Some("BACKPLANE_DISABLED")),
            ("BACKPLANE_LABELS_WEB", None),
            ("BACKPLANE_AGENT_SHA256", None),
            ("BACKPLANE_LOG", None),
            ("BACKPLANE_SOMETHING_ELSE", None),
            ("PLANE_TOKEN", None),
        ] {
            let found = near_misses(&variables(&[(name, "x")]));
            let expected = expected.map(|our| (name.to_owned(), our));
            assert_eq!(found, Vec::from_iter(expected), "{name}");
        }
    }
}
