//! Errors of a download from a web server.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::redact::Redacted;

/// Errors that can occur when a file is downloaded from a web server.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// There is no certificate authority to verify the server's certificate with.
    NoAuthorities {
        /// The variables that name authorities, with their values.
        named: Option<String>,
        problems: Vec<AuthorityProblem>,
    },
    /// The variable is not the URL of a supported proxy.
    ProxySetting {
        variable: &'static str,
    },
    /// The proxy, or the connection to it, failed.
    Proxy {
        proxy: ProxyName,
        problem: ProxyProblem,
    },
    /// The server's name does not resolve.
    HostNotFound,
    /// The connection failed, for a reason in the system's words.
    Connection(String),
    /// The connection was closed early.
    Closed,
    /// The TLS connection to the server failed.
    Tls {
        problem: TlsProblem,
        /// The variables that name authorities, with their values.
        named: Option<String>,
    },
    TimedOut(Phase),
    /// The response is not the file.
    Status {
        status: u16,
        retry_after: Option<Duration>,
        /// Whether the headers indicate too many requests.
        is_rate_limit: bool,
        /// A proxy that may have sent the response instead of the server.
        proxy: Option<ProxyName>,
    },
    Protocol(ProtocolProblem),
    TooManyRedirects {
        limit: u32,
    },
    /// The server redirects from https to http.
    InsecureRedirect,
    /// The server redirects to something that is not an http or https URL.
    UnusableRedirect,
}

/// Why a file or a directory has no authority that can be used.
#[derive(Debug)]
pub(crate) enum AuthorityProblem {
    Read {
        path: Redacted,
        error: io::Error,
    },
    /// It contains no certificate.
    Empty(Redacted),
    /// No file in it contains a certificate.
    EmptyDirectory(Redacted),
    /// All certificates are damaged.
    Damaged,
}

/// A proxy as it may be shown: without user info.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ProxyName {
    /// The variable that sets it.
    pub(crate) variable: &'static str,
    /// Its scheme, host and port.
    pub(crate) address: String,
}

impl fmt::Display for ProxyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.address, self.variable)
    }
}

/// What is wrong with a proxy, or with the way to it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum ProxyProblem {
    HostNotFound,
    /// As [`HttpError::Connection`].
    Connection(String),
    Closed,
    TimedOut,
    Tls(TlsProblem),
    /// It requires credentials, or other ones.
    Credentials,
    /// It does not connect to the server; the status is that of HTTP, which SOCKS lacks.
    Refused(Option<u16>),
    /// It uses another protocol.
    Protocol,
}

/// What is wrong with the TLS of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TlsProblem {
    Expired,
    NotYetValid,
    WrongName,
    UnknownAuthority,
    /// The certificate is not a server certificate.
    Unsuitable,
    /// The peer uses another protocol.
    NoTls,
    Handshake,
}

/// What is wrong with the HTTP of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProtocolProblem {
    LargeHeaders,
    Malformed,
    /// The library cannot make the request.
    Request,
}

/// What took too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Connect,
    Response,
    Read,
    /// The whole download, of which this much has arrived.
    Total {
        bytes: u64,
    },
}

impl HttpError {
    /// How long the server asks to wait before the next attempt.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether another attempt can help. `max_backoff` is the longest delay before it.
    pub(super) fn is_transient(&self, max_backoff: Duration) -> bool {
        match self {
            Self::HostNotFound
            | Self::Connection(_)
            | Self::Closed
            | Self::Protocol(_)
            | Self::TimedOut(Phase::Connect | Phase::Response | Phase::Read) => true,
            Self::Status {
                status: 403,
                is_rate_limit: true,
                retry_after,
                ..
            } => retry_after.is_some_and(|pause| pause <= max_backoff),
            Self::Status { status, .. } => is_transient_status(*status),
            Self::Proxy { problem, .. } => match problem {
                ProxyProblem::HostNotFound
                | ProxyProblem::Connection(_)
                | ProxyProblem::Closed
                | ProxyProblem::TimedOut
                | ProxyProblem::Protocol
                | ProxyProblem::Tls(TlsProblem::Handshake)
                | ProxyProblem::Refused(None) => true,
                ProxyProblem::Refused(Some(status)) => is_transient_status(*status),
                ProxyProblem::Tls(_) | ProxyProblem::Credentials => false,
            },
            Self::NoAuthorities { .. }
            | Self::ProxySetting { .. }
            | Self::Tls { .. }
            | Self::TimedOut(Phase::Total { .. })
            | Self::TooManyRedirects { .. }
            | Self::InsecureRedirect
            | Self::UnusableRedirect => false,
        }
    }
}

fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}
