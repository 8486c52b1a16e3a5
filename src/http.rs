//! A file from a web server: conditional, retried, bounded in time.

mod authorities;
mod connector;
mod error;
mod no_proxy;
mod proxy;
mod redirect;
mod watchdog;

use std::cell::OnceCell;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use ureq::http::{Response, Version, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector, RustlsConnector, TcpConnector};
use ureq::{Agent, Body};
use url::Url;

use crate::download::{self, Download, DownloadError, Fetched, StoreError, Validators};
use crate::limits::Limits;
use crate::output::Output;
use crate::settings::Network;

use connector::{ProxyConnector, SystemResolver};
pub(crate) use error::{HttpError, Phase, ProxyProblem, TlsProblem};
pub(crate) use proxy::ProxyName;
use proxy::{ProxyKind, ProxyServer};
use watchdog::Watchdog;

const USER_AGENT: &str = concat!("backplane-buildpack/", env!("CARGO_PKG_VERSION"));

/// Fetches `url` into the file `into`, trying again where that can help.
pub(crate) fn fetch(
    url: &Url,
    known: &Validators,
    into: &Path,
    network: &Network,
    limits: &Limits,
    output: &dyn Output,
) -> Result<Fetched, DownloadError> {
    let client = Client {
        source: url,
        into,
        network,
        limits,
        output,
        deadline: Instant::now() + limits.overall,
        authorities: OnceCell::new(),
    };
    client.fetch(known.clone())
}

/// A download of one source.
struct Client<'a> {
    source: &'a Url,
    into: &'a Path,
    network: &'a Network,
    limits: &'a Limits,
    output: &'a dyn Output,
    deadline: Instant,
    authorities: OnceCell<Arc<Vec<Certificate<'static>>>>,
}

/// A response, and what is needed until its body is read.
struct Exchange {
    response: Response<Body>,
    proxy: Option<ProxyName>,
    watchdog: Option<Watchdog>,
}

impl Client<'_> {
    fn fetch(&self, mut known: Validators) -> Result<Fetched, DownloadError> {
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(self.limits.first_pause)
            .with_max_delay(self.limits.longest_pause)
            .with_max_times(self.limits.tries.saturating_sub(1))
            .with_jitter()
            .build();
        loop {
            let error = match self.attempt(&known) {
                Err(DownloadError::Http(error)) => error,
                outcome => return outcome,
            };
            if is_conditional(&known) && may_be_about_validators(&error) {
                self.output
                    .step(&format!("Asking again for the whole file: {error}"));
                known = Validators::default();
                continue;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            let pause = match pauses.next() {
                Some(pause) if error.is_transient(self.limits.longest_pause) && !left.is_zero() => {
                    error
                        .retry_after()
                        .unwrap_or(pause)
                        .min(self.limits.longest_pause)
                        .min(left)
                }
                _ => return Err(DownloadError::Http(error)),
            };
            self.output.step(&format!(
                "Trying again in {:.1} s: {error}",
                pause.as_secs_f32()
            ));
            thread::sleep(pause);
        }
    }

    /// Asks for the file once, wherever redirects lead to.
    fn attempt(&self, known: &Validators) -> Result<Fetched, DownloadError> {
        let mut url = self.source.clone();
        for _ in 0..=self.limits.redirects {
            let exchange = self.ask(&url, known).map_err(DownloadError::Http)?;
            // The body of a redirect is not read: it may have no end.
            match redirect::location(&exchange.response) {
                Some(location) => {
                    url = redirect::target(self.source, &url, location)
                        .map_err(DownloadError::Http)?;
                }
                None => return self.receive(exchange, known),
            }
        }
        Err(DownloadError::Http(HttpError::TooManyRedirects {
            limit: self.limits.redirects,
        }))
    }

    /// Sends one request.
    fn ask(&self, url: &Url, known: &Validators) -> Result<Exchange, HttpError> {
        let proxy = proxy::choose(url, self.network)?;
        let name = proxy.as_ref().map(|proxy| proxy.name.clone());
        // A proxy that speaks HTTP sees a request to an http URL, and may answer it itself.
        let answering = match &proxy {
            Some(ProxyServer {
                name,
                kind: ProxyKind::Http { credentials, .. },
            }) if url.scheme() == "http" => Some((name.clone(), credentials.clone())),
            _ => None,
        };
        let agent = self.agent(url, proxy)?;
        // Without a thread, the library's own timeouts still hold.
        let watchdog = Watchdog::start(agent.clone(), self.deadline).ok();
        let mut request = agent.get(without_secrets(url).as_str());
        if let Some(credentials) = basic_credentials(url) {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        if let Some((_, Some(credentials))) = &answering {
            request = request.header(header::PROXY_AUTHORIZATION, credentials);
        }
        if let Some(etag) = &known.etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(last_modified) = &known.last_modified {
            request = request.header(header::IF_MODIFIED_SINCE, last_modified);
        }
        match request.call() {
            Ok(response) => Ok(Exchange {
                response,
                proxy: answering.map(|(name, _)| name),
                watchdog,
            }),
            Err(error) => Err(self.failed(error, name.as_ref(), watchdog.as_ref(), 0)),
        }
    }

    /// Stores the body of a response that is one, or says what it is instead.
    fn receive(&self, exchange: Exchange, known: &Validators) -> Result<Fetched, DownloadError> {
        let Exchange {
            response,
            proxy,
            watchdog,
        } = exchange;
        match response.status().as_u16() {
            200 => {}
            304 if is_conditional(known) => return Ok(Fetched::NotModified),
            _ => return Err(DownloadError::Http(refusal(&response, proxy))),
        }
        let validator = |name| text(&response, name).filter(|value| Validators::is_usable(value));
        let validators = Validators {
            etag: validator(header::ETAG),
            last_modified: validator(header::LAST_MODIFIED),
        };
        let expected_bytes = response.body().content_length();
        let is_delimited = expected_bytes.is_some() || is_chunked(&response);
        let mut body = Counted {
            inner: response.into_body().into_reader(),
            bytes: 0,
        };
        let stored = download::store(
            &mut body,
            expected_bytes,
            self.into,
            self.limits,
            self.output,
        );
        let watchdog = watchdog.as_ref();
        let overall = || {
            DownloadError::Http(HttpError::TimedOut {
                phase: Phase::Overall { bytes: body.bytes },
            })
        };
        match stored {
            // The end of the time looks like the end of a body whose length nothing tells.
            Ok(_) if watchdog.is_some_and(Watchdog::is_expired) => Err(overall()),
            Ok((checksum, bytes)) => Ok(Fetched::File(Download {
                checksum,
                bytes,
                validators,
                is_delimited,
            })),
            Err(StoreError::Read(error)) => Err(DownloadError::Http(self.failed(
                error.into(),
                None,
                watchdog,
                body.bytes,
            ))),
            Err(StoreError::Write(error)) => Err(DownloadError::Write(error)),
            Err(StoreError::TooLarge) => Err(DownloadError::TooLarge {
                limit: self.limits.download_bytes,
            }),
        }
    }

    fn failed(
        &self,
        error: ureq::Error,
        proxy: Option<&ProxyName>,
        watchdog: Option<&Watchdog>,
        bytes: u64,
    ) -> HttpError {
        if watchdog.is_some_and(Watchdog::is_expired) {
            return HttpError::TimedOut {
                phase: Phase::Overall { bytes },
            };
        }
        let named = authorities::named(self.network);
        error::classify(error, proxy, named.as_deref(), bytes)
    }

    fn agent(&self, url: &Url, proxy: Option<ProxyServer>) -> Result<Agent, HttpError> {
        let is_https_proxy = matches!(
            &proxy,
            Some(ProxyServer { kind: ProxyKind::Http { uri, .. }, .. }) if uri.scheme_str() == Some("https")
        );
        let authorities = if url.scheme() == "https" || is_https_proxy {
            self.authorities()?
        } else {
            Arc::default()
        };
        let socks = match &proxy {
            Some(ProxyServer {
                kind: ProxyKind::Socks(proxy),
                ..
            }) => Some(proxy.clone()),
            _ => None,
        };
        let left = self
            .deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        let limits = self.limits;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(socks)
            // The bytes are hashed and unpacked as they were published.
            .accept_encoding("identity")
            .user_agent(USER_AGENT)
            .timeout_global(Some(left))
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_send_request(Some(limits.first_byte))
            .timeout_recv_response(Some(limits.first_byte))
            .timeout_per_read(Some(limits.stall))
            .tls_config(
                TlsConfig::builder()
                    .root_certs(RootCerts::Specific(authorities))
                    .build(),
            )
            .build();
        let connector = ProxyConnector(proxy)
            .chain(TcpConnector::default())
            .chain(RustlsConnector::default());
        Ok(Agent::with_parts(
            config,
            connector,
            SystemResolver::default(),
        ))
    }

    /// The authorities, loaded once, and only where a request needs them.
    fn authorities(&self) -> Result<Arc<Vec<Certificate<'static>>>, HttpError> {
        if let Some(loaded) = self.authorities.get() {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(authorities::load(self.network)?);
        Ok(Arc::clone(self.authorities.get_or_init(|| loaded)))
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

fn is_conditional(known: &Validators) -> bool {
    *known != Validators::default()
}

/// Whether the server may refuse the validators of a request, and not the request itself.
fn may_be_about_validators(error: &HttpError) -> bool {
    match error {
        HttpError::Status {
            status,
            is_rate_limit,
            ..
        } => matches!(status, 400..=407 | 409..=428 | 430..=499) && !is_rate_limit,
        _ => false,
    }
}

/// What a response without the file says.
fn refusal(response: &Response<Body>, proxy: Option<ProxyName>) -> HttpError {
    let status = response.status().as_u16();
    match proxy {
        Some(proxy) if status == 407 => HttpError::Proxy {
            proxy,
            problem: ProxyProblem::Credentials,
        },
        proxy => HttpError::Status {
            status,
            retry_after: retry_after(response, SystemTime::now()),
            is_rate_limit: status == 403 && is_rate_limited(response),
            proxy,
        },
    }
}

/// Whether the headers of a response say that there were too many requests.
fn is_rate_limited(response: &Response<Body>) -> bool {
    const REMAINING: [&str; 3] = [
        "ratelimit-remaining",
        "x-ratelimit-remaining",
        "x-rate-limit-remaining",
    ];
    let headers = response.headers();
    headers.contains_key(header::RETRY_AFTER)
        || REMAINING
            .iter()
            .any(|name| headers.get(*name).is_some_and(|value| value == "0"))
}

/// Whether a body says by itself where it ends, as the library reads it.
fn is_chunked(response: &Response<Body>) -> bool {
    response.version() != Version::HTTP_10
        && response
            .headers()
            .get_all(header::TRANSFER_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
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

/// The user info as a header ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617.html)); of a server or a proxy.
fn basic_credentials(url: &Url) -> Option<String> {
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

#[cfg(test)]
mod tests;
