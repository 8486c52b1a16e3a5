//! Downloads over real sockets, from a server that misbehaves on demand.

mod files;
mod proxies;
mod redirects;
mod retries;
mod timeouts;
mod tls;

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::net::TcpListener;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use harness::release_server::{Answer, Authority, ReleaseServer};
use tempfile::TempDir;

use super::*;
use crate::checksum::Checksum;
use crate::network::ProxyVariable;

const CONTENT: &[u8] = b"the content of a release archive, or so one may think";

fn quick() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(10),
        response_timeout: Duration::from_millis(300),
        read_timeout: Duration::from_millis(300),
        total_timeout: Duration::from_secs(20),
        min_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(20),
        ..Limits::default()
    }
}

/// A download into a temporary directory.
struct Attempt {
    directory: TempDir,
    outcome: Result<Option<Download>, FetchError>,
    events: String,
}

impl Attempt {
    fn new(url: &str) -> Self {
        Self::over(url, &Network::default())
    }

    fn over(url: &str, network: &Network) -> Self {
        Self::within(url, network, &quick())
    }

    fn within(url: &str, network: &Network, limits: &Limits) -> Self {
        Self::with(url, &Validators::default(), network, limits)
    }

    fn with(url: &str, known: &Validators, network: &Network, limits: &Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let events = RefCell::<Vec<String>>::default();
        let outcome = fetch(
            &Url::parse(url).unwrap(),
            known,
            &directory.path().join("download"),
            network,
            limits,
            &|event| events.borrow_mut().push(format!("{event:?}")),
        );
        Self {
            directory,
            outcome,
            events: events.into_inner().join("\n"),
        }
    }

    fn retries(&self) -> usize {
        self.events.matches("Retrying {").count()
    }

    #[track_caller]
    fn assert_fetched(self) -> Download {
        let Ok(Some(download)) = self.outcome else {
            panic!("{:?}\n{}", self.outcome, self.events);
        };
        assert_eq!(download.checksum, Checksum::of_bytes(CONTENT));
        let stored = fs_err::read(self.directory.path().join("download")).unwrap();
        assert_eq!(stored, CONTENT);
        download
    }

    /// The download must fail after this number of retries, with an error whose debug form starts
    /// with `expected`.
    #[track_caller]
    fn assert_failed(self, retries: usize, expected: &str) {
        assert_eq!(self.retries(), retries, "{}", self.events);
        let error = format!("{:?}", self.error());
        assert!(error.starts_with(expected), "{error}");
    }

    #[track_caller]
    fn error(self) -> HttpError {
        match self.outcome {
            Err(FetchError::Http(error)) => error,
            other => panic!("{other:?}\n{}", self.events),
        }
    }
}

fn content() -> Answer {
    Answer::File(CONTENT.to_vec())
}

/// A network that trusts `authority`, and the directory of its certificate.
fn trusting(authority: &Authority) -> (TempDir, Network) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    fs_err::write(&file, authority.pem()).unwrap();
    let network = Network {
        ca_file: Some(file),
        ..Network::default()
    };
    (directory, network)
}

/// The same network with a proxy, for both schemes.
pub(super) fn through(network: &Network, proxy: &str) -> Network {
    let variable = |name| {
        Some(ProxyVariable {
            name,
            value: proxy.into(),
        })
    };
    Network {
        https_proxy: variable("https_proxy"),
        http_proxy: variable("ALL_PROXY"),
        ..network.clone()
    }
}

pub(super) fn basic(pair: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

/// An address at which no server listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The address of a server that responds without TLS, as nginx and squid do.
fn without_tls() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    });
    address
}
