//! Errors of the HTTP library, classified for the user.

use std::io;

use rustls::CertificateError;
use ureq::Timeout;

use super::connector::ProxyFailure;
use super::error::{HttpError, Phase, ProtocolProblem, ProxyName, ProxyProblem, TlsProblem};

/// Classifies an error of a request through `proxy`, after `bytes` of the file. `named` are the
/// variables that name authorities.
pub(super) fn classify(
    error: ureq::Error,
    proxy: Option<&ProxyName>,
    named: Option<String>,
    bytes: u64,
) -> HttpError {
    let error = match (error, proxy) {
        (ureq::Error::Other(other), Some(proxy)) => match other.downcast() {
            Ok(failure) => return of_proxy(*failure, proxy, bytes),
            Err(other) => ureq::Error::Other(other),
        },
        (error, _) => error,
    };
    if let Some(problem) = tls_problem(&error) {
        return HttpError::Tls { problem, named };
    }
    let protocol = |problem| HttpError::Protocol(problem);
    match error {
        ureq::Error::Timeout(timeout) => HttpError::TimedOut(match timeout {
            Timeout::Resolve | Timeout::Connect => Phase::Connect,
            Timeout::Global => Phase::Total { bytes },
            Timeout::PerRead | Timeout::PerWrite | Timeout::RecvBody => Phase::Read,
            _ => Phase::Response,
        }),
        ureq::Error::HostNotFound => HttpError::HostNotFound,
        ureq::Error::Io(error) => HttpError::Connection(system_reason(&error)),
        ureq::Error::ConnectionFailed | ureq::Error::BodyStalled => HttpError::Closed,
        ureq::Error::LargeResponseHeader(..) => protocol(ProtocolProblem::LargeHeaders),
        ureq::Error::Protocol(_) => protocol(ProtocolProblem::Malformed),
        _ => protocol(ProtocolProblem::Request),
    }
}

fn of_proxy(failure: ProxyFailure, proxy: &ProxyName, bytes: u64) -> HttpError {
    let problem = match failure {
        ProxyFailure::Status(407) => ProxyProblem::Credentials,
        ProxyFailure::Status(status) => ProxyProblem::Refused(Some(status)),
        ProxyFailure::NotHttp => ProxyProblem::Protocol,
        ProxyFailure::Library(ureq::Error::Timeout(Timeout::Global))
        | ProxyFailure::Handshake(ureq::Error::Timeout(Timeout::Global)) => {
            return HttpError::TimedOut(Phase::Total { bytes });
        }
        // A proxy without TLS may also close the connection, or wait for the end of a line.
        ProxyFailure::Handshake(error) => {
            ProxyProblem::Tls(tls_problem(&error).unwrap_or(TlsProblem::Handshake))
        }
        ProxyFailure::Library(error) => match error {
            ureq::Error::Timeout(_) => ProxyProblem::TimedOut,
            ureq::Error::HostNotFound => ProxyProblem::HostNotFound,
            ureq::Error::Io(error) => match (error.raw_os_error(), error.kind()) {
                // How the library reports the replies of SOCKS proxies.
                (None, io::ErrorKind::PermissionDenied) => ProxyProblem::Credentials,
                (None, io::ErrorKind::Other | io::ErrorKind::InvalidInput) => {
                    ProxyProblem::Refused(None)
                }
                (None, io::ErrorKind::InvalidData) => ProxyProblem::Protocol,
                _ => ProxyProblem::Connection(system_reason(&error)),
            },
            _ => ProxyProblem::Closed,
        },
    };
    HttpError::Proxy {
        proxy: proxy.clone(),
        problem,
    }
}

/// The system's description of its own error, or the kind of another error.
fn system_reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number).to_string(),
        None => error.kind().to_string(),
    }
}

fn tls_problem(error: &ureq::Error) -> Option<TlsProblem> {
    match error {
        ureq::Error::Rustls(error) => Some(of_rustls(error)),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref().map(of_rustls),
        ureq::Error::Tls(_) | ureq::Error::TlsRequired => Some(TlsProblem::Handshake),
        _ => None,
    }
}

fn of_rustls(error: &rustls::Error) -> TlsProblem {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsProblem::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsProblem::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::WrongName
            }
            // The second one: the name of a known authority, but another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsProblem::UnknownAuthority
            }
            // Above all `CaUsedAsEndEntity` and `UnsupportedCertVersion`.
            CertificateError::Other(_)
            | CertificateError::BadEncoding
            | CertificateError::UnhandledCriticalExtension
            | CertificateError::InvalidPurpose
            | CertificateError::InvalidPurposeContext { .. } => TlsProblem::Unsuitable,
            _ => TlsProblem::Handshake,
        },
        rustls::Error::InvalidMessage(_) => TlsProblem::NoTls,
        _ => TlsProblem::Handshake,
    }
}
