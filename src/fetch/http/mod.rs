//! A client for one file of a web server, with conditional requests, retries and a total timeout.

mod authorities;
mod classify;
mod connector;
mod credentials;
pub(super) mod error;
mod no_proxy;
mod proxy;
mod redirect;
mod response;

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use ureq::http::{Response, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector as _, RustlsConnector, TcpConnector};
use ureq::{Agent, Body};
use url::Url;

use self::connector::{ProxyConnector, SystemResolver, USER_AGENT};
use self::credentials::basic_credentials;
pub(crate) use self::error::{
    AuthorityProblem, HttpError, Phase, ProtocolProblem, ProxyName, ProxyProblem, TlsProblem,
};
use self::proxy::{ProxyKind, ProxyServer};
use super::download::{Download, Validators};
use super::error::FetchError;
use super::event::{Event, OnEvent};
use super::store;
use crate::limits::Limits;
use crate::network::Network;
use crate::redact::without_user_info;

/// Fetches `url` into the file `into`, and retries if that can help. Returns `None` if the server
/// still has the version of the `known` validators.
pub(super) fn fetch(
    url: &Url,
    known: &Validators,
    into: &Path,
    network: &Network,
    limits: &Limits,
    on_event: OnEvent<'_>,
) -> Result<Option<Download>, FetchError> {
    let client = Client {
        source: url,
        into,
        network,
        limits,
        on_event,
        deadline: Instant::now() + limits.total_timeout,
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
    on_event: OnEvent<'a>,
    deadline: Instant,
    authorities: OnceCell<Arc<Vec<Certificate<'static>>>>,
}

impl Client<'_> {
    fn fetch(&self, mut known: Validators) -> Result<Option<Download>, FetchError> {
        let max_backoff = self.limits.max_backoff;
        let mut delays = ExponentialBuilder::new()
            .with_min_delay(self.limits.min_backoff)
            .with_max_delay(max_backoff)
            .with_max_times(self.limits.max_attempts.saturating_sub(1))
            .with_jitter()
            .build();
        loop {
            let error = match self.attempt(&known) {
                Err(FetchError::Http(error)) => error,
                outcome => return outcome,
            };
            if !known.is_empty() && may_be_about_validators(&error) {
                (self.on_event)(Event::RetryingUnconditionally { error: &error });
                known = Validators::default();
                continue;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            let delay = match delays.next() {
                Some(delay) if error.is_transient(max_backoff) && !left.is_zero() => {
                    let delay = error.retry_after().unwrap_or(delay);
                    delay.min(max_backoff).min(left)
                }
                _ => return Err(error.into()),
            };
            (self.on_event)(Event::Retrying {
                error: &error,
                delay,
            });
            thread::sleep(delay);
        }
    }

    /// Requests the file once, and follows redirects.
    fn attempt(&self, known: &Validators) -> Result<Option<Download>, FetchError> {
        let mut url = self.source.clone();
        for _ in 0..=self.limits.max_redirects {
            let (response, proxy) = self.request(&url, known)?;
            // The body of a redirect is not read: it may be endless.
            match redirect::location(&response) {
                Some(location) => url = redirect::target(self.source, &url, location)?,
                None => return self.receive(response, proxy, known),
            }
        }
        let limit = self.limits.max_redirects;
        Err(HttpError::TooManyRedirects { limit }.into())
    }

    /// Sends one request. Returns the response, and the proxy that may have sent it instead of the
    /// server.
    fn request(
        &self,
        url: &Url,
        known: &Validators,
    ) -> Result<(Response<Body>, Option<ProxyName>), HttpError> {
        let proxy = proxy::choose(url, self.network)?;
        let name = proxy.as_ref().map(|proxy| proxy.name.clone());
        // An HTTP proxy receives requests for http URLs, and may respond to them itself.
        let (responding, credentials) = match &proxy {
            Some(ProxyServer {
                name,
                kind: ProxyKind::Http { credentials, .. },
            }) if url.scheme() == "http" => (Some(name.clone()), credentials.clone()),
            _ => (None, None),
        };
        let agent = self.agent(url, proxy)?;
        // User info travels in a header.
        let mut request = agent.get(without_user_info(url).as_str());
        for (name, value) in [
            (header::AUTHORIZATION, basic_credentials(url)),
            (header::PROXY_AUTHORIZATION, credentials),
            (header::IF_NONE_MATCH, known.etag.clone()),
            (header::IF_MODIFIED_SINCE, known.last_modified.clone()),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        match request.call() {
            Ok(response) => Ok((response, responding)),
            Err(error) => Err(self.failed(error, name.as_ref(), 0)),
        }
    }

    /// Stores the body of a response with the file.
    fn receive(
        &self,
        response: Response<Body>,
        proxy: Option<ProxyName>,
        known: &Validators,
    ) -> Result<Option<Download>, FetchError> {
        match response.status().as_u16() {
            200 => {}
            304 if !known.is_empty() => return Ok(None),
            _ => return Err(response::refusal(&response, proxy).into()),
        }
        let validators = response::validators(&response);
        let expected_bytes = response.body().content_length();
        let is_delimited = expected_bytes.is_some() || response::is_chunked(&response);
        let (checksum, bytes) = store::store(
            response.into_body().into_reader(),
            expected_bytes,
            self.into,
            self.limits,
            self.on_event,
            |error, bytes| self.failed(error.into(), None, bytes).into(),
        )?;
        Ok(Some(Download {
            checksum,
            bytes,
            validators,
            is_delimited,
        }))
    }

    fn failed(&self, error: ureq::Error, proxy: Option<&ProxyName>, bytes: u64) -> HttpError {
        classify::classify(error, proxy, authorities::named(self.network), bytes)
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
            .timeout_resolve(Some(limits.connect_timeout))
            .timeout_connect(Some(limits.connect_timeout))
            .timeout_send_request(Some(limits.response_timeout))
            .timeout_recv_response(Some(limits.response_timeout))
            .timeout_per_read(Some(limits.read_timeout))
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

    /// The authorities, loaded once, and only if a request needs them.
    fn authorities(&self) -> Result<Arc<Vec<Certificate<'static>>>, HttpError> {
        if let Some(loaded) = self.authorities.get() {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(authorities::load(self.network)?);
        Ok(Arc::clone(self.authorities.get_or_init(|| loaded)))
    }
}

/// Whether the server may refuse the validators of a request rather than the request itself.
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

#[cfg(test)]
mod tests;
