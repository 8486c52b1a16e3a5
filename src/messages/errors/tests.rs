//! Every message as users read it. After a change, run `cargo insta review` and read them aloud.

use std::env::VarError;
use std::io::{Error, ErrorKind};

use proptest::prelude::*;

use super::*;
use crate::archive::{ArchiveError, Damage, FileKind, Form, Mangling};
use crate::checksum::Checksum;
use crate::fetch::FetchError;
use crate::fetch::http::{
    AuthorityProblem, HttpError, Phase, ProtocolProblem, ProxyName, ProxyProblem, TlsProblem,
};
use crate::fuzzing;
use crate::install::Mismatch;
use crate::messages::warnings;
use crate::redact::Redacted;
use crate::release::tests::target;
use crate::release::{ReleaseError, SourceKind, SourceProblem};
use crate::settings::{Setting, SettingProblem, SettingsError};

const SOURCE: &str = "https://mirror.example.com/backplane-stable-linux-amd64.tgz";

/// All messages of a group, one after the other.
fn all(messages: impl IntoIterator<Item = impl Display>) -> String {
    let messages: Vec<_> = messages
        .into_iter()
        .map(|message| message.to_string())
        .collect();
    messages.join("\n────────\n\n")
}

fn all_of(errors: impl IntoIterator<Item = BackplaneError>) -> String {
    all(errors.into_iter().map(message_of))
}

fn redacted(text: &str) -> Redacted {
    Redacted::text(text)
}

fn io_error() -> Error {
    let text = "failed to write to file `/layers/x`: No space left on device";
    Error::new(ErrorKind::StorageFull, text)
}

fn missing_file() -> FetchError {
    let text = "No such file or directory (os error 2)";
    FetchError::ReadSource(Error::new(ErrorKind::NotFound, text))
}

fn status(status: u16, is_rate_limit: bool, proxy: Option<ProxyName>) -> HttpError {
    HttpError::Status {
        status,
        retry_after: None,
        is_rate_limit,
        proxy,
    }
}

fn http_errors() -> Vec<HttpError> {
    let named = || Some("SSL_CERT_FILE=/workspace/ca.pem\nSSL_CERT_DIR=/a:/b".to_owned());
    let refused = || "Connection refused (os error 111)".to_owned();
    let proxy_name = || ProxyName {
        variable: "https_proxy",
        address: "http://proxy.example.com:3128".to_owned(),
    };
    let proxy = |problem| HttpError::Proxy {
        proxy: proxy_name(),
        problem,
    };
    let tls = |problem, named| HttpError::Tls { problem, named };
    let no_authorities = |named, problems| HttpError::NoAuthorities { named, problems };
    let path = redacted("/workspace/ca.pem");
    let error = Error::new(ErrorKind::InvalidInput, "it is not a regular file");
    let problems = vec![
        AuthorityProblem::Read { path, error },
        AuthorityProblem::Empty(redacted("/workspace/ca.pem")),
        AuthorityProblem::EmptyDirectory(redacted("/a")),
        AuthorityProblem::Damaged,
    ];
    vec![
        no_authorities(None, vec![]),
        no_authorities(named(), problems),
        HttpError::ProxySetting {
            variable: "HTTPS_PROXY",
        },
        proxy(ProxyProblem::HostNotFound),
        proxy(ProxyProblem::Connection(refused())),
        proxy(ProxyProblem::Closed),
        proxy(ProxyProblem::TimedOut),
        proxy(ProxyProblem::Tls(TlsProblem::NoTls)),
        proxy(ProxyProblem::Tls(TlsProblem::UnknownAuthority)),
        proxy(ProxyProblem::Credentials),
        proxy(ProxyProblem::Refused(Some(403))),
        proxy(ProxyProblem::Refused(None)),
        proxy(ProxyProblem::Protocol),
        HttpError::HostNotFound,
        HttpError::Connection(refused()),
        HttpError::Closed,
        tls(TlsProblem::Expired, named()),
        tls(TlsProblem::NotYetValid, named()),
        tls(TlsProblem::WrongName, named()),
        tls(TlsProblem::UnknownAuthority, named()),
        tls(TlsProblem::UnknownAuthority, None),
        tls(TlsProblem::Unsuitable, named()),
        tls(TlsProblem::NoTls, named()),
        tls(TlsProblem::Handshake, named()),
        HttpError::TimedOut(Phase::Connect),
        HttpError::TimedOut(Phase::Response),
        HttpError::TimedOut(Phase::Read),
        HttpError::TimedOut(Phase::Total { bytes: 3 << 20 }),
        status(403, false, None),
        status(403, true, None),
        status(404, false, None),
        status(503, false, None),
        status(503, false, Some(proxy_name())),
        HttpError::Protocol(ProtocolProblem::LargeHeaders),
        HttpError::Protocol(ProtocolProblem::Malformed),
        HttpError::Protocol(ProtocolProblem::Request),
        HttpError::TooManyRedirects { limit: 5 },
        HttpError::InsecureRedirect,
        HttpError::UnusableRedirect,
    ]
}

fn archive_errors() -> Vec<ArchiveError> {
    let not_an_agent = |found, is_zipped| ArchiveError::NotAnAgent { found, is_zipped };
    vec![
        not_an_agent(FileKind::Other(Some("text/html")), false),
        not_an_agent(FileKind::Other(Some("application/x-xz")), false),
        not_an_agent(FileKind::Other(None), false),
        not_an_agent(FileKind::Text, true),
        ArchiveError::Unproven,
        ArchiveError::Damaged(Damage::EndsEarly),
        ArchiveError::IncompleteProgram("tunnel".into()),
        ArchiveError::Unsupported {
            path: "dist/backplane".into(),
            form: Form::ForeignSparse,
        },
        ArchiveError::TooLarge,
        ArchiveError::TooManyEntries { limit: 10_000 },
        ArchiveError::PathTooLong,
        ArchiveError::NoAgent {
            program: "backplane".to_owned(),
            names: vec![],
        },
        ArchiveError::NoAgent {
            program: "backplane".to_owned(),
            names: vec!["bin/frpc".into(), "LICENSE".into()],
        },
        ArchiveError::AgentIsLink {
            path: "bin/backplane".into(),
            target: "backplane-1.2".into(),
        },
        ArchiveError::SeveralAgents {
            paths: vec!["amd64/backplane".into(), "arm64/backplane".into()],
        },
        ArchiveError::RepeatedName("agent.toml".into()),
        ArchiveError::ReservedName("backplane-status".into()),
        ArchiveError::UnusableName("agent\u{7f}.toml".into()),
        ArchiveError::NotExecutable("backplane".to_owned(), FileKind::Other(None)),
        ArchiveError::MangledScript("backplane".to_owned(), Mangling::LineEndings),
        ArchiveError::MangledScript("backplane".to_owned(), Mangling::ByteOrderMark),
        ArchiveError::LfsPointer("backplane".into()),
        ArchiveError::WrongArchitecture {
            name: "backplane".into(),
            machine: elf::abi::EM_X86_64,
            target: target("arm64"),
        },
        ArchiveError::Read(io_error()),
        ArchiveError::Write(io_error()),
    ]
}

fn install_errors() -> Vec<InstallError> {
    let source = || redacted(SOURCE);
    let fetches = http_errors().into_iter().map(FetchError::Http).chain([
        missing_file(),
        FetchError::NotAFile,
        FetchError::OutsideApp,
        FetchError::Empty,
        FetchError::TooLarge { limit: 2 << 30 },
        FetchError::Write(io_error()),
    ]);
    let fetches = fetches.map(|error| InstallError::Fetch {
        source: source(),
        error,
    });
    let archives = archive_errors()
        .into_iter()
        .map(|error| InstallError::Archive {
            source: source(),
            kind: SourceKind::Server,
            error,
        });
    let crlf = FileKind::MangledScript(Mangling::LineEndings);
    let checksums = [
        (FileKind::Gzip, SourceKind::Server),
        (FileKind::Gzip, SourceKind::VendoredFile),
        (FileKind::Other(Some("text/html")), SourceKind::Server),
        (FileKind::Text, SourceKind::VendoredFile),
        (FileKind::LfsPointer, SourceKind::VendoredFile),
        (crlf, SourceKind::VendoredFile),
    ]
    .map(|(found, kind)| InstallError::Checksum {
        source: source(),
        kind,
        mismatch: Box::new(Mismatch {
            expected: Checksum::of_bytes(b"expected"),
            actual: Checksum::of_bytes(b"actual"),
            found,
            bytes: 5_120,
        }),
    });
    let directories = [
        InstallError::Staging(io_error()),
        InstallError::Directory(io_error()),
    ];
    let errors = fetches.chain(archives).chain(checksums);
    errors.chain(directories).collect()
}

fn release_errors() -> Vec<ReleaseError> {
    let source = |value, problem| ReleaseError::Source(redacted(value), problem);
    let ftp = "ftp://mirror.example.com/backplane.tgz";
    let plain = "http://mirror.example.com/backplane.tgz";
    let malformed = SourceProblem::Malformed(url::ParseError::InvalidDomainCharacter);
    vec![
        ReleaseError::UnknownAgent {
            name: redacted("shovel"),
            known: ["backplane", "chisel", "frp"].map(str::to_owned).into(),
        },
        ReleaseError::NoVersion(redacted("https://mirror.example.com/{version}.tgz")),
        ReleaseError::NoDefaultArchive {
            agent: "backplane".to_owned(),
            platforms: vec!["linux/amd64".to_owned()],
            target: target("arm64"),
        },
        ReleaseError::UnknownPlaceholder {
            value: redacted("https://mirror.example.com/{version}"),
            placeholder: Some("version".to_owned()),
        },
        ReleaseError::UnknownPlaceholder {
            value: redacted("https://user:{x}@mirror.example.com/a.tgz"),
            placeholder: None,
        },
        source("https://mirror example.com", malformed),
        source(ftp, SourceProblem::UnsupportedScheme),
        source("file://opt/backplane.tgz", SourceProblem::FileOnOtherHost),
        source(plain, SourceProblem::HttpWithoutChecksum),
        source("/opt/backplane", SourceProblem::AbsolutePath),
        source("../backplane", SourceProblem::OutsideApp),
        ReleaseError::NoChecksumForArch {
            arch: "arm64".to_owned(),
            pinned: vec!["amd64".to_owned()],
        },
    ]
}

fn settings_errors() -> [SettingsError; 8] {
    let quoted = "\"https://mirror.example.com/backplane.tgz\"";
    let bell = "https://mirror\u{7}";
    let twice = "amd64:e3b0c4…,amd64:9f86d0…";
    let repeated = SettingProblem::RepeatedArch("amd64".to_owned());
    [
        (Setting::Agent, "'frp'", SettingProblem::Quoted),
        (Setting::AgentVersion, "0.61/0", SettingProblem::Malformed),
        (Setting::AgentUrl, bell, SettingProblem::NotText),
        (Setting::AgentUrl, quoted, SettingProblem::Quoted),
        (Setting::AgentChannel, "../beta", SettingProblem::Malformed),
        (Setting::AgentSha256, "e3b0c4", SettingProblem::Malformed),
        (Setting::AgentSha256, twice, repeated),
        (Setting::AgentOptional, "maybe", SettingProblem::Malformed),
    ]
    .map(|(setting, value, problem)| SettingsError {
        setting,
        value: redacted(value),
        problem,
    })
}

#[test]
fn messages_hint_at_what_a_source_lacks() {
    let no_scheme = "mirror.example.com/backplane.tgz?token=secret";
    let slash_in_password = "https://user:12/secret@mirror.example.com/a";
    let unknown_host = FetchError::Http(HttpError::HostNotFound);
    let fetches = [
        (no_scheme, missing_file()),
        (slash_in_password, unknown_host),
    ];
    insta::assert_snapshot!(all_of(fetches.map(|(source, error)| {
        let source = redacted(source);
        BackplaneError::Install(InstallError::Fetch { source, error })
    })));
}

#[test]
fn messages_of_install_errors() {
    let errors = install_errors().into_iter();
    insta::assert_snapshot!(all_of(errors.map(BackplaneError::Install)));
}

// For a local file, another attempt or OPTIONAL would change nothing.
#[test]
fn messages_of_faults_of_local_archives() {
    let errors = [
        (SourceKind::LocalFile, "file:///opt/backplane"),
        (SourceKind::VendoredFile, "vendor/backplane"),
    ]
    .into_iter()
    .flat_map(|(kind, source)| {
        [
            ArchiveError::NotAnAgent {
                found: FileKind::Text,
                is_zipped: false,
            },
            ArchiveError::Damaged(Damage::Compression),
            ArchiveError::IncompleteProgram("backplane".into()),
            ArchiveError::LfsPointer("backplane".into()),
        ]
        .map(|error| {
            BackplaneError::Install(InstallError::Archive {
                source: redacted(source),
                kind,
                error,
            })
        })
    });
    let messages = all_of(errors);
    assert!(!messages.contains("BACKPLANE_AGENT_OPTIONAL"));
    insta::assert_snapshot!(messages);
}

#[test]
fn messages_of_release_errors() {
    let errors = release_errors().into_iter();
    insta::assert_snapshot!(all_of(errors.map(BackplaneError::Release)));
}

#[test]
fn messages_of_settings_errors() {
    insta::assert_snapshot!(all_of(settings_errors().map(BackplaneError::Settings)));
}

#[test]
fn messages_of_other_errors() {
    let denied = |text| Error::new(ErrorKind::PermissionDenied, text);
    let own = [
        BackplaneError::LaunchProgram(io_error()),
        BackplaneError::Package(Error::new(
            ErrorKind::NotFound,
            "failed to query metadata of `/cnb/buildpacks/agents/frp/backplane`: No such file or directory (os error 2)",
        )),
        BackplaneError::LayerDescription(io_error()),
        BackplaneError::Arguments,
        BackplaneError::ConfigVars(io_error()),
        BackplaneError::ConfigVar {
            name: "BACKPLANE_AGENT_URL",
            error: Error::new(ErrorKind::InvalidInput, "it is not a regular file"),
        },
        BackplaneError::BuildCache(io_error()),
        BackplaneError::Slug(io_error()),
        BackplaneError::Panic {
            location: "some-library-1.2.3/src/lib.rs:45".to_owned(),
        },
        BackplaneError::RestoredLayer(denied(
            "failed to set permissions for file `/layers/backplane_agent/agent`: Operation not permitted (os error 1)",
        )),
        BackplaneError::PackageArchitecture {
            package: Some("amd64"),
            target: target("arm64"),
        },
        BackplaneError::PackageArchitecture {
            package: None,
            target: target("amd64"),
        },
    ];
    let framework = [
        libcnb::Error::CannotDetermineTargetArch(VarError::NotPresent),
        libcnb::Error::CannotDetermineTargetDistroName(VarError::NotPresent),
        libcnb::Error::LayerError(io_error().into()),
        libcnb::Error::CannotCreatePlatformFromPath(denied("Permission denied (os error 13)")),
    ];
    let own = own.into_iter().map(message_of);
    insta::assert_snapshot!(all(own.chain(framework.map(message))));
}

#[test]
fn texts_of_warnings() {
    let (old, new) = (Checksum::of_bytes(b"old"), Checksum::of_bytes(b"new"));
    let error = |code| {
        reason(&InstallError::Fetch {
            source: redacted(SOURCE),
            error: FetchError::Http(status(code, false, None)),
        })
    };
    insta::assert_snapshot!(all([
        warnings::unpinned(&new),
        warnings::changed(&old, &new),
        warnings::kept(&error(503), &old),
        warnings::agent_skipped(&error(404)),
        warnings::near_miss("BACKPLANE_AGENT_SHA", "BACKPLANE_AGENT_SHA256"),
        warnings::start_scripts_replaced(),
    ]));
}

#[test]
fn reasons_fit_into_a_warning() {
    let errors = install_errors();
    let reasons = errors.iter().map(|error| format!("{}\n", reason(error)));
    insta::assert_snapshot!(all(reasons));
}

// Logs are read in narrow windows and behind prefixes such as `remote:`. Only what cannot be broken
// may be longer.
#[test]
fn lines_are_narrow() {
    let install = install_errors().into_iter().map(BackplaneError::Install);
    let release = release_errors().into_iter().map(BackplaneError::Release);
    let settings = settings_errors().map(BackplaneError::Settings);
    for error in install.chain(release).chain(settings) {
        let text = message_of(error).to_string();
        let (header, _) = text.split_once('\n').unwrap();
        assert!(header.chars().count() <= 56, "{header}");
        for line in text.lines() {
            let is_quoted = line.starts_with("Reason: ") || line.starts_with("Details: ");
            let is_one_word = !line.contains(' ');
            assert!(
                is_quoted || is_one_word || line.chars().count() <= 73,
                "{line}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_value_makes_a_build_panic_or_print_a_control_character(
        values in prop::array::uniform6(prop::collection::vec(any::<u8>(), 0..40)),
    ) {
        let log = fuzzing::settings(values.each_ref().map(Vec::as_slice));
        prop_assert!(!log.contains(|char: char| char.is_control() && char != '\n'), "{log}");
    }

    #[test]
    fn no_secret_of_a_url_is_logged_from_any_variable(
        setting in prop::sample::select(&Setting::ALL),
        start in "[\"' ]?(https?://|ftp://|https:|)",
        user in "([Ωß{}:/?#%@]{0,9}@)?",
        host in "[a-z.]{0,8}(:[0-9]{1,5})?(/[a-z]{0,3}\\{?[a-z]{0,4}\\}?)?",
        end in "([?#][Ωß{}:/?#%@]{0,9})?[\t\"' ]?",
    ) {
        // A scheme is not a secret.
        prop_assume!(start.ends_with(':') || start.ends_with('/') || !user.contains("://"));
        let value = format!("{start}{user}{host}{end}");
        let pin = "0".repeat(64);
        let log = fuzzing::settings(Setting::ALL.map(|other| match other {
            other if other == setting => value.as_bytes(),
            Setting::AgentSha256 => pin.as_bytes(),
            _ => b"",
        }));
        prop_assert!(!log.contains(['Ω', 'ß']) && !log.contains("%CE%A9"), "{log}");
    }
}
