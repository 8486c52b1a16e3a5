//! Every message as its user reads it. After a change, run `cargo insta review` and read them
//! aloud.

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
use crate::release::{ReleaseError, SourceKind};
use crate::settings::{Setting, SettingProblem, SettingsError};

fn shown(error: BackplaneError) -> String {
    message_of(error).to_string()
}

/// All messages of a group, one after the other.
fn all(messages: impl IntoIterator<Item = String>) -> String {
    messages
        .into_iter()
        .collect::<Vec<_>>()
        .join("\n────────\n\n")
}

fn io_error() -> Error {
    Error::new(
        ErrorKind::StorageFull,
        "failed to write to file `/layers/x`: No space left on device",
    )
}

fn io_error_of_layer() -> libcnb::layer::LayerError {
    io_error().into()
}

const SOURCE: &str = "https://mirror.example.com/backplane-stable-linux-amd64.tgz";

fn download_errors() -> Vec<FetchError> {
    vec![
        FetchError::ReadSource(Error::new(
            ErrorKind::NotFound,
            "No such file or directory (os error 2)",
        )),
        FetchError::NotAFile,
        FetchError::OutsideApp,
        FetchError::Empty,
        FetchError::TooLarge { limit: 2 << 30 },
        FetchError::Write(io_error()),
    ]
}

fn proxy_name() -> ProxyName {
    ProxyName {
        variable: "https_proxy",
        address: "http://proxy.example.com:3128".to_owned(),
    }
}

fn status(status: u16) -> HttpError {
    HttpError::Status {
        status,
        retry_after: None,
        is_rate_limit: false,
        proxy: None,
    }
}

fn http_errors() -> Vec<HttpError> {
    let named = || Some("SSL_CERT_FILE=/workspace/ca.pem\nSSL_CERT_DIR=/a:/b".to_owned());
    let proxy = |problem| HttpError::Proxy {
        proxy: proxy_name(),
        problem,
    };
    let tls = |problem| HttpError::Tls {
        problem,
        named: named(),
    };
    let timed_out = |phase| HttpError::TimedOut { phase };
    let protocol = |problem| HttpError::Protocol { problem };
    vec![
        HttpError::NoAuthorities {
            named: None,
            problems: vec![],
        },
        HttpError::NoAuthorities {
            named: named(),
            problems: vec![
                AuthorityProblem::Read {
                    path: Redacted::text("/workspace/ca.pem"),
                    error: Error::new(ErrorKind::InvalidInput, "it is not a regular file"),
                },
                AuthorityProblem::Empty {
                    path: Redacted::text("/workspace/ca.pem"),
                },
                AuthorityProblem::EmptyDirectory {
                    path: Redacted::text("/a"),
                },
                AuthorityProblem::Damaged,
            ],
        },
        HttpError::ProxySetting {
            variable: "HTTPS_PROXY",
        },
        proxy(ProxyProblem::HostNotFound),
        proxy(ProxyProblem::Connection {
            reason: Some("Connection refused (os error 111)".to_owned()),
        }),
        proxy(ProxyProblem::Connection { reason: None }),
        proxy(ProxyProblem::TimedOut),
        proxy(ProxyProblem::Tls(TlsProblem::NoTls)),
        proxy(ProxyProblem::Tls(TlsProblem::UnknownAuthority)),
        proxy(ProxyProblem::Credentials),
        proxy(ProxyProblem::Refused { status: Some(403) }),
        proxy(ProxyProblem::Refused { status: None }),
        proxy(ProxyProblem::Protocol),
        HttpError::HostNotFound,
        HttpError::Connection {
            reason: Some("Connection refused (os error 111)".to_owned()),
        },
        HttpError::Connection { reason: None },
        tls(TlsProblem::Expired),
        tls(TlsProblem::NotYetValid),
        tls(TlsProblem::WrongName),
        tls(TlsProblem::UnknownAuthority),
        HttpError::Tls {
            problem: TlsProblem::UnknownAuthority,
            named: None,
        },
        tls(TlsProblem::Unsuitable),
        tls(TlsProblem::NoTls),
        tls(TlsProblem::Handshake),
        timed_out(Phase::Connect),
        timed_out(Phase::Response),
        timed_out(Phase::Read),
        timed_out(Phase::Total { bytes: 3 << 20 }),
        status(403),
        HttpError::Status {
            status: 403,
            retry_after: None,
            is_rate_limit: true,
            proxy: None,
        },
        status(404),
        status(503),
        HttpError::Status {
            status: 503,
            retry_after: None,
            is_rate_limit: false,
            proxy: Some(proxy_name()),
        },
        protocol(ProtocolProblem::LargeHeaders),
        protocol(ProtocolProblem::Malformed),
        protocol(ProtocolProblem::Request),
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
        ArchiveError::Damaged {
            damage: Damage::EndsEarly,
        },
        ArchiveError::IncompleteProgram {
            name: "tunnel".to_owned(),
        },
        ArchiveError::Unsupported {
            path: "dist/backplane".to_owned(),
            form: Form::ForeignSparse,
        },
        ArchiveError::TooLarge,
        ArchiveError::TooManyEntries { limit: 10_000 },
        ArchiveError::PathTooLong,
        ArchiveError::NoAgent { names: vec![] },
        ArchiveError::NoAgent {
            names: vec!["bin/frpc".to_owned(), "LICENSE".to_owned()],
        },
        ArchiveError::AgentIsLink {
            path: "bin/backplane".to_owned(),
            target: "backplane-1.2".to_owned(),
        },
        ArchiveError::SeveralAgents {
            paths: vec!["amd64/backplane".to_owned(), "arm64/backplane".to_owned()],
        },
        ArchiveError::RepeatedName {
            name: "agent.toml".to_owned(),
        },
        ArchiveError::ReservedName {
            name: "backplane-status".to_owned(),
        },
        ArchiveError::UnusableName {
            name: "agent\u{7f}.toml".to_owned(),
        },
        ArchiveError::NotExecutable {
            found: FileKind::Other(None),
        },
        ArchiveError::MangledScript {
            mangling: Mangling::LineEndings,
        },
        ArchiveError::MangledScript {
            mangling: Mangling::ByteOrderMark,
        },
        ArchiveError::LfsPointer {
            name: "backplane".to_owned(),
        },
        ArchiveError::WrongArchitecture {
            name: "backplane".to_owned(),
            machine: elf::abi::EM_X86_64,
            target: target("arm64"),
        },
        ArchiveError::Read(io_error()),
        ArchiveError::Write(io_error()),
    ]
}

fn install_errors() -> Vec<InstallError> {
    let download = |error| InstallError::Fetch {
        source: Redacted::text(SOURCE),
        error,
    };
    let mut errors: Vec<InstallError> = http_errors()
        .into_iter()
        .map(FetchError::Http)
        .chain(download_errors())
        .map(download)
        .collect();
    errors.extend(
        archive_errors()
            .into_iter()
            .map(|error| InstallError::Archive {
                source: Redacted::text(SOURCE),
                kind: SourceKind::Server,
                error,
            }),
    );
    errors.extend(
        [
            (FileKind::Gzip, SourceKind::Server),
            (FileKind::Gzip, SourceKind::VendoredFile),
            (FileKind::Other(Some("text/html")), SourceKind::Server),
            (FileKind::Text, SourceKind::VendoredFile),
            (FileKind::LfsPointer, SourceKind::VendoredFile),
            (
                FileKind::MangledScript(Mangling::LineEndings),
                SourceKind::VendoredFile,
            ),
        ]
        .map(|(found, kind)| InstallError::Checksum {
            source: Redacted::text(SOURCE),
            kind,
            mismatch: Box::new(Mismatch {
                expected: Checksum::of_bytes(b"expected"),
                actual: Checksum::of_bytes(b"actual"),
                found,
                bytes: 5_120,
            }),
        }),
    );
    errors.push(InstallError::Staging(io_error()));
    errors.push(InstallError::Directory(io_error()));
    errors
}

fn release_errors() -> Vec<ReleaseError> {
    vec![
        ReleaseError::NoDefaultArchive {
            target: target("arm64"),
        },
        ReleaseError::UnknownPlaceholder {
            value: Redacted::text("https://mirror.example.com/{version}"),
            placeholder: Some("version".to_owned()),
        },
        ReleaseError::UnknownPlaceholder {
            value: Redacted::text("https://user:{x}@mirror.example.com/a.tgz"),
            placeholder: None,
        },
        ReleaseError::MalformedUrl {
            value: Redacted::text("https://mirror example.com"),
            reason: url::ParseError::InvalidDomainCharacter,
        },
        ReleaseError::UnsupportedScheme {
            value: Redacted::text("ftp://mirror.example.com/backplane.tgz"),
        },
        ReleaseError::FileOnOtherHost {
            value: Redacted::text("file://opt/backplane.tgz"),
        },
        ReleaseError::HttpWithoutChecksum {
            value: Redacted::text("http://mirror.example.com/backplane.tgz"),
        },
        ReleaseError::AbsolutePath {
            value: Redacted::text("/opt/backplane"),
        },
        ReleaseError::OutsideApp {
            value: Redacted::text("../backplane"),
        },
        ReleaseError::NoChecksumForArch {
            arch: "arm64".to_owned(),
            pinned: vec!["amd64".to_owned()],
        },
    ]
}

fn settings_errors() -> Vec<SettingsError> {
    let error = |setting, value: &str, problem| SettingsError {
        setting,
        value: Redacted::text(value),
        problem,
    };
    vec![
        error(
            Setting::AgentUrl,
            "https://mirror\u{7}",
            SettingProblem::NotText,
        ),
        error(
            Setting::AgentUrl,
            "\"https://mirror.example.com/backplane.tgz\"",
            SettingProblem::Quoted,
        ),
        error(Setting::AgentChannel, "../beta", SettingProblem::Malformed),
        error(Setting::AgentSha256, "e3b0c4", SettingProblem::Malformed),
        error(
            Setting::AgentSha256,
            "amd64:e3b0c4…,amd64:9f86d0…",
            SettingProblem::RepeatedArch("amd64".to_owned()),
        ),
        error(Setting::AgentOptional, "maybe", SettingProblem::Malformed),
    ]
}

#[test]
fn messages_hint_at_what_a_source_lacks() {
    let missing = || {
        let kind = ErrorKind::NotFound;
        FetchError::ReadSource(Error::new(kind, "No such file or directory (os error 2)"))
    };
    let not_found = || FetchError::Http(HttpError::HostNotFound);
    insta::assert_snapshot!(all([
        ("mirror.example.com/backplane.tgz?token=secret", missing()),
        ("https://user:12/secret@mirror.example.com/a", not_found()),
    ]
    .map(
        |(source, error)| shown(BackplaneError::Install(InstallError::Fetch {
            source: Redacted::text(source),
            error,
        }))
    )));
}

#[test]
fn messages_of_install_errors() {
    insta::assert_snapshot!(all(install_errors()
        .into_iter()
        .map(|error| shown(BackplaneError::Install(error)))));
}

// Without a server there is nothing to try again, and nothing that OPTIONAL changes.
#[test]
fn messages_of_faults_of_local_archives() {
    let errors = || {
        [
            ArchiveError::NotAnAgent {
                found: FileKind::Text,
                is_zipped: false,
            },
            ArchiveError::Damaged {
                damage: Damage::Compression,
            },
            ArchiveError::IncompleteProgram {
                name: "backplane".to_owned(),
            },
            ArchiveError::LfsPointer {
                name: "backplane".to_owned(),
            },
        ]
    };
    let all_errors = [
        (SourceKind::LocalFile, "file:///opt/backplane"),
        (SourceKind::VendoredFile, "vendor/backplane"),
    ]
    .into_iter()
    .flat_map(|(kind, source)| {
        errors().map(|error| {
            shown(BackplaneError::Install(InstallError::Archive {
                source: Redacted::text(source),
                kind,
                error,
            }))
        })
    });
    let all_errors = all(all_errors);
    assert!(!all_errors.contains("BACKPLANE_AGENT_OPTIONAL"));
    insta::assert_snapshot!(all_errors);
}

#[test]
fn messages_of_release_errors() {
    insta::assert_snapshot!(all(release_errors()
        .into_iter()
        .map(|error| shown(BackplaneError::Release(error)))));
}

#[test]
fn messages_of_settings_errors() {
    insta::assert_snapshot!(all(settings_errors()
        .into_iter()
        .map(|error| shown(BackplaneError::Settings(error)))));
}

#[test]
fn messages_of_other_errors() {
    let framework = libcnb::Error::CannotCreatePlatformFromPath(Error::new(
        ErrorKind::PermissionDenied,
        "Permission denied (os error 13)",
    ));
    insta::assert_snapshot!(all([
        shown(BackplaneError::LaunchProgram(io_error())),
        shown(BackplaneError::LayerDescription(io_error())),
        shown(BackplaneError::Arguments),
        shown(BackplaneError::ConfigVars(io_error())),
        shown(BackplaneError::ConfigVar {
            name: "BACKPLANE_AGENT_URL",
            error: Error::new(ErrorKind::InvalidInput, "it is not a regular file"),
        }),
        shown(BackplaneError::BuildCache(io_error())),
        shown(BackplaneError::Slug(io_error())),
        shown(BackplaneError::Panic {
            place: "some-library-1.2.3/src/lib.rs:45".to_owned()
        }),
        shown(BackplaneError::RestoredLayer(Error::new(
            ErrorKind::PermissionDenied,
            "failed to set permissions for file `/layers/backplane_agent/agent`: Operation not permitted (os error 1)",
        ))),
        shown(BackplaneError::PackageArchitecture {
            package: Some("amd64"),
            target: target("arm64"),
        }),
        shown(BackplaneError::PackageArchitecture {
            package: None,
            target: target("amd64"),
        }),
        message(libcnb::Error::CannotDetermineTargetArch(
            VarError::NotPresent
        ))
        .to_string(),
        message(libcnb::Error::CannotDetermineTargetDistroName(
            VarError::NotPresent
        ))
        .to_string(),
        message(libcnb::Error::LayerError(io_error_of_layer())).to_string(),
        message(framework).to_string(),
    ]));
}

#[test]
fn texts_of_warnings() {
    let (old, new) = (Checksum::of_bytes(b"old"), Checksum::of_bytes(b"new"));
    let error = |code| {
        reason(&InstallError::Fetch {
            source: Redacted::text(SOURCE),
            error: FetchError::Http(status(code)),
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
    insta::assert_snapshot!(all(install_errors()
        .iter()
        .map(|error| format!("{}\n", reason(error)))));
}

// Logs are read in narrow windows and behind prefixes such as `remote:`. Only what cannot be broken
// may be longer.
#[test]
fn lines_are_narrow() {
    let install = install_errors().into_iter().map(BackplaneError::Install);
    let release = release_errors().into_iter().map(BackplaneError::Release);
    let settings = settings_errors().into_iter().map(BackplaneError::Settings);
    for error in install.chain(release).chain(settings) {
        let text = shown(error);
        let (header, _) = text.split_once('\n').unwrap();
        assert!(header.chars().count() <= 56, "{header}");
        for line in text.lines() {
            let is_quoted = line.starts_with("Reason: ") || line.starts_with("Details: ");
            assert!(
                is_quoted || !line.contains(' ') || line.chars().count() <= 73,
                "{line}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_value_makes_a_build_panic_or_print_a_control_character(
        values in prop::array::uniform4(prop::collection::vec(any::<u8>(), 0..40)),
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
