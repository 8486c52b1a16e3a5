//! Every message as its user reads it. `cargo insta review` after a change, and read them aloud.

use std::io::{Error, ErrorKind};

use super::*;
use crate::archive::ArchiveError;
use crate::checksum::Checksum;
use crate::content::Kind;
use crate::download::DownloadError;
use crate::http::{HttpError, Phase, ProxyName, ProxyProblem, TlsProblem};
use crate::release::tests::target;
use crate::settings::{Setting, SettingProblem};
use crate::warnings;

fn shown(error: BackplaneError) -> String {
    message(error.into()).to_string()
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

const SOURCE: &str = "https://mirror.example.com/backplane-stable-linux-amd64.tgz";

fn download_errors() -> Vec<DownloadError> {
    vec![
        DownloadError::ReadSource(Error::new(
            ErrorKind::NotFound,
            "failed to query metadata of file `/workspace/vendor/backplane`: No such file or directory",
        )),
        DownloadError::NotAFile,
        DownloadError::OutsideApp,
        DownloadError::Empty,
        DownloadError::TooLarge { limit: 2 << 30 },
        DownloadError::Write(io_error()),
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
    vec![
        HttpError::NoAuthorities {
            named: None,
            reasons: vec![],
        },
        HttpError::NoAuthorities {
            named: named(),
            reasons: vec![
                "/workspace/ca.pem is not a regular file".to_owned(),
                "/a holds no file with a certificate in PEM form".to_owned(),
            ],
        },
        HttpError::ProxySetting {
            variable: "HTTPS_PROXY",
        },
        proxy(ProxyProblem::HostNotFound),
        proxy(ProxyProblem::Connection {
            reason: "Connection refused (os error 111)".to_owned(),
        }),
        proxy(ProxyProblem::TimedOut),
        proxy(ProxyProblem::Tls(TlsProblem::NoTls)),
        proxy(ProxyProblem::Tls(TlsProblem::UnknownAuthority)),
        proxy(ProxyProblem::Credentials),
        proxy(ProxyProblem::Refused { status: Some(403) }),
        proxy(ProxyProblem::Refused { status: None }),
        proxy(ProxyProblem::Protocol),
        HttpError::HostNotFound,
        HttpError::Connection {
            reason: "Connection refused (os error 111)".to_owned(),
        },
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
        timed_out(Phase::FirstByte),
        timed_out(Phase::Stall),
        timed_out(Phase::Overall { bytes: 3 << 20 }),
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
        HttpError::Protocol {
            reason: "it can't be read",
        },
        HttpError::TooManyRedirects { limit: 5 },
        HttpError::InsecureRedirect,
        HttpError::UnusableRedirect,
    ]
}

fn archive_errors() -> Vec<ArchiveError> {
    vec![
        ArchiveError::NotAnAgent {
            found: Kind::Other(Some("text/html")),
        },
        ArchiveError::NotAnAgent {
            found: Kind::Other(None),
        },
        ArchiveError::Damaged {
            reason: "unexpected end of file".to_owned(),
        },
        ArchiveError::TooLarge { limit: 4 << 30 },
        ArchiveError::TooManyEntries { limit: 10_000 },
        ArchiveError::PathTooLong,
        ArchiveError::NoAgent { names: vec![] },
        ArchiveError::NoAgent {
            names: vec!["bin/frpc".to_owned(), "LICENSE".to_owned()],
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
            name: "\\u{1b}[31m".to_owned(),
        },
        ArchiveError::NotExecutable {
            found: Kind::Other(None),
        },
        ArchiveError::WrongArchitecture {
            name: "backplane".to_owned(),
            found: Kind::Elf {
                machine: Some(elf::abi::EM_X86_64),
            },
            target: target("arm64"),
        },
        ArchiveError::Read(io_error()),
        ArchiveError::Write(io_error()),
    ]
}

fn install_errors() -> Vec<InstallError> {
    let download = |error| InstallError::Download {
        source: SOURCE.to_owned(),
        error,
    };
    let mut errors: Vec<InstallError> = http_errors()
        .into_iter()
        .map(DownloadError::Http)
        .chain(download_errors())
        .map(download)
        .collect();
    errors.extend(
        archive_errors()
            .into_iter()
            .map(|error| InstallError::Archive {
                source: SOURCE.to_owned(),
                error,
            }),
    );
    errors.push(InstallError::Checksum {
        source: SOURCE.to_owned(),
        expected: Checksum::of_bytes(b"expected"),
        actual: Checksum::of_bytes(b"actual"),
    });
    errors.push(InstallError::Staging(io_error()));
    errors.push(InstallError::Folder(io_error()));
    errors
}

fn release_errors() -> Vec<ReleaseError> {
    vec![
        ReleaseError::NoDefaultArchive {
            target: target("arm64"),
        },
        ReleaseError::UnknownPlaceholder {
            value: "https://mirror.example.com/{version}".to_owned(),
            placeholder: "version".to_owned(),
        },
        ReleaseError::MalformedUrl {
            value: "https://mirror example.com".to_owned(),
            reason: url::ParseError::InvalidDomainCharacter,
        },
        ReleaseError::UnsupportedScheme {
            value: "ftp://mirror.example.com/backplane.tgz".to_owned(),
            scheme: "ftp".to_owned(),
        },
        ReleaseError::FileOnOtherHost {
            value: "file://opt/backplane.tgz".to_owned(),
        },
        ReleaseError::HttpWithoutChecksum {
            value: "http://mirror.example.com/backplane.tgz".to_owned(),
        },
        ReleaseError::AbsolutePath {
            value: "/opt/backplane".to_owned(),
        },
        ReleaseError::OutsideApp {
            value: "../backplane".to_owned(),
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
        value: value.to_owned(),
        problem,
    };
    vec![
        error(
            Setting::AgentUrl,
            "https://mirror\\u{7}",
            SettingProblem::NotText,
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
fn messages_of_install_errors() {
    insta::assert_snapshot!(all(install_errors()
        .into_iter()
        .map(|error| shown(BackplaneError::Install(error)))));
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
        shown(BackplaneError::LayerRecord(io_error())),
        shown(BackplaneError::Classic(ClassicError::Arguments)),
        shown(BackplaneError::Classic(
            ClassicError::ConfigVars(io_error())
        )),
        shown(BackplaneError::Classic(ClassicError::Cache(io_error()))),
        shown(BackplaneError::Classic(ClassicError::Slug(io_error()))),
        message(framework).to_string(),
    ]));
}

#[test]
fn texts_of_warnings() {
    let (old, new) = (Checksum::of_bytes(b"old"), Checksum::of_bytes(b"new"));
    let error = |code| InstallError::Download {
        source: SOURCE.to_owned(),
        error: DownloadError::Http(status(code)),
    };
    insta::assert_snapshot!(all([
        warnings::unpinned(&new),
        warnings::changed(&old, &new),
        warnings::kept(&error(503), &old),
        warnings::going_without(&error(404)),
        warnings::near_miss("BACKPLANE_AGENT_SHA", "BACKPLANE_AGENT_SHA256"),
    ]));
}

#[test]
fn reasons_fit_into_a_warning() {
    insta::assert_snapshot!(all(install_errors()
        .iter()
        .map(|error| format!("{}\n", reason(error)))));
}

// Logs are read in narrow windows and behind prefixes such as `remote:`. Only what cannot be broken may be longer.
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
