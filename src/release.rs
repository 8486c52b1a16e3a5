//! The release that a build asks for: its source, platform and pin.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use url::Url;

use crate::checksum::Checksum;
use crate::redact::{self, MARK, Redacted};
use crate::settings::{Pin, Settings};
use crate::target::Target;

/// The `[metadata]` table of buildpack.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildpackMetadata {
    pub(crate) agent: DefaultAgent,
}

/// The `[metadata.agent]` table: where the agent comes from by default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefaultAgent {
    /// A URL with the placeholders `{channel}`, `{os}` and `{arch}`.
    url: String,
    /// The platforms that have an archive there, as `os/arch`.
    platforms: Vec<String>,
}

/// What to install.
#[derive(Debug)]
pub(crate) struct Release {
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
    /// The default source has nothing for this platform.
    NoDefaultArchive { target: Target },
    /// The source has a placeholder that means nothing.
    UnknownPlaceholder {
        value: Redacted,
        /// The name in the braces; `None` if it may be a part of a secret.
        placeholder: Option<String>,
    },
    /// The source looks like a URL but is not valid.
    MalformedUrl {
        value: Redacted,
        reason: url::ParseError,
    },
    /// The source is a URL of an unsupported scheme.
    UnsupportedScheme { value: Redacted },
    /// The source is a `file://` URL that names another machine.
    FileOnOtherHost { value: Redacted },
    /// The source is not encrypted, and no checksum is set.
    HttpWithoutChecksum { value: Redacted },
    /// The source is a path that does not start in the app's directory.
    AbsolutePath { value: Redacted },
    /// The source is a path that leaves the app's directory.
    OutsideApp { value: Redacted },
    /// There are checksums, but none for this architecture.
    NoChecksumForArch { arch: String, pinned: Vec<String> },
}

impl Release {
    /// Determines the release that `settings` ask for.
    pub(crate) fn determine(
        settings: &Settings,
        default: &DefaultAgent,
        target: Target,
        app_directory: &Path,
    ) -> Result<Self, ReleaseError> {
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
            None if default.platforms.contains(&target.to_string()) => &default.url,
            None => return Err(ReleaseError::NoDefaultArchive { target }),
        };
        let location = fill(template, &settings.channel, &target)?;
        let source = Source::parse(&location, app_directory)?;
        match &source {
            Source::Web(url) if url.scheme() == "http" && pin.is_none() => {
                Err(ReleaseError::HttpWithoutChecksum {
                    value: Redacted::url(url),
                })
            }
            _ => Ok(Self {
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

    fn parse(location: &str, app_directory: &Path) -> Result<Self, ReleaseError> {
        let value = || Redacted::text(location);
        if !has_scheme(location) {
            return app_path(location, app_directory);
        }
        let url = Url::parse(location).map_err(|reason| ReleaseError::MalformedUrl {
            value: value(),
            reason,
        })?;
        match url.scheme() {
            "https" | "http" => Ok(Self::Web(url)),
            "file" => url
                .to_file_path()
                .map(Self::File)
                .map_err(|()| ReleaseError::FileOnOtherHost { value: value() }),
            _ => Err(ReleaseError::UnsupportedScheme { value: value() }),
        }
    }

    /// The source as an image label may show it: without user info, and with the SHA-256 of the
    /// query in its place, so that two sources that differ in a token have different labels.
    pub(crate) fn public_url(&self) -> String {
        match self {
            Self::Web(url) => Redacted::public(&redact::without_user_info(url)),
            Self::File(path) => Redacted::public(&file_url(path)),
            Self::App { path, .. } => Redacted::public(&path.to_string_lossy()),
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
        // The rest of a source that hides something need not be a source.
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
        match self {
            Self::Web(url) => Redacted::url(url),
            Self::File(path) => Redacted::text(&file_url(path)),
            Self::App { path, .. } => Redacted::text(&path.to_string_lossy()),
        }
    }
}

fn file_url(path: &Path) -> String {
    Url::from_file_path(path).map_or_else(|()| format!("file://{}", path.display()), String::from)
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

fn app_path(location: &str, app_directory: &Path) -> Result<Source, ReleaseError> {
    let value = || Redacted::text(location);
    let mut path = PathBuf::new();
    for component in Path::new(location).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err(ReleaseError::OutsideApp { value: value() }),
            Component::RootDir | Component::Prefix(_) => {
                return Err(ReleaseError::AbsolutePath { value: value() });
            }
        }
    }
    Ok(Source::App {
        directory: app_directory.to_owned(),
        path,
    })
}

/// Fills in the placeholders of a source.
fn fill(template: &str, channel: &str, target: &Target) -> Result<String, ReleaseError> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, from_name)) = rest.split_once('{') {
        let Some((name, after)) = from_name.split_once('}') else {
            break;
        };
        filled.push_str(before);
        filled.push_str(match name {
            "channel" => channel,
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
    use proptest::prelude::*;

    use super::*;
    use crate::environment::Environment;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    pub(crate) fn target(arch: &str) -> Target {
        Target {
            os: "linux".to_owned(),
            arch: arch.to_owned(),
        }
    }

    fn default_agent() -> DefaultAgent {
        DefaultAgent {
            url: "https://releases.example/agent-{channel}-{os}-{arch}.tgz".to_owned(),
            platforms: vec!["linux/amd64".to_owned()],
        }
    }

    fn determine(arch: &str, pairs: &[(&str, &str)]) -> Result<Release, ReleaseError> {
        let environment: Environment = pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Release::determine(
            &Settings::parse(&environment).unwrap(),
            &default_agent(),
            target(arch),
            Path::new("/app"),
        )
    }

    fn source(url: &str) -> Result<Source, ReleaseError> {
        determine(
            "arm64",
            &[
                ("BACKPLANE_AGENT_URL", url),
                ("BACKPLANE_AGENT_CHANNEL", "beta"),
                ("BACKPLANE_AGENT_SHA256", SUM),
            ],
        )
        .map(|release| release.source)
    }

    #[test]
    fn default_source_is_filled_in() {
        let release = determine("amd64", &[]).unwrap();
        assert_eq!(
            release.source.public_url(),
            "https://releases.example/agent-stable-linux-amd64.tgz"
        );
        assert_eq!(release.pin, None);
    }

    #[test]
    fn default_source_is_only_for_its_platforms() {
        assert!(matches!(
            determine("arm64", &[]),
            Err(ReleaseError::NoDefaultArchive { target }) if target.arch == "arm64"
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
    fn unknown_placeholder_is_refused() {
        assert!(matches!(
            source("https://mirror.example/{version}"),
            Err(ReleaseError::UnknownPlaceholder { placeholder: Some(name), .. }) if name == "version"
        ));
    }

    #[test]
    fn path_stays_in_the_app() {
        assert!(matches!(
            source("vendor/../../etc/passwd"),
            Err(ReleaseError::OutsideApp { .. })
        ));
        assert!(matches!(
            source("/etc/passwd"),
            Err(ReleaseError::AbsolutePath { .. })
        ));
    }

    #[test]
    fn urls_that_cannot_be_fetched_are_refused() {
        assert!(matches!(
            source("ftp://mirror.example/agent"),
            Err(ReleaseError::UnsupportedScheme { .. })
        ));
        assert!(matches!(
            source("https://"),
            Err(ReleaseError::MalformedUrl { .. })
        ));
        assert!(matches!(
            source("file://server/agent"),
            Err(ReleaseError::FileOnOtherHost { .. })
        ));
    }

    #[test]
    fn http_needs_a_checksum() {
        let url = ("BACKPLANE_AGENT_URL", "http://mirror.example/agent");
        assert!(matches!(
            determine("amd64", &[url]),
            Err(ReleaseError::HttpWithoutChecksum { .. })
        ));
        assert!(determine("amd64", &[url, ("BACKPLANE_AGENT_SHA256", SUM)]).is_ok());
    }

    #[test]
    fn pin_of_this_architecture_is_chosen() {
        let other = SUM.replace('e', "f");
        let pins = format!("amd64:{SUM},arm64:{other}");
        let url = ("BACKPLANE_AGENT_URL", "https://mirror.example/{arch}");
        for (arch, expected) in [("amd64", SUM), ("arm64", other.as_str())] {
            let release = determine(arch, &[url, ("BACKPLANE_AGENT_SHA256", &pins)]).unwrap();
            assert_eq!(release.pin.unwrap().to_string(), expected);
        }
        let only_arm = format!("arm64:{other}");
        assert!(matches!(
            determine("amd64", &[url, ("BACKPLANE_AGENT_SHA256", &only_arm)]),
            Err(ReleaseError::NoChecksumForArch { arch, pinned })
                if arch == "amd64" && pinned == ["arm64"]
        ));
    }

    #[test]
    fn examples_of_the_documentation_work() {
        let document = include_str!("../docs/installing.md");
        let (_, section) = document.split_once("## Sources").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let examples: Vec<&str> = section
            .lines()
            .filter(|line| line.starts_with("| ") && line.contains('`'))
            .map(|line| line.split('`').nth(1).unwrap())
            .collect();
        assert_eq!(examples.len(), 4, "{examples:?}");
        for example in examples {
            let url = source(example).unwrap().public_url();
            assert!(!url.contains('{'), "{url}");
        }
    }

    #[test]
    fn secrets_are_in_no_log_and_no_label() {
        let one = source("https://user:pass@mirror.example/a?token=one#part").unwrap();
        let two = source("https://user:pass@mirror.example/a?token=two").unwrap();
        assert_eq!(
            one.redacted().to_string(),
            "https://***@mirror.example/a?***"
        );
        assert_ne!(one.public_url(), two.public_url());
        for shown in [one.redacted().to_string(), one.public_url()] {
            assert!(!shown.contains("user") && !shown.contains("pass") && !shown.contains("one"));
        }
    }

    #[test]
    fn secrets_are_not_in_errors() {
        for url in [
            "ftp://user:s3cret@mirror.example/a?token=s3cret",
            "https://user:s3cret@[mirror/a?token=s3cret",
            "https://user:s3cret@mirror.example/{version}?token=s3cret",
            "file://user:s3cret@server/a?token=s3cret",
            "/user:s3cret@mirror.example/a?token=s3cret",
        ] {
            let error = format!("{:?}", source(url).unwrap_err());
            assert!(!error.contains("s3cret"), "{error}");
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
