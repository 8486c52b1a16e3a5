//! The certificate authorities that servers are verified with.

use std::fs;
use std::io;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::Certificate;

use super::error::{AuthorityProblem, HttpError};
use crate::files::{self, Links};
use crate::network::Network;
use crate::redact::Redacted;

/// The maximum size of all certificate files together. A bundle of all public authorities has about
/// 250 KB.
const MAX_BYTES: u64 = 4 << 20;

/// The bundles of authorities of Linux distributions, as listed by
/// [Go](https://go.dev/src/crypto/x509/root_linux.go).
const SYSTEM_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Their directories with one file per authority.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// Loads the authorities that the user names, or by default those of the system.
pub(super) fn load(network: &Network) -> Result<Vec<Certificate<'static>>, HttpError> {
    let mut loader = Loader::default();
    let named = named(network);
    let exists = |path: &&Path| path.exists();
    if named.is_some() {
        if let Some(file) = &network.ca_file {
            loader.add_file(file);
        }
        for directory in &network.ca_directories {
            loader.add_directory(directory);
        }
    } else if let Some(bundle) = SYSTEM_FILES.map(Path::new).into_iter().find(exists) {
        loader.add_file(bundle);
    } else {
        for directory in SYSTEM_DIRECTORIES.map(Path::new).into_iter().filter(exists) {
            loader.add_directory(directory);
        }
    }
    loader.finish(named)
}

/// The variables that name authorities, with their values; `None` if none is set.
pub(super) fn named(network: &Network) -> Option<String> {
    let variables = [
        ("SSL_CERT_FILE", network.ca_file.as_slice()),
        ("SSL_CERT_DIR", &network.ca_directories),
    ];
    let set = variables.iter().filter(|(_, paths)| !paths.is_empty());
    let lines: Vec<_> = set
        .map(|(name, paths)| {
            let paths: Vec<_> = paths.iter().map(|path| shown(path).to_string()).collect();
            format!("{name}={}", paths.join(":"))
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A path as it may be shown: the variable may hold the URL of a proxy by mistake.
fn shown(path: &Path) -> Redacted {
    Redacted::text(&path.to_string_lossy())
}

#[derive(Default)]
struct Loader {
    certificates: Vec<CertificateDer<'static>>,
    bytes: u64,
    problems: Vec<AuthorityProblem>,
}

impl Loader {
    fn add_file(&mut self, path: &Path) {
        let read = self.read(path);
        let path = shown(path);
        match read {
            Ok(0) => self.problems.push(AuthorityProblem::Empty(path)),
            Ok(_) => {}
            Err(error) => self.problems.push(AuthorityProblem::Read { path, error }),
        }
    }

    fn add_directory(&mut self, path: &Path) {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                let path = shown(path);
                return self.problems.push(AuthorityProblem::Read { path, error });
            }
        };
        let mut found = 0;
        for entry in entries.flatten() {
            // Such a directory may contain other files.
            found += self.read(&entry.path()).unwrap_or_default();
        }
        if found == 0 {
            let path = shown(path);
            self.problems.push(AuthorityProblem::EmptyDirectory(path));
        }
    }

    /// Adds the certificates of a file; returns their number.
    fn read(&mut self, path: &Path) -> io::Result<usize> {
        let content = files::read_small(path, MAX_BYTES - self.bytes, Links::Follow)?;
        self.bytes += content.len() as u64;
        let before = self.certificates.len();
        self.certificates
            .extend(CertificateDer::pem_slice_iter(&content).flatten());
        Ok(self.certificates.len() - before)
    }

    fn finish(mut self, named: Option<String>) -> Result<Vec<Certificate<'static>>, HttpError> {
        // The files of a directory have several names each.
        self.certificates
            .sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        self.certificates.dedup();
        let mut store = RootCertStore::empty();
        let certificates = self.certificates.iter().cloned();
        let (usable, damaged) = store.add_parsable_certificates(certificates);
        if usable > 0 {
            return Ok(self
                .certificates
                .iter()
                .map(|certificate| Certificate::from_der(certificate).to_owned())
                .collect());
        }
        if damaged > 0 {
            self.problems.push(AuthorityProblem::Damaged);
        }
        Err(HttpError::NoAuthorities {
            named,
            problems: self.problems,
        })
    }
}
