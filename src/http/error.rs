//! What can go wrong between here and a web server. Nothing here holds text that a library may have taken from a URL, a header or
//! a certificate: a library's errors are told by their variants, and the system's by their numbers.

use std::fmt;
use std::io;
use std::time::Duration;

use bytesize::ByteSize;
use rustls::CertificateError;
use ureq::Timeout;

use super::connector::ProxyFailure;
use super::proxy::ProxyName;

/// Errors that can occur between here and a web server.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// There is no certificate authority to check the server's certificate with.
    NoAuthorities {
        /// The variables that name authorities, if some do, and what they name.
        named: Option<String>,
        reasons: Vec<String>,
    },
    /// The proxy variable is not the URL of a proxy that we can use.
    ProxySetting { variable: &'static str },
    /// The proxy, or the way to it.
    Proxy {
        proxy: ProxyName,
        problem: ProxyProblem,
    },
    /// The server's name has no address.
    HostNotFound,
    /// The connection could not be made, or broke.
    Connection { reason: String },
    /// The server's certificate or its TLS is not acceptable.
    Tls {
        problem: TlsProblem,
        /// The variables that name authorities, if some do, and what they name.
        named: Option<String>,
    },
    /// It took too long.
    TimedOut { phase: Phase },
    /// The server answered, and not with the file.
    Status {
        status: u16,
        retry_after: Option<Duration>,
        /// Whether it says that there were too many requests.
        is_rate_limit: bool,
        /// A proxy that may have answered in the server's place.
        proxy: Option<ProxyName>,
    },
    /// The server does not speak HTTP as it should.
    Protocol { reason: &'static str },
    /// The server redirects and redirects.
    TooManyRedirects { limit: u32 },
    /// The server redirects from https to something that is not encrypted.
    InsecureRedirect,
    /// The server redirects to something that is not the URL of a web server.
    UnusableRedirect,
}

/// What is wrong with a proxy, or with the way to it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum ProxyProblem {
    HostNotFound,
    Connection {
        reason: String,
    },
    TimedOut,
    Tls(TlsProblem),
    /// It asks for other credentials than it was given.
    Credentials,
    /// It does not connect to the server, and says so by an HTTP status or in SOCKS.
    Refused {
        status: Option<u16>,
    },
    /// It answers in another protocol than it should.
    Protocol,
}

/// What is wrong with the TLS of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TlsProblem {
    Expired,
    NotYetValid,
    WrongName,
    UnknownAuthority,
    /// The certificate is not made for a server.
    Unsuitable,
    /// The peer speaks something else.
    NoTls,
    Handshake,
}

/// What was waited for when the time was over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Connect,
    FirstByte,
    Stall,
    /// The whole download, of which this much had come.
    Overall {
        bytes: u64,
    },
}

/// A clause that goes on after “the source can't be used: ”.
impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAuthorities { .. } => formatter.write_str(
                "there is no certificate authority to check the server's certificate with",
            ),
            Self::ProxySetting { variable } => {
                write!(formatter, "{variable} isn't the URL of a usable proxy")
            }
            Self::Proxy { proxy, problem } => write!(formatter, "the proxy {proxy} {problem}"),
            Self::HostNotFound => formatter.write_str("the server's name has no address"),
            Self::Connection { reason } => write!(formatter, "the connection failed ({reason})"),
            Self::Tls { problem, .. } => {
                write!(formatter, "the server's TLS isn't acceptable ({problem})")
            }
            Self::TimedOut { phase } => match phase {
                Phase::Connect => formatter.write_str("connecting to the server took too long"),
                Phase::FirstByte => formatter.write_str("the server took too long to answer"),
                Phase::Stall => {
                    formatter.write_str("the server stopped sending in the middle of the file")
                }
                Phase::Overall { bytes } => write!(
                    formatter,
                    "the download took too long as a whole, and {} had come",
                    ByteSize(*bytes)
                ),
            },
            Self::Status {
                status,
                is_rate_limit,
                proxy,
                ..
            } => {
                write!(formatter, "the server answered with status {status}")?;
                if *is_rate_limit {
                    formatter.write_str(", as it had too many requests")?;
                }
                match proxy {
                    Some(proxy) => write!(formatter, " (through the proxy {proxy})"),
                    None => Ok(()),
                }
            }
            Self::Protocol { reason } => {
                write!(
                    formatter,
                    "the server's answer isn't proper HTTP ({reason})"
                )
            }
            Self::TooManyRedirects { limit } => {
                write!(formatter, "the server redirects more than {limit} times")
            }
            Self::InsecureRedirect => {
                formatter.write_str("the server redirects from https to an unencrypted address")
            }
            Self::UnusableRedirect => formatter
                .write_str("the server redirects to what isn't the address of a web server"),
        }
    }
}

/// A clause that goes on after the name of the proxy.
impl fmt::Display for ProxyProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostNotFound => formatter.write_str("can't be reached: its name has no address"),
            Self::Connection { reason } => write!(formatter, "can't be reached ({reason})"),
            Self::TimedOut => formatter.write_str("took too long to connect to the server"),
            Self::Tls(problem) => write!(formatter, "has no acceptable TLS ({problem})"),
            Self::Credentials => formatter.write_str("asks for a user and a password"),
            Self::Refused { status: None } => {
                formatter.write_str("refused to connect to the server")
            }
            Self::Refused {
                status: Some(status),
            } => write!(
                formatter,
                "refused to connect to the server (status {status})"
            ),
            Self::Protocol => formatter.write_str("doesn't answer as such a proxy does"),
        }
    }
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate isn't valid yet",
            Self::WrongName => "its certificate is for another name",
            Self::UnknownAuthority => "its certificate is from an unknown authority",
            Self::Unsuitable => "its certificate isn't made for a server",
            Self::NoTls => "it doesn't speak TLS",
            Self::Handshake => "the handshake failed",
        })
    }
}

impl HttpError {
    /// How long the server asks to wait before the next try.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether another try can help. `longest_pause` bounds the pause before it.
    pub(super) fn is_transient(&self, longest_pause: Duration) -> bool {
        match self {
            Self::HostNotFound
            | Self::Connection { .. }
            | Self::Protocol { .. }
            | Self::TimedOut {
                phase: Phase::Connect | Phase::FirstByte | Phase::Stall,
            } => true,
            Self::Status {
                status: 403,
                is_rate_limit: true,
                retry_after,
                ..
            } => retry_after.is_some_and(|pause| pause <= longest_pause),
            Self::Status { status, .. } => is_transient_status(*status),
            Self::Proxy { problem, .. } => match problem {
                ProxyProblem::HostNotFound
                | ProxyProblem::Connection { .. }
                | ProxyProblem::TimedOut
                | ProxyProblem::Protocol
                | ProxyProblem::Tls(TlsProblem::Handshake)
                | ProxyProblem::Refused { status: None } => true,
                ProxyProblem::Refused {
                    status: Some(status),
                } => is_transient_status(*status),
                ProxyProblem::Tls(_) | ProxyProblem::Credentials => false,
            },
            Self::NoAuthorities { .. }
            | Self::ProxySetting { .. }
            | Self::Tls { .. }
            | Self::TimedOut {
                phase: Phase::Overall { .. },
            }
            | Self::TooManyRedirects { .. }
            | Self::InsecureRedirect
            | Self::UnusableRedirect => false,
        }
    }
}

fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// What the library's error is to a user, with the proxy of the request, the variables that name authorities, and how much of the
/// file had come.
pub(super) fn classify(
    error: ureq::Error,
    proxy: Option<&ProxyName>,
    named: Option<&str>,
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
        return HttpError::Tls {
            problem,
            named: named.map(str::to_owned),
        };
    }
    match error {
        ureq::Error::Timeout(timeout) => HttpError::TimedOut {
            phase: match timeout {
                Timeout::Resolve | Timeout::Connect => Phase::Connect,
                Timeout::Global => Phase::Overall { bytes },
                Timeout::PerRead | Timeout::PerWrite | Timeout::RecvBody => Phase::Stall,
                _ => Phase::FirstByte,
            },
        },
        ureq::Error::HostNotFound => HttpError::HostNotFound,
        ureq::Error::Io(error) => HttpError::Connection {
            reason: system_reason(&error),
        },
        ureq::Error::ConnectionFailed | ureq::Error::BodyStalled => HttpError::Connection {
            reason: "it broke".to_owned(),
        },
        ureq::Error::LargeResponseHeader(..) => HttpError::Protocol {
            reason: "the headers are too large",
        },
        ureq::Error::Protocol(_) => HttpError::Protocol {
            reason: "it can't be read",
        },
        _ => HttpError::Protocol {
            reason: "the request can't be made",
        },
    }
}

fn of_proxy(failure: ProxyFailure, proxy: &ProxyName, bytes: u64) -> HttpError {
    let problem = match failure {
        ProxyFailure::Status(407) => ProxyProblem::Credentials,
        ProxyFailure::Status(status) => ProxyProblem::Refused {
            status: Some(status),
        },
        ProxyFailure::NotHttp => ProxyProblem::Protocol,
        ProxyFailure::Library(ureq::Error::Timeout(Timeout::Global))
        | ProxyFailure::Handshake(ureq::Error::Timeout(Timeout::Global)) => {
            return HttpError::TimedOut {
                phase: Phase::Overall { bytes },
            };
        }
        // One without TLS may as well hang up, or wait for the end of a line.
        ProxyFailure::Handshake(error) => {
            ProxyProblem::Tls(tls_problem(&error).unwrap_or(TlsProblem::Handshake))
        }
        ProxyFailure::Library(error) => match error {
            ureq::Error::Timeout(_) => ProxyProblem::TimedOut,
            ureq::Error::HostNotFound => ProxyProblem::HostNotFound,
            // What the library makes of the answers of SOCKS proxies.
            ureq::Error::Io(error) if error.raw_os_error().is_none() => match error.kind() {
                io::ErrorKind::PermissionDenied => ProxyProblem::Credentials,
                io::ErrorKind::Other | io::ErrorKind::InvalidInput => {
                    ProxyProblem::Refused { status: None }
                }
                io::ErrorKind::InvalidData => ProxyProblem::Protocol,
                _ => ProxyProblem::Connection {
                    reason: system_reason(&error),
                },
            },
            ureq::Error::Io(error) => ProxyProblem::Connection {
                reason: system_reason(&error),
            },
            _ => ProxyProblem::Connection {
                reason: "it broke".to_owned(),
            },
        },
    };
    HttpError::Proxy {
        proxy: proxy.clone(),
        problem,
    }
}

/// The system's words for an error of its own, or else the kind of the error.
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
            // Of the same name as one that is known, but with another key, for the second.
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
