//! A file from a web server: conditional, retried, bounded in time.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use ureq::http::{Response, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy, Timeout};
use url::Url;

use crate::download::{self, Download, DownloadError, Fetched, StoreError, Validators};
use crate::limits::Limits;
use crate::output::Output;
use crate::settings::Network;

/// Errors that can occur between here and a web server. None holds any part of an URL: a library's own words may quote
/// one with its secrets, so they are not passed on.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// There is no certificate authority to check the server's certificate with.
    NoAuthorities { reasons: Vec<String> },
    /// The proxy variable is no URL of a proxy that we can use.
    Proxy { variable: &'static str },
    /// The server's name has no address.
    HostNotFound,
    /// The connection could not be made, or broke.
    Connection { reason: String },
    /// The proxy answered, but would not connect.
    ProxyRefused,
    /// The server's certificate or its TLS is not acceptable.
    Tls { reason: String },
    /// It took too long.
    TimedOut { phase: Phase },
    /// The server answered, and not with the file.
    Status {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// The server does not speak HTTP as it should.
    Protocol { reason: String },
    /// The server redirects and redirects.
    TooManyRedirects { limit: u32 },
    /// The server redirects from https to something that is not encrypted.
    InsecureRedirect,
}

impl HttpError {
    /// How long the server asks to wait before the next try.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A clause that goes on after “the source can't be used: ”.
impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAuthorities { .. } => formatter.write_str(
                "there is no certificate authority to check the server's certificate with",
            ),
            Self::Proxy { variable } => {
                write!(formatter, "{variable} isn't the URL of a usable proxy")
            }
            Self::HostNotFound => formatter.write_str("the server's name has no address"),
            Self::Connection { reason } => write!(formatter, "the connection failed ({reason})"),
            Self::ProxyRefused => formatter.write_str("the proxy refused to connect to the server"),
            Self::Tls { reason } => {
                write!(formatter, "the server's TLS isn't acceptable ({reason})")
            }
            Self::TimedOut { phase } => formatter.write_str(match phase {
                Phase::Connect => "connecting to the server took too long",
                Phase::FirstByte => "the server took too long to answer",
                Phase::Stall => "the server stopped sending in the middle of the file",
                Phase::Overall => "the download took too long as a whole",
            }),
            Self::Status { status, .. } => {
                write!(formatter, "the server answered with status {status}")
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
        }
    }
}

/// What was waited for when the time was over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Connect,
    FirstByte,
    Stall,
    Overall,
}

/// Fetches `url` into the file `into`, trying again where that can help.
pub(crate) fn fetch(
    url: &Url,
    known: &Validators,
    into: &Path,
    network: &Network,
    limits: &Limits,
    output: &dyn Output,
) -> Result<Fetched, DownloadError> {
    let deadline = Instant::now() + limits.overall;
    let agent = agent(url, network, limits).map_err(DownloadError::Http)?;
    let mut pauses = ExponentialBuilder::new()
        .with_min_delay(limits.first_pause)
        .with_max_delay(limits.longest_pause)
        .with_max_times(limits.tries.saturating_sub(1))
        .with_jitter()
        .build();
    loop {
        let error = match attempt(&agent, url, known, into, deadline, limits, output) {
            Err(DownloadError::Http(error)) if is_transient(&error) => error,
            outcome => return outcome,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let pause = match pauses.next() {
            Some(pause) if !left.is_zero() => error
                .retry_after()
                .unwrap_or(pause)
                .min(limits.longest_pause)
                .min(left),
            _ => return Err(DownloadError::Http(error)),
        };
        output.step(&format!(
            "Trying again in {:.1} s: {error}",
            pause.as_secs_f32()
        ));
        thread::sleep(pause);
    }
}

fn attempt(
    agent: &Agent,
    url: &Url,
    known: &Validators,
    into: &Path,
    deadline: Instant,
    limits: &Limits,
    output: &dyn Output,
) -> Result<Fetched, DownloadError> {
    let failed = |error| DownloadError::Http(classify(error, limits));
    let left = deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1));
    let mut request = agent
        .get(without_secrets(url).as_str())
        .config()
        .timeout_global(Some(left))
        .build();
    if let Some(credentials) = credentials(url) {
        request = request.header(header::AUTHORIZATION, credentials);
    }
    if let Some(etag) = &known.etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    if let Some(last_modified) = &known.last_modified {
        request = request.header(header::IF_MODIFIED_SINCE, last_modified);
    }
    let response = request.call().map_err(failed)?;
    let is_conditional = *known != Validators::default();
    match response.status().as_u16() {
        200 => {}
        304 if is_conditional => return Ok(Fetched::NotModified),
        status => {
            return Err(DownloadError::Http(HttpError::Status {
                status,
                retry_after: retry_after(&response, SystemTime::now()),
            }));
        }
    }
    let validators = Validators {
        etag: text(&response, header::ETAG),
        last_modified: text(&response, header::LAST_MODIFIED),
    };
    let expected_bytes = response.body().content_length();
    let body = response.into_body().into_reader();
    let (checksum, bytes) = download::store(body, expected_bytes, into, limits, output).map_err(
        |error| match error {
            StoreError::Read(error) => failed(error.into()),
            StoreError::Write(error) => DownloadError::Write(error),
            StoreError::TooLarge => DownloadError::TooLarge {
                limit: limits.download_bytes,
            },
        },
    )?;
    Ok(Fetched::File(Download {
        checksum,
        bytes,
        validators,
        is_delimited: true,
    }))
}

fn agent(url: &Url, network: &Network, limits: &Limits) -> Result<Agent, HttpError> {
    let is_https = url.scheme() == "https";
    // An http source may redirect to https (RFC 9110 knows no upgrade but that), so it needs the authorities as well.
    let authorities = match authorities(network) {
        Err(_) if !is_https => Vec::new(),
        loaded => loaded?,
    };
    let config = Agent::config_builder()
        .https_only(is_https)
        .http_status_as_error(false)
        .max_redirects(limits.redirects)
        .proxy(proxy(is_https, network)?)
        // The bytes are hashed and unpacked as they were published.
        .accept_encoding("identity")
        .user_agent(concat!("backplane-buildpack/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_send_request(Some(limits.first_byte))
        .timeout_recv_response(Some(limits.first_byte))
        .timeout_per_read(Some(limits.stall))
        .tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::Specific(Arc::new(authorities)))
                .build(),
        )
        .build();
    Ok(config.new_agent())
}

fn authorities(network: &Network) -> Result<Vec<Certificate<'static>>, HttpError> {
    let loaded = if network.ca_file.is_some() || network.ca_folder.is_some() {
        rustls_native_certs::load_certs_from_paths(
            network.ca_file.as_deref(),
            network.ca_folder.as_deref(),
        )
    } else {
        rustls_native_certs::load_native_certs()
    };
    if loaded.certs.is_empty() {
        return Err(HttpError::NoAuthorities {
            reasons: loaded.errors.iter().map(ToString::to_string).collect(),
        });
    }
    Ok(loaded
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect())
}

fn proxy(is_https: bool, network: &Network) -> Result<Option<Proxy>, HttpError> {
    let (variable, value) = if is_https {
        ("HTTPS_PROXY", &network.https_proxy)
    } else {
        ("HTTP_PROXY", &network.http_proxy)
    };
    let Some(value) = value else {
        return Ok(None);
    };
    let refused = || HttpError::Proxy { variable };
    let plain = Proxy::new(value).map_err(|_| refused())?;
    let Some(exceptions) = &network.no_proxy else {
        return Ok(Some(plain));
    };
    // Only the builder takes exceptions, one at a time, and it takes nothing from a `Proxy`.
    let mut builder = Proxy::builder(plain.protocol())
        .host(plain.host())
        .port(plain.port());
    for exception in exceptions.split([',', ' ']).filter(|part| !part.is_empty()) {
        builder = builder.no_proxy(exception);
        // A domain stands for its subdomains too, as curl and Go read it.
        if exception.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            builder = builder.no_proxy(&format!(".{exception}"));
        }
    }
    if let Some(username) = plain.username() {
        builder = builder.username(username);
    }
    if let Some(password) = plain.password() {
        builder = builder.password(password);
    }
    builder.build().map(Some).map_err(|_| refused())
}

/// The URL for the request line and for the library's errors; what is left out travels in a header.
fn without_secrets(url: &Url) -> Url {
    let mut bare = url.clone();
    // The setters fail for URLs without a host only, and those have no user info either.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_fragment(None);
    bare
}

/// The user info as a header ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617.html)); never sent on by a redirect.
fn credentials(url: &Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let mut pair = decode(url.username());
    pair.push(b':');
    pair.extend(decode(url.password().unwrap_or_default()));
    Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

fn text(response: &Response<Body>, name: header::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// How long the server asks to wait, in either form of
/// [RFC 9110, section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110.html#section-10.2.3).
fn retry_after(response: &Response<Body>, now: SystemTime) -> Option<Duration> {
    parse_retry_after(&text(response, header::RETRY_AFTER)?, now)
}

fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn is_transient(error: &HttpError) -> bool {
    match error {
        HttpError::HostNotFound
        | HttpError::Connection { .. }
        | HttpError::ProxyRefused
        | HttpError::Protocol { .. }
        | HttpError::TimedOut {
            phase: Phase::Connect | Phase::FirstByte | Phase::Stall,
        } => true,
        HttpError::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
        HttpError::NoAuthorities { .. }
        | HttpError::Proxy { .. }
        | HttpError::Tls { .. }
        | HttpError::TimedOut {
            phase: Phase::Overall,
        }
        | HttpError::TooManyRedirects { .. }
        | HttpError::InsecureRedirect => false,
    }
}

fn classify(error: ureq::Error, limits: &Limits) -> HttpError {
    match error {
        ureq::Error::Timeout(timeout) => HttpError::TimedOut {
            phase: match timeout {
                Timeout::Resolve | Timeout::Connect => Phase::Connect,
                Timeout::Global => Phase::Overall,
                Timeout::PerRead | Timeout::PerWrite | Timeout::RecvBody => Phase::Stall,
                _ => Phase::FirstByte,
            },
        },
        ureq::Error::HostNotFound => HttpError::HostNotFound,
        ureq::Error::TooManyRedirects => HttpError::TooManyRedirects {
            limit: limits.redirects,
        },
        ureq::Error::RequireHttpsOnly(_) => HttpError::InsecureRedirect,
        ureq::Error::ConnectProxyFailed(_) => HttpError::ProxyRefused,
        ureq::Error::Tls(reason) => HttpError::Tls {
            reason: reason.to_owned(),
        },
        ureq::Error::Rustls(error) => HttpError::Tls {
            reason: error.to_string(),
        },
        // rustls reports what it does not accept as an I/O error of this kind.
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => HttpError::Tls {
            reason: error.to_string(),
        },
        ureq::Error::Io(error) => HttpError::Connection {
            reason: error.to_string(),
        },
        ureq::Error::ConnectionFailed | ureq::Error::BodyStalled => HttpError::Connection {
            reason: "the connection failed".to_owned(),
        },
        ureq::Error::Protocol(error) => HttpError::Protocol {
            reason: error.to_string(),
        },
        ureq::Error::LargeResponseHeader(..) => HttpError::Protocol {
            reason: "the response's headers are too large".to_owned(),
        },
        // Everything else may quote an URL.
        _ => HttpError::Protocol {
            reason: "the request could not be made".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
