//! Connections through a proxy, whose errors differ from those of the server.

use std::fmt;
use std::io::{Read, Write};

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, RustlsConnector, SocksConnector,
    TcpConnector, Transport, TransportAdapter,
};
use ureq::{Error, config::Config};

use super::proxy::{ProxyKind, ProxyServer};

/// The name of this client.
pub(super) const USER_AGENT: &str = concat!("backplane-buildpack/", env!("CARGO_PKG_VERSION"));

/// The longest response to a CONNECT request, in bytes.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;

/// Errors that can occur before a connection through a proxy is established.
#[derive(Debug)]
pub(super) enum ProxyFailure {
    /// The connection to the proxy failed.
    Library(Error),
    /// The TLS handshake with the proxy failed.
    Handshake(Error),
    /// It responded with this status.
    Status(u16),
    /// It responded with something other than HTTP.
    NotHttp,
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the proxy cannot be used")
    }
}

impl std::error::Error for ProxyFailure {}

impl From<Error> for ProxyFailure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<std::io::Error> for ProxyFailure {
    fn from(error: std::io::Error) -> Self {
        // The library wraps its own errors in those, and unwraps them.
        Self::Library(error.into())
    }
}

/// Connects to a server through a proxy, if there is one. Otherwise, leaves it to the next
/// connector.
#[derive(Debug)]
pub(super) struct ProxyConnector(pub(super) Option<ProxyServer>);

impl Connector for ProxyConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(proxy) = &self.0 else {
            return Ok(None);
        };
        match &proxy.kind {
            ProxyKind::Http { uri, credentials } => {
                through_http(details, uri, credentials.as_deref())
            }
            // The library reads the proxy from its configuration.
            ProxyKind::Socks(_) => SocksConnector::default()
                .connect(details, None::<()>)
                .map_err(ProxyFailure::Library)
                .and_then(boxed),
        }
        .map(Some)
        .map_err(|failure| Error::Other(Box::new(failure)))
    }
}

fn boxed(transport: Option<impl Transport>) -> Result<Box<dyn Transport>, ProxyFailure> {
    match transport {
        Some(transport) => Ok(Box::new(transport)),
        None => Err(Error::ConnectionFailed.into()),
    }
}

fn through_http(
    details: &ConnectionDetails<'_>,
    uri: &Uri,
    credentials: Option<&str>,
) -> Result<Box<dyn Transport>, ProxyFailure> {
    let to_proxy = ConnectionDetails {
        uri,
        addrs: details
            .resolver
            .resolve(uri, details.config, details.timeout)?,
        config: details.config,
        request_level: details.request_level,
        resolver: details.resolver,
        now: details.now,
        timeout: details.timeout,
        current_time: details.current_time.clone(),
        run_connector: details.run_connector.clone(),
        register_shutdown: details.register_shutdown.clone(),
    };
    let tcp = TcpConnector::default().connect(&to_proxy, None::<()>)?;
    // It adds TLS if the scheme of the proxy is https.
    let transport = RustlsConnector::default()
        .connect(&to_proxy, tcp)
        .map_err(ProxyFailure::Handshake)
        .and_then(boxed)?;
    if details.needs_tls() {
        tunnel(details, transport, credentials)
    } else {
        Ok(Box::new(Forwarded {
            proxy: transport,
            origin: Some(origin(details.uri)),
        }))
    }
}

/// What an absolute URL has before its path.
fn origin(uri: &Uri) -> Vec<u8> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("http://{authority}").into_bytes()
}

/// A connection to a proxy that takes a request with an absolute URL ([RFC 9112, section
/// 3.2.2](https://www.rfc-editor.org/rfc/rfc9112.html#section-3.2.2)), which the library does not
/// write.
#[derive(Debug)]
struct Forwarded {
    proxy: Box<dyn Transport>,
    /// What is still to be written before the path of the request.
    origin: Option<Vec<u8>>,
}

impl Transport for Forwarded {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.proxy.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        const METHOD: &[u8] = b"GET ";

        let Some(origin) = self.origin.take() else {
            return self.proxy.transmit_output(amount, timeout);
        };
        let output = self.proxy.buffers().output();
        let size = output.len();
        let rest = output[..amount].strip_prefix(METHOD).unwrap_or_default();
        let request = [METHOD, &origin, rest].concat();
        for piece in request.chunks(size) {
            self.proxy.buffers().output()[..piece.len()].copy_from_slice(piece);
            self.proxy.transmit_output(piece.len(), timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.proxy.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        // For one request only.
        false
    }
}

/// A connection to a server by way of a proxy's CONNECT.
#[derive(Debug)]
struct Tunnel(Box<dyn Transport>);

impl Transport for Tunnel {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    // TLS to the proxy is not TLS to the server: the default of `is_tls` holds.
}

/// Asks a proxy for a tunnel to the server.
fn tunnel(
    details: &ConnectionDetails<'_>,
    transport: Box<dyn Transport>,
    credentials: Option<&str>,
) -> Result<Box<dyn Transport>, ProxyFailure> {
    let mut stream = TransportAdapter::new(transport, details.current_time.clone());
    // From here on, the adapter subtracts the time that reads and writes take.
    stream.set_timeout(details.timeout);
    let host = details.uri.host().unwrap_or_default();
    let port = details.uri.port_u16().unwrap_or(443);
    let mut request = format!(
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {USER_AGENT}\r\n"
    );
    if let Some(credentials) = credentials {
        request.push_str("Proxy-Authorization: ");
        request.push_str(credentials);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    // Byte by byte (the transport buffers them), because what follows is from the server.
    while !response.ends_with(b"\r\n\r\n") && !response.ends_with(b"\n\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        response.extend(byte);
        if response.len() > MAX_RESPONSE_BYTES || !is_http(&response) {
            return Err(ProxyFailure::NotHttp);
        }
    }
    match status(&response) {
        Some(200..=299) => Ok(Box::new(Tunnel(stream.into_inner()))),
        Some(status) => Err(ProxyFailure::Status(status)),
        None => Err(ProxyFailure::NotHttp),
    }
}

/// Whether the part of a response that has arrived is HTTP.
fn is_http(response: &[u8]) -> bool {
    const VERSION: &[u8] = b"HTTP/1.";
    let length = response.len().min(VERSION.len());
    response[..length] == VERSION[..length]
}

fn status(response: &[u8]) -> Option<u16> {
    let line = response.split(|byte| *byte == b'\n').next()?;
    let digits = line.split(|byte| *byte == b' ').nth(1)?;
    str::from_utf8(digits).ok()?.trim_end().parse().ok()
}

/// The system's resolver, with a distinct error for names that don't resolve.
#[derive(Debug, Default)]
pub(super) struct SystemResolver(DefaultResolver);

impl Resolver for SystemResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.0.resolve(uri, config, timeout).map_err(|error| {
            match error {
                // Errors of the C library's resolver itself have no error number of the system.
                Error::Io(error) if error.raw_os_error().is_none() => Error::HostNotFound,
                other => other,
            }
        })?;
        // A SOCKS proxy gets only the first address, and may lack IPv6.
        if config.proxy().is_some() {
            addresses.sort_by_key(std::net::SocketAddr::is_ipv6);
        }
        Ok(addresses)
    }
}
