//! The release that a build asks for: its source, platform and pin.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use url::Url;

use crate::archive::AGENT;
use crate::checksum::Checksum;
use crate::redact::{self, MARK, Redacted};
use crate::settings::{Pin, Settings};
use crate::target::Target;

/// The `[metadata]` table of buildpack.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildpackMetadata {
    pub(crate) agents: Agents,
}

/// The agents that the buildpack has a table for, by name.
pub(crate) type Agents = BTreeMap<String, AgentTable>;

/// A `[metadata.agents.NAME]` table; buildpack.toml describes its fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentTable {
    /// A URL with the placeholders `{channel}`, `{version}`, `{os}` and `{arch}`.
    url: String,
    /// As `os/arch`.
    platforms: Vec<String>,
    version: Option<String>,
    file: Option<String>,
    note: Option<String>,
}

/// What to install.
#[derive(Debug)]
pub(crate) struct Release {
    /// The name of the agent's table.
    pub(crate) agent: String,
    /// The name of the agent's program in the download.
    pub(crate) program: String,
    /// A line about the agent for the user.
    pub(crate) note: Option<String>,
    pub(crate) source: Source,
    pub(crate) target: Target,
    /// The checksum that the download must have.
    pub(crate) pin: Option<Checksum>,
}

/// Where the agent comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    /// A server; the URL may hold credentials, in its user info or its query.
    Web(Url),
    /// A file of the machine that builds.
    File(PathBuf),
    /// A file of the app, vendored with it.
    App {
        /// The app's directory.
        directory: PathBuf,
        /// The path below it, without `..`.
        path: PathBuf,
    },
}

/// The kind of a source, which decides what a user can do about a problem.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SourceKind {
    Server,
    /// A file of the build machine.
    LocalFile,
    /// A file of the app.
    VendoredFile,
}

/// Errors that can occur when a release is determined.
#[derive(Debug)]
pub(crate) enum ReleaseError {
    /// The buildpack has no table for this agent.
    UnknownAgent { name: Redacted, known: Vec<String> },
    /// The agent's own source has nothing for this platform.
    NoDefaultArchive {
        agent: String,
        target: Target,
        platforms: Vec<String>,
    },
    /// The source has the placeholder `{version}`, and the agent has no version.
    NoVersion(Redacted),
    /// The source has an unknown placeholder.
    UnknownPlaceholder {
        value: Redacted,
        /// The name in the braces; `None` if it may be a part of a secret.
        placeholder: Option<String>,
    },
    /// The source cannot be used.
    Source(Redacted, SourceProblem),
    /// There are checksums, but not for this architecture.
    NoChecksumForArch { arch: String, pinned: Vec<String> },
}

/// Why a source cannot be used.
#[derive(Debug)]
pub(crate) enum SourceProblem {
    /// It looks like a URL but is not valid.
    Malformed(url::ParseError),
    /// It is a URL of an unsupported scheme.
    UnsupportedScheme,
    /// It is a `file://` URL that names another machine.
    FileOnOtherHost,
    /// It is not encrypted, and no checksum is set.
    HttpWithoutChecksum,
    /// It is a path that does not start in the app's directory.
    AbsolutePath,
    /// It is a path that leaves the app's directory.
    OutsideApp,
}

impl Release {
    /// Determines the release that `settings` ask for.
    pub(crate) fn determine(
        settings: &Settings,
        agents: &Agents,
        target: Target,
        app_directory: &Path,
    ) -> Result<Self, ReleaseError> {
        let Some(agent) = agents.get(&settings.agent) else {
            return Err(ReleaseError::UnknownAgent {
                name: Redacted::text(&settings.agent),
                known: agents.keys().cloned().collect(),
            });
        };
        let pin = match &settings.pin {
            Pin::None => None,
            Pin::Every(checksum) => Some(checksum.clone()),
            Pin::PerArch(pins) => Some(pins.get(&target.arch).cloned().ok_or_else(|| {
                ReleaseError::NoChecksumForArch {
                    arch: target.arch.clone(),
                    pinned: pins.keys().cloned().collect(),
                }
            })?),
        };
        let template = match &settings.url {
            Some(url) => url,
            None if agent.platforms.contains(&target.to_string()) => &agent.url,
            None => {
                return Err(ReleaseError::NoDefaultArchive {
                    agent: settings.agent.clone(),
                    target,
                    platforms: agent.platforms.clone(),
                });
            }
        };
        let version = settings.version.as_ref().or(agent.version.as_ref());
        let location = fill(template, &settings.channel, version, &target)?;
        let unusable = |problem| ReleaseError::Source(Redacted::text(&location), problem);
        let source = Source::parse(&location, app_directory).map_err(unusable)?;
        match &source {
            Source::Web(url) if url.scheme() == "http" && pin.is_none() => {
                let problem = SourceProblem::HttpWithoutChecksum;
                Err(ReleaseError::Source(source.redacted(), problem))
            }
            _ => Ok(Self {
                agent: settings.agent.clone(),
                program: agent.file.clone().unwrap_or_else(|| AGENT.to_owned()),
                note: agent.note.clone(),
                source,
                target,
                pin,
            }),
        }
    }
}

impl Source {
    pub(crate) fn kind(&self) -> SourceKind {
        match self {
            Self::Web(_) => SourceKind::Server,
            Self::File(_) => SourceKind::LocalFile,
            Self::App { .. } => SourceKind::VendoredFile,
        }
    }

    fn parse(location: &str, app_directory: &Path) -> Result<Self, SourceProblem> {
        if !has_scheme(location) {
            return app_path(location, app_directory);
        }
        let url = Url::parse(location).map_err(SourceProblem::Malformed)?;
        match url.scheme() {
            "https" | "http" => Ok(Self::Web(url)),
            "file" => url
                .to_file_path()
                .map(Self::File)
                .map_err(|()| SourceProblem::FileOnOtherHost),
            _ => Err(SourceProblem::UnsupportedScheme),
        }
    }

    /// The source as an image label may show it: without user info, and with the SHA-256 of the
    /// query in its place, so that two sources that differ in a token have different labels.
    pub(crate) fn public_url(&self) -> String {
        match self {
            Self::Web(url) => Redacted::public(redact::without_user_info(url).as_str()),
            Self::File(_) | Self::App { .. } => Redacted::public(&self.location()),
        }
    }

    /// Whether `text` is the [`Self::public_url`] of some source.
    pub(crate) fn is_public_url(text: &str) -> bool {
        /// More than servers and file systems accept.
        const MAX_BYTES: usize = 4096;
        // The checksum in place of a query is not a secret, but would be redacted as a query.
        let public = match text.rsplit_once("?sha256=") {
            Some((public, sum)) if sum.parse::<Checksum>().is_ok() => public,
            _ => text,
        };
        // What is left of a redacted source may not be a valid source.
        let is_public = if public != text || public.contains(MARK) {
            Redacted::is_redacted(public)
        } else {
            Self::parse(public, Path::new("")).is_ok_and(|source| source.public_url() == public)
        };
        text.len() <= MAX_BYTES
            && !text.is_empty()
            && !text.chars().any(char::is_control)
            && is_public
    }

    /// The source as a log may show it.
    pub(crate) fn redacted(&self) -> Redacted {
        Redacted::text(&self.location())
    }

    /// The source with its secrets.
    fn location(&self) -> String {
        match self {
            Self::Web(url) => url.to_string(),
            Self::File(path) => Url::from_file_path(path)
                .map_or_else(|()| format!("file://{}", path.display()), String::from),
            Self::App { path, .. } => path.to_string_lossy().into_owned(),
        }
    }
}

/// Whether `location` is meant as a URL. A colon is not enough: `mirror.example:8080/agent` has no
/// scheme.
fn has_scheme(location: &str) -> bool {
    location.split_once(':').is_some_and(|(scheme, rest)| {
        let is_known = ["https", "http", "file"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        is_known || (redact::is_scheme(scheme) && rest.starts_with("//"))
    })
}

fn app_path(location: &str, app_directory: &Path) -> Result<Source, SourceProblem> {
    let mut path = PathBuf::new();
    for component in Path::new(location).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err(SourceProblem::OutsideApp),
            Component::RootDir | Component::Prefix(_) => return Err(SourceProblem::AbsolutePath),
        }
    }
    Ok(Source::App {
        directory: app_directory.to_owned(),
        path,
    })
}

/// Fills in the placeholders of a source.
fn fill(
    template: &str,
    channel: &str,
    version: Option<&String>,
    target: &Target,
) -> Result<String, ReleaseError> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, from_name)) = rest.split_once('{') {
        let Some((name, after)) = from_name.split_once('}') else {
            break;
        };
        filled.push_str(before);
        filled.push_str(match name {
            "channel" => channel,
            "version" => {
                version.ok_or_else(|| ReleaseError::NoVersion(Redacted::text(template)))?
            }
            "os" => &target.os,
            "arch" => &target.arch,
            _ => {
                let value = Redacted::text(template);
                let is_shown = value.shows(&format!("{{{name}}}"));
                return Err(ReleaseError::UnknownPlaceholder {
                    value,
                    placeholder: is_shown.then(|| name.to_owned()),
                });
            }
        });
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
pub(crate) mod tests {
    use harness::documented;
    use proptest::prelude::*;

    use super::*;
    use crate::environment::tests::variables;
    use crate::settings::tests::SUM;

    pub(crate) fn target(arch: &str) -> Target {
        Target {
            os: "linux".to_owned(),
            arch: arch.to_owned(),
        }
    }

    fn agents() -> Agents {
        toml::from_str(
            r#"
                [backplane]
                url = "https://releases.example/agent-{channel}-{os}-{arch}.tgz"
                platforms = ["linux/amd64"]

                [tunnel]
                url = "https://releases.example/v{version}/tunnel_{version}_{os}_{arch}.gz"
                platforms = ["linux/amd64", "linux/arm64"]
                version = "1.2.3"
                file = "tunneld"
                note = "It digs."
            "#,
        )
        .unwrap()
    }

    fn determine(arch: &str, pairs: &[(&str, &str)]) -> Result<Release, ReleaseError> {
        Release::determine(
            &Settings::parse(&variables(pairs)).unwrap(),
            &agents(),
            target(arch),
            Path::new("/app"),
        )
    }

    fn source(url: &str) -> Result<Source, ReleaseError> {
        let pairs = [
            ("BACKPLANE_AGENT_URL", url),
            ("BACKPLANE_AGENT_CHANNEL", "beta"),
            ("BACKPLANE_AGENT_SHA256", SUM),
        ];
        determine("arm64", &pairs).map(|release| release.source)
    }

    #[test]
    fn default_source_is_filled_in_for_its_platforms_only() {
        let release = determine("amd64", &[]).unwrap();
        let url = "https://releases.example/agent-stable-linux-amd64.tgz";
        assert_eq!(release.source.public_url(), url);
        assert_eq!(release.pin, None);
        assert!(matches!(
            determine("arm64", &[]),
            Err(ReleaseError::NoDefaultArchive { agent, target, platforms })
                if agent == "backplane" && target.arch == "arm64" && platforms == ["linux/amd64"]
        ));
    }

    #[test]
    fn agent_is_chosen_by_its_name_and_its_version_by_the_user_or_the_buildpack() {
        let name = ("BACKPLANE_AGENT", "tunnel");
        let mirror = ("BACKPLANE_AGENT_URL", "https://mirror.example/{version}");
        let version = ("BACKPLANE_AGENT_VERSION", "v2.0");
        let (own, of_mirror) = ("https://releases.example", "https://mirror.example");
        for (variables, url) in [
            (
                &[name][..],
                format!("{own}/v1.2.3/tunnel_1.2.3_linux_arm64.gz"),
            ),
            (
                &[name, version],
                format!("{own}/v2.0/tunnel_2.0_linux_arm64.gz"),
            ),
            (&[name, mirror], format!("{of_mirror}/1.2.3")),
            (&[name, mirror, version], format!("{of_mirror}/2.0")),
        ] {
            let release = determine("arm64", variables).unwrap();
            assert_eq!(release.source.public_url(), url);
            assert_eq!((&*release.agent, &*release.program), ("tunnel", "tunneld"));
            assert_eq!(release.note.as_deref(), Some("It digs."));
        }
        let release = determine("arm64", &[mirror, version]).unwrap();
        assert_eq!(release.source.public_url(), format!("{of_mirror}/2.0"));
        assert_eq!(release.program, "backplane");
        assert!(matches!(
            determine("arm64", &[mirror]),
            Err(ReleaseError::NoVersion(_))
        ));
        assert!(matches!(
            determine("arm64", &[("BACKPLANE_AGENT", "shovel")]),
            Err(ReleaseError::UnknownAgent { known, .. }) if known == ["backplane", "tunnel"]
        ));
    }

    #[test]
    fn placeholders_are_filled_in_every_kind_of_source() {
        for (template, expected) in [
            (
                "https://mirror.example/{channel}/{os}/{arch}",
                "https://mirror.example/beta/linux/arm64",
            ),
            (
                "file:///opt/{channel}/{os}-{arch}.tgz",
                "file:///opt/beta/linux-arm64.tgz",
            ),
            ("./vendor/{channel}-{os}-{arch}", "vendor/beta-linux-arm64"),
            (
                "http://mirror.example/{arch}{arch}",
                "http://mirror.example/arm64arm64",
            ),
        ] {
            assert_eq!(source(template).unwrap().public_url(), expected);
        }
    }

    #[test]
    fn source_that_cannot_be_used_is_refused() {
        for (url, expected) in [
            ("https://mirror.example/{label}", "Some(\"label\")"),
            ("vendor/../../etc/passwd", "OutsideApp"),
            ("/etc/passwd", "AbsolutePath"),
            ("ftp://mirror.example/agent", "UnsupportedScheme"),
            ("https://", "Malformed("),
            ("file://server/agent", "FileOnOtherHost"),
        ] {
            let error = format!("{:?}", source(url).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let url = ("BACKPLANE_AGENT_URL", "http://mirror.example/agent");
        let error = format!("{:?}", determine("amd64", &[url]).unwrap_err());
        assert!(error.contains("HttpWithoutChecksum"), "{error}");
    }

    #[test]
    fn pin_of_this_architecture_is_chosen() {
        let other = SUM.replace('e', "f");
        let pins = documented("docs/installing.md", "BACKPLANE_AGENT_SHA256=");
        let pins = pins.replacen('…', SUM, 1).replace('…', &other);
        let (_, pins) = pins.trim_end().split_once('=').unwrap();
        let url = ("BACKPLANE_AGENT_URL", "https://mirror.example/{arch}");
        for (arch, expected) in [("amd64", SUM), ("arm64", other.as_str())] {
            let release = determine(arch, &[url, ("BACKPLANE_AGENT_SHA256", pins)]).unwrap();
            assert_eq!(release.pin.unwrap().to_string(), expected);
        }
        assert!(matches!(
            determine("riscv64", &[url, ("BACKPLANE_AGENT_SHA256", pins)]),
            Err(ReleaseError::NoChecksumForArch { arch, pinned })
                if arch == "riscv64" && pinned == ["amd64", "arm64"]
        ));
    }

    #[test]
    fn examples_of_the_documentation_work() {
        let document = include_str!("../docs/installing.md");
        let (_, section) = document.split_once("## Sources").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| "));
        let examples: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
        assert_eq!(examples.len(), 4, "{examples:?}");
        for example in examples {
            let url = source(example).unwrap().public_url();
            assert!(!url.contains('{'), "{url}");
        }
    }

    proptest! {
        // Otherwise, each build would install a cached agent again.
        #[test]
        fn every_public_url_is_accepted_as_one(
            location in "((https?|file)://[a-z0-9:@.%/\\[\\]-]{0,12})?[^\\x00-\\x1f\\x7f-\\x9f]{0,20}([?#/]\\PC{0,8})?"
        ) {
            if let Ok(source) = Source::parse(&location, Path::new("/app")) {
                let url = source.public_url();
                prop_assert!(url.is_empty() || Source::is_public_url(&url), "{url}");
            }
        }
    }
}
