//! Authorities and certificates.

use harness::release_server::Flaw;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

#[test]
fn private_authority_is_trusted_only_if_it_is_named() {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [content()]);
    let (_directory, network) = trusting(&authority);
    Attempt::over(&server.url("/"), &network).assert_fetched();

    let (_directory, stranger) = trusting(&Authority::new());
    // No retry: another attempt would get the same certificate.
    let expected = "Tls { problem: UnknownAuthority,";
    Attempt::over(&server.url("/"), &stranger).assert_failed(0, expected);
    let proxy = ReleaseServer::http([Answer::Proxy]);
    let network = through(&stranger, &proxy.url(""));
    Attempt::over(&server.url("/"), &network).assert_failed(0, expected);
}

#[test]
fn problem_of_a_certificate_is_classified() {
    let authority = Authority::new();
    let (_directory, network) = trusting(&authority);
    for (flaw, expected) in [
        (Flaw::Expired, TlsProblem::Expired),
        (Flaw::NotYetValid, TlsProblem::NotYetValid),
        (Flaw::WrongName, TlsProblem::WrongName),
        (Flaw::Authority, TlsProblem::Unsuitable),
    ] {
        let server = ReleaseServer::https_with(&authority, flaw, [Answer::status(200)]);
        let expected = format!("Tls {{ problem: {expected:?},");
        Attempt::over(&server.url("/"), &network).assert_failed(0, &expected);
    }
    let attempt = Attempt::over(&format!("https://{}/", without_tls()), &network);
    let named = format!("SSL_CERT_FILE={}", network.ca_file.unwrap().display());
    let expected = format!("Tls {{ problem: NoTls, named: Some({named:?}) }}");
    attempt.assert_failed(0, &expected);
}

#[test]
fn authorities_may_be_in_directories_and_only_in_regular_files() {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [content()]);
    let (directory, _) = trusting(&authority);
    let [empty, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let path = |name| other.path().join(name);
    mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs_err::write(path("text"), "no certificate").unwrap();
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs_err::write(path("damaged"), damaged).unwrap();
    let large = fs_err::File::create(path("large")).unwrap();
    large.set_len(1 << 40).unwrap();
    let directories = [empty.path(), other.path(), directory.path()].map(Path::to_owned);
    let network = Network {
        ca_directories: directories.to_vec(),
        ..Network::default()
    };
    Attempt::over(&server.url("/"), &network).assert_fetched();
    for (file, expected) in [
        (path("fifo"), "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (empty.path().to_owned(), "not a regular file"),
        (path("missing"), "NotFound"),
        (path("text"), "Empty"),
        (path("damaged"), "Damaged"),
        (path("large"), "longer than"),
        // The URL of a proxy by mistake.
        ("https://user:s3cret@proxy".into(), "https://***@proxy"),
    ] {
        let network = Network {
            ca_file: Some(file.clone()),
            ..Network::default()
        };
        let error = Attempt::over(&server.url("/"), &network).error();
        let HttpError::NoAuthorities { named, problems } = error else {
            panic!("{error:?}");
        };
        let shown = file.display().to_string().replace("user:s3cret", "***");
        assert_eq!(named, Some(format!("SSL_CERT_FILE={shown}")));
        let problems = format!("{problems:?}");
        assert!(problems.contains(expected), "{problems}");
        assert!(!problems.contains("s3cret"), "{problems}");
        // Without TLS no authority is needed.
        let plain = ReleaseServer::http([content()]);
        Attempt::over(&plain.url("/"), &network).assert_fetched();
    }
}
