//! Certificate authorities, to verify servers with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::Certificate;

use super::error::{AuthorityProblem, HttpError};
use crate::files::{self, Links};
use crate::network::Network;
use crate::redact::Redacted;

/// The size of all certificate files together. A bundle of all public authorities has a quarter of
/// a million bytes.
const MOST_BYTES: u64 = 4 << 20;

/// Where Linux distributions keep a bundle of their authorities (those that
/// [Go](https://go.dev/src/crypto/x509/root_linux.go) knows).
const SYSTEM_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where they keep one file per authority.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// Loads the authorities that the user names, or by default those of the system.
pub(super) fn load(network: &Network) -> Result<Vec<Certificate<'static>>, HttpError> {
    let mut loader = Loader::default();
    if network.ca_file.is_some() || !network.ca_directories.is_empty() {
        if let Some(file) = &network.ca_file {
            loader.add_file(file);
        }
        for directory in &network.ca_directories {
            loader.add_directory(directory);
        }
    } else {
        let bundle = SYSTEM_FILES.iter().find(|path| Path::new(path).exists());
        match bundle {
            Some(path) => loader.add_file(Path::new(path)),
            None => SYSTEM_DIRECTORIES
                .iter()
                .map(Path::new)
                .filter(|path| path.exists())
                .for_each(|path| loader.add_directory(path)),
        }
    }
    loader.finish(named(network))
}

/// The variables that name authorities, with their values; `None` if none is set.
pub(super) fn named(network: &Network) -> Option<String> {
    let name = |variable: &str, paths: &[&Path]| {
        let paths: Vec<_> = paths.iter().map(|path| shown(path).to_string()).collect();
        (!paths.is_empty()).then(|| format!("{variable}={}", paths.join(":")))
    };
    let file: Vec<&Path> = network.ca_file.iter().map(PathBuf::as_path).collect();
    let directories: Vec<&Path> = network
        .ca_directories
        .iter()
        .map(PathBuf::as_path)
        .collect();
    let variables: Vec<_> = [
        name("SSL_CERT_FILE", &file),
        name("SSL_CERT_DIR", &directories),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!variables.is_empty()).then(|| variables.join("\n"))
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
            Ok(0) => self.problems.push(AuthorityProblem::Empty { path }),
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
            self.problems
                .push(AuthorityProblem::EmptyDirectory { path });
        }
    }

    /// Adds the certificates of a file; the result is their number.
    fn read(&mut self, path: &Path) -> io::Result<usize> {
        let content = files::read_small(path, MOST_BYTES - self.bytes, Links::Follow)?;
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
