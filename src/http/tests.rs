//! Downloads over real sockets from a server that misbehaves on demand.

use std::io::Write as _;
use std::time::Instant;

use super::*;
use crate::checksum::Checksum;
use crate::output::Recorded;
use crate::settings::ProxyVariable;
use backplane_test_server::{Answer, Authority, Flaw, ReleaseServer, SocksServer};
use tempfile::TempDir;

const CONTENT: &[u8] = b"the content of a release archive, or so one may think";

fn quick() -> Limits {
    Limits {
        connect: Duration::from_secs(10),
        first_byte: Duration::from_millis(300),
        stall: Duration::from_millis(300),
        overall: Duration::from_secs(20),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(20),
        ..Limits::default()
    }
}

/// A download into a folder of its own.
struct Attempt {
    folder: TempDir,
    outcome: Result<Fetched, DownloadError>,
    said: String,
}

impl Attempt {
    fn new(url: &str) -> Self {
        Self::with(url, &Validators::default(), &Network::default(), &quick())
    }

    fn with(url: &str, known: &Validators, network: &Network, limits: &Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = Recorded::default();
        let outcome = fetch(
            &Url::parse(url).unwrap(),
            known,
            &folder.path().join("download"),
            network,
            limits,
            &output,
        );
        Self {
            folder,
            outcome,
            said: output.lines().join("\n"),
        }
    }

    #[track_caller]
    fn assert_fetched(&self, content: &[u8]) {
        let Ok(Fetched::File(download)) = &self.outcome else {
            panic!("{:?}\n{}", self.outcome, self.said);
        };
        assert_eq!(download.checksum, Checksum::of_bytes(content));
        let stored = fs_err::read(self.folder.path().join("download")).unwrap();
        assert_eq!(stored, content);
    }

    /// Sees that the time was over before any of the file had come.
    #[track_caller]
    fn assert_out_of_time(self) {
        let error = self.error();
        let HttpError::TimedOut {
            phase: Phase::Overall { bytes: 0 },
        } = error
        else {
            panic!("{error:?}");
        };
    }

    #[track_caller]
    fn error(self) -> HttpError {
        match self.outcome {
            Err(DownloadError::Http(error)) => error,
            other => panic!("{other:?}\n{}", self.said),
        }
    }
}

/// A client that trusts the authority, and the file that makes it so.
fn trusting(authority: &Authority) -> (TempDir, Network) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs_err::write(&file, authority.pem()).unwrap();
    let network = Network {
        ca_file: Some(file),
        ..Network::default()
    };
    (folder, network)
}

#[test]
fn file_is_fetched_with_its_validators() {
    let server = ReleaseServer::http([Answer::File(CONTENT.to_vec())]);
    let attempt = Attempt::new(&server.url("/agent.tgz?key=1"));
    attempt.assert_fetched(CONTENT);
    let Ok(Fetched::File(download)) = &attempt.outcome else {
        panic!("{:?}", attempt.outcome);
    };
    assert_eq!(
        download.validators.etag,
        Some(backplane_test_server::etag(CONTENT))
    );
    let requests = server.take_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "GET /agent.tgz?key=1 HTTP/1.1");
    assert_eq!(requests[0].header("Accept-Encoding"), Some("identity"));
}

#[test]
fn known_version_is_not_sent_again() {
    let server = ReleaseServer::http([Answer::File(CONTENT.to_vec())]);
    let known = Validators {
        etag: Some(backplane_test_server::etag(CONTENT)),
        last_modified: Some("Wed, 21 Oct 2015 07:28:00 GMT".to_owned()),
    };
    let attempt = Attempt::with(&server.url("/"), &known, &Network::default(), &quick());
    assert_eq!(attempt.outcome.unwrap(), Fetched::NotModified);
    let requests = server.take_requests();
    assert_eq!(requests[0].header("If-None-Match"), known.etag.as_deref());
    assert_eq!(
        requests[0].header("If-Modified-Since"),
        known.last_modified.as_deref()
    );
}

#[test]
fn not_modified_is_no_answer_to_an_unconditional_request() {
    let server = ReleaseServer::http([Answer::status(304)]);
    assert!(matches!(
        Attempt::new(&server.url("/")).error(),
        HttpError::Status { status: 304, .. }
    ));
}

#[test]
fn chunks_are_joined() {
    let server = ReleaseServer::http([Answer::chunked(CONTENT)]);
    Attempt::new(&server.url("/")).assert_fetched(CONTENT);
}

#[test]
fn what_may_pass_is_tried_four_times() {
    for status in [408, 429, 500, 502, 503] {
        let server = ReleaseServer::http([Answer::status(status)]);
        let attempt = Attempt::new(&server.url("/"));
        assert_eq!(server.take_requests().len(), 4, "{status}");
        assert_eq!(attempt.said.matches("Trying again").count(), 3);
        assert!(attempt.said.contains(&format!("status {status}")));
        assert!(matches!(
            attempt.error(),
            HttpError::Status { status: last, .. } if last == status
        ));
    }
}

#[test]
fn what_will_not_pass_is_tried_once() {
    for status in [400, 401, 403, 404, 410] {
        let server = ReleaseServer::http([Answer::status(status)]);
        let attempt = Attempt::new(&server.url("/"));
        assert_eq!(server.take_requests().len(), 1, "{status}");
        assert!(matches!(
            attempt.error(),
            HttpError::Status { status: last, .. } if last == status
        ));
    }
}

#[test]
fn later_try_starts_the_file_anew() {
    let cut_chunk =
        Answer::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf".to_vec());
    for trouble in [
        Answer::cut(CONTENT),
        cut_chunk,
        Answer::Raw(Vec::new()),
        Answer::Raw(b"no http at all\r\n\r\n".to_vec()),
        Answer::status(503),
        Answer::Stall(Vec::new()),
        Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()),
    ] {
        let shown = format!("{trouble:?}");
        let server = ReleaseServer::http([trouble, Answer::File(CONTENT.to_vec())]);
        let attempt = Attempt::new(&server.url("/"));
        attempt.assert_fetched(CONTENT);
        assert_eq!(server.take_requests().len(), 2, "{shown}");
    }
}

#[test]
fn refused_connection_is_tried_again_and_named() {
    let attempt = Attempt::new(&format!("http://{}/", nowhere()));
    assert_eq!(attempt.said.matches("Trying again").count(), 3);
    assert!(matches!(
        attempt.error(),
        HttpError::Connection { reason } if reason.contains("refused")
    ));
}

#[test]
fn silence_is_told_by_when_it_comes() {
    let one_try = Limits {
        tries: 1,
        ..quick()
    };
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec();
    for (answer, expected) in [
        (Answer::Stall(Vec::new()), Phase::FirstByte),
        (Answer::Stall(half), Phase::Stall),
    ] {
        let server = ReleaseServer::http([answer]);
        let attempt = Attempt::with(
            &server.url("/"),
            &Validators::default(),
            &Network::default(),
            &one_try,
        );
        let error = attempt.error();
        assert!(
            matches!(error, HttpError::TimedOut { phase } if phase == expected),
            "{error:?}"
        );
    }
}

#[test]
fn whole_download_is_bounded_over_all_tries() {
    let server = ReleaseServer::http([Answer::status(503).header("Retry-After", "3600")]);
    let limits = Limits {
        overall: Duration::from_millis(500),
        longest_pause: Duration::from_millis(200),
        tries: 1000,
        ..quick()
    };
    let start = Instant::now();
    let attempt = Attempt::with(
        &server.url("/"),
        &Validators::default(),
        &Network::default(),
        &limits,
    );
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(attempt.outcome.is_err());
    assert!((2..=5).contains(&server.take_requests().len()));
}

#[test]
fn retry_after_is_honoured_in_both_forms_but_bounded() {
    let in_an_hour = SystemTime::now() + Duration::from_hours(1);
    for value in ["3600".to_owned(), httpdate::fmt_http_date(in_an_hour)] {
        let server = ReleaseServer::http([
            Answer::status(429).header("Retry-After", &value),
            Answer::File(CONTENT.to_vec()),
        ]);
        let attempt = Attempt::with(
            &server.url("/"),
            &Validators::default(),
            &Network::default(),
            &Limits {
                longest_pause: Duration::from_millis(600),
                ..quick()
            },
        );
        attempt.assert_fetched(CONTENT);
        assert!(
            attempt.said.contains("Trying again in 0.6 s"),
            "{value}: {}",
            attempt.said
        );
    }
}

#[test]
fn five_redirects_are_followed_and_a_sixth_is_not() {
    let target = ReleaseServer::http([Answer::File(CONTENT.to_vec())]);
    let onward = || Answer::redirect(&target.url("/moved"));
    // Each to the next, relative, and the last to another server.
    let mut answers = vec![Answer::redirect("/next"); 4];
    answers.push(onward());
    let server = ReleaseServer::http(answers);
    Attempt::new(&server.url("/")).assert_fetched(CONTENT);

    let mut answers = vec![Answer::redirect("/next"); 5];
    answers.push(onward());
    server.will_answer(answers);
    assert!(matches!(
        Attempt::new(&server.url("/")).error(),
        HttpError::TooManyRedirects { limit: 5 }
    ));
}

#[test]
fn redirect_never_leaves_https() {
    let plain = ReleaseServer::http([Answer::File(CONTENT.to_vec())]);
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::redirect(&plain.url("/?key=secret"))]);
    let (_folder, network) = trusting(&authority);
    let attempt = Attempt::with(&server.url("/"), &Validators::default(), &network, &quick());
    assert!(matches!(attempt.error(), HttpError::InsecureRedirect));
    assert!(plain.take_requests().is_empty());
}

#[test]
fn credentials_are_sent_to_their_host_only() {
    let other = ReleaseServer::http([Answer::File(CONTENT.to_vec())]);
    let server = ReleaseServer::http([Answer::redirect(&other.url("/"))]);
    let url = format!("http://user:secret@{}/", server.authority());
    let attempt = Attempt::new(&url);
    attempt.assert_fetched(CONTENT);
    let expected = format!("Basic {}", BASE64_STANDARD.encode("user:secret"));
    let requests = server.take_requests();
    assert_eq!(requests[0].header("Authorization"), Some(expected.as_str()));
    assert_eq!(other.take_requests()[0].header("Authorization"), None);
}

#[test]
fn private_authority_is_trusted_only_where_it_is_named() {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::File(CONTENT.to_vec())]);
    let (_folder, network) = trusting(&authority);
    let url = server.url("/");
    let unknown = Validators::default();
    Attempt::with(&url, &unknown, &network, &quick()).assert_fetched(CONTENT);

    let (_folder, stranger) = trusting(&Authority::new());
    let attempt = Attempt::with(&url, &unknown, &stranger, &quick());
    // Not tried again: the certificate will not be another one.
    assert!(!attempt.said.contains("Trying again"), "{}", attempt.said);
    assert!(matches!(attempt.error(), HttpError::Tls { .. }));
}

#[test]
fn no_authority_at_all_is_an_error_of_its_own() {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::File(CONTENT.to_vec())]);
    let network = Network {
        ca_file: Some("/nowhere/ca.pem".into()),
        ..Network::default()
    };
    let attempt = Attempt::with(&server.url("/"), &Validators::default(), &network, &quick());
    assert!(matches!(
        attempt.error(),
        HttpError::NoAuthorities { reasons, .. } if reasons[0].contains("/nowhere/ca.pem")
    ));
    // Who does not need one does not miss it.
    let plain = ReleaseServer::http([Answer::File(CONTENT.to_vec())]);
    let attempt = Attempt::with(&plain.url("/"), &Validators::default(), &network, &quick());
    attempt.assert_fetched(CONTENT);
}

/// The same network by way of a proxy, for both schemes.
fn through(network: &Network, proxy: &str) -> Network {
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

fn download(url: &str, network: &Network) -> Attempt {
    Attempt::with(url, &Validators::default(), network, &quick())
}

/// A server without and one with TLS.
fn two_servers(authority: &Authority) -> [ReleaseServer; 2] {
    let content = || [Answer::File(CONTENT.to_vec())];
    [
        ReleaseServer::http(content()),
        ReleaseServer::https(authority, content()),
    ]
}

#[test]
fn http_proxy_is_asked_in_the_form_of_the_scheme_with_its_credentials() {
    let authority = Authority::new();
    let (_folder, network) = trusting(&authority);
    let credentials = format!("Basic {}", BASE64_STANDARD.encode("user:s3cret"));
    for proxy in [
        ReleaseServer::http([Answer::Proxy]),
        ReleaseServer::https(&authority, [Answer::Proxy]),
    ] {
        let url = proxy.url("").replace("://", "://user:s3cret@");
        let network = through(&network, &url);
        for server in two_servers(&authority) {
            download(&server.url("/a?key=1"), &network).assert_fetched(CONTENT);
            let request = &proxy.take_requests()[0];
            let is_plain = server.url("").starts_with("http:");
            let expected = if is_plain {
                format!("GET {} HTTP/1.1", server.url("/a?key=1"))
            } else {
                format!("CONNECT {} HTTP/1.1", server.authority())
            };
            assert_eq!(request.line, expected);
            let authority = server.authority();
            assert_eq!(request.header("Host"), Some(authority.as_str()));
            let given = request.header("Proxy-Authorization");
            assert_eq!(given, Some(credentials.as_str()));
            if !is_plain {
                // The proxy's credentials are not for the server.
                let request = &server.take_requests()[0];
                assert_eq!(request.header("Proxy-Authorization"), None);
            }
        }
        let around = Network {
            no_proxy: "127.0.0.0/8 localhost".to_owned(),
            ..network
        };
        for server in two_servers(&authority) {
            download(&server.url("/"), &around).assert_fetched(CONTENT);
        }
        assert!(proxy.take_requests().is_empty());
    }
}

#[test]
fn redirect_chooses_its_proxy_anew() {
    let authority = Authority::new();
    let (_folder, network) = trusting(&authority);
    let target = ReleaseServer::https(&authority, [Answer::File(CONTENT.to_vec())]);
    let server = ReleaseServer::http([Answer::redirect(&target.url("/moved"))]);
    let [plain, secure] = [(); 2].map(|()| ReleaseServer::http([Answer::Proxy]));
    let network = Network {
        http_proxy: through(&network, &plain.url("")).http_proxy,
        ..through(&network, &secure.url(""))
    };
    download(&server.url("/"), &network).assert_fetched(CONTENT);
    let lines = |proxy: &ReleaseServer| -> Vec<_> {
        let requests = proxy.take_requests();
        requests.into_iter().map(|request| request.line).collect()
    };
    let asked = format!("GET {} HTTP/1.1", server.url("/"));
    assert_eq!(lines(&plain), [asked]);
    let asked = format!("CONNECT {} HTTP/1.1", target.authority());
    assert_eq!(lines(&secure), [asked]);
}

#[test]
fn socks_proxy_of_every_version_is_used() {
    let authority = Authority::new();
    let (_folder, network) = trusting(&authority);
    for (scheme, credentials, sends_name) in [
        ("socks", None, false),
        ("socks4", None, false),
        ("socks4a", None, true),
        ("socks5", None, false),
        ("socks5h", None, true),
        ("socks5", Some(("us@er", "p:ss")), false),
    ] {
        let proxy = SocksServer::start(credentials);
        let user_info = credentials.map_or("", |_| "us%40er:p%3Ass@");
        let url = format!("{scheme}://{user_info}{}", proxy.authority());
        for server in two_servers(&authority) {
            download(&server.url("/"), &through(&network, &url)).assert_fetched(CONTENT);
            let expected = if sends_name {
                server.authority()
            } else {
                server.authority().replace("localhost", "127.0.0.1")
            };
            assert_eq!(proxy.take_requests(), [expected], "{scheme}");
        }
    }
}

/// An address where nothing listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The address of a server that answers without TLS, as nginx and squid do.
fn without_tls() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    });
    address
}

/// A download through `proxy` (with this password) has this problem of the proxy, after so many tries.
#[track_caller]
fn assert_fault_of(proxy: &str, network: &Network, problem: &ProxyProblem, tries: usize) {
    let limits = Limits {
        connect: Duration::from_millis(300),
        ..quick()
    };
    let attempt = Attempt::with(
        "https://localhost:1/",
        &Validators::default(),
        &through(network, proxy),
        &limits,
    );
    let said = attempt.said.clone();
    assert_eq!(
        said.matches("Trying again").count(),
        tries - 1,
        "{proxy}: {said}"
    );
    let error = attempt.error();
    assert!(!format!("{said}{error}{error:?}").contains("s3cret"));
    let HttpError::Proxy {
        proxy: name,
        problem: actual,
    } = error
    else {
        panic!("{proxy}: {error:?}");
    };
    assert_eq!(actual, *problem, "{proxy}");
    assert_eq!(name.variable, "https_proxy");
    assert!(
        proxy
            .replace("user:s3cret@", "")
            .starts_with(&name.address.replace(":80", ""))
    );
}

fn connection(reason: &str) -> ProxyProblem {
    ProxyProblem::Connection {
        reason: reason.to_owned(),
    }
}

fn refused() -> ProxyProblem {
    connection("Connection refused (os error 111)")
}

#[test]
fn fault_of_a_proxy_is_told_as_its_own() {
    let authority = Authority::new();
    let (_folder, network) = trusting(&authority);
    let answering = |answer| ReleaseServer::http([answer]);
    let raw = |bytes: &[u8]| Answer::Raw(bytes.to_vec());
    let stranger = ReleaseServer::https(&Authority::new(), [Answer::Proxy]);
    let servers = [
        answering(Answer::status(407)),
        answering(Answer::status(403)),
        answering(Answer::status(503)),
        answering(raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
        answering(raw(b"")),
        answering(Answer::Stall(Vec::new())),
        answering(Answer::Drip(b"HTTP/1.1 200 OK\r\nX: ".to_vec())),
    ];
    let http = |index: usize| format!("http://user:s3cret@{}", servers[index].authority());
    let status = |status| ProxyProblem::Refused {
        status: Some(status),
    };
    for (proxy, problem, tries) in [
        (http(0), ProxyProblem::Credentials, 1),
        (http(1), status(403), 1),
        (http(2), status(503), 4),
        (http(3), ProxyProblem::Protocol, 4),
        (http(4), connection("unexpected end of file"), 4),
        (http(5), ProxyProblem::TimedOut, 4),
        (http(6), ProxyProblem::TimedOut, 4),
        (format!("http://user:s3cret@{}", nowhere()), refused(), 4),
        (
            "http://user:s3cret@proxy.invalid".to_owned(),
            ProxyProblem::HostNotFound,
            4,
        ),
        (
            format!("https://user:s3cret@{}", without_tls()),
            ProxyProblem::Tls(TlsProblem::NoTls),
            1,
        ),
        // It hangs up.
        (
            http(0).replace("http:", "https:"),
            ProxyProblem::Tls(TlsProblem::Handshake),
            4,
        ),
        (
            stranger.url("").replace("://", "://user:s3cret@"),
            ProxyProblem::Tls(TlsProblem::UnknownAuthority),
            1,
        ),
    ] {
        assert_fault_of(&proxy, &network, &problem, tries);
    }
}

#[test]
fn fault_of_a_socks_proxy_is_told_as_its_own() {
    let with_password = SocksServer::start(Some(("user", "right")));
    for (proxy, problem, tries) in [
        (
            format!("socks5://user:s3cret@{}", with_password.authority()),
            ProxyProblem::Credentials,
            1,
        ),
        (
            format!("socks5://{}", with_password.authority()),
            ProxyProblem::Refused { status: None },
            4,
        ),
        (format!("socks5h://user:s3cret@{}", nowhere()), refused(), 4),
        (
            format!("socks5://user:s3cret@{}", without_tls()),
            ProxyProblem::Protocol,
            4,
        ),
    ] {
        assert_fault_of(&proxy, &Network::default(), &problem, tries);
    }
}

#[test]
fn proxy_that_answers_in_the_place_of_a_server_is_named() {
    for code in [407, 403, 502] {
        let proxy = ReleaseServer::http([Answer::status(code)]);
        let network = through(&Network::default(), &proxy.url(""));
        let attempt = download("http://localhost:1/", &network);
        let expected = if code == 502 { 4 } else { 1 };
        assert_eq!(proxy.take_requests().len(), expected);
        match attempt.error() {
            HttpError::Proxy {
                proxy: name,
                problem: ProxyProblem::Credentials,
            } if code == 407 => assert_eq!(name.variable, "ALL_PROXY"),
            HttpError::Status {
                status,
                proxy: Some(name),
                ..
            } if status == code => assert_eq!(name.address, proxy.url("")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn fault_of_a_server_is_its_own_behind_a_proxy_too() {
    let authority = Authority::new();
    let (_folder, network) = trusting(&authority);
    let proxy = ReleaseServer::http([Answer::Proxy]);
    let server = ReleaseServer::https(&Authority::new(), [Answer::File(CONTENT.to_vec())]);
    let attempt = download(&server.url("/"), &through(&network, &proxy.url("")));
    assert!(matches!(attempt.error(), HttpError::Tls { .. }));
}

#[test]
fn flaw_of_a_certificate_is_told_by_its_kind() {
    let authority = Authority::new();
    let (_folder, network) = trusting(&authority);
    for (flaw, expected) in [
        (Flaw::Expired, TlsProblem::Expired),
        (Flaw::NotYetValid, TlsProblem::NotYetValid),
        (Flaw::WrongName, TlsProblem::WrongName),
        (Flaw::Authority, TlsProblem::Unsuitable),
    ] {
        let server = ReleaseServer::https_with(&authority, flaw, [Answer::status(200)]);
        let attempt = download(&server.url("/"), &network);
        assert!(!attempt.said.contains("Trying again"), "{}", attempt.said);
        let error = attempt.error();
        assert!(
            matches!(error, HttpError::Tls { problem, .. } if problem == expected),
            "{error:?}"
        );
    }
    let attempt = download(&format!("https://{}/", without_tls()), &network);
    let HttpError::Tls {
        problem: TlsProblem::NoTls,
        named: Some(named),
    } = attempt.error()
    else {
        panic!();
    };
    let file = network.ca_file.unwrap();
    assert_eq!(named, format!("SSL_CERT_FILE={}", file.display()));
}

#[test]
fn unknown_host_is_not_found() {
    let attempt = download("http://host.invalid/", &Network::default());
    assert_eq!(attempt.said.matches("Trying again").count(), 3);
    assert!(matches!(attempt.error(), HttpError::HostNotFound));
}

#[test]
fn authorities_may_be_in_directories_and_only_in_regular_files() {
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [Answer::File(CONTENT.to_vec())]);
    let (folder, _) = trusting(&authority);
    let [empty, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let path = |name| other.path().join(name);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs_err::write(path("text"), "no certificate").unwrap();
    fs_err::write(
        path("damaged"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    fs_err::File::create(path("large"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let directories = [empty.path(), other.path(), folder.path()].map(Path::to_owned);
    let network = Network {
        ca_directories: directories.to_vec(),
        ..Network::default()
    };
    download(&server.url("/"), &network).assert_fetched(CONTENT);
    for (file, reason) in [
        (path("fifo"), "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (empty.path().to_owned(), "not a regular file"),
        (path("missing"), "No such file"),
        (path("text"), "holds no certificate"),
        (path("damaged"), "damaged"),
        (path("large"), "longer than"),
    ] {
        let network = Network {
            ca_file: Some(file.clone()),
            ..Network::default()
        };
        let HttpError::NoAuthorities { named, reasons } =
            download(&server.url("/"), &network).error()
        else {
            panic!();
        };
        assert_eq!(named, Some(format!("SSL_CERT_FILE={}", file.display())));
        assert!(reasons[0].contains(reason), "{reasons:?}");
    }
}

#[test]
fn whole_download_is_bounded_whatever_it_waits_for() {
    let header = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    let limits = Limits {
        first_byte: Duration::from_mins(1),
        overall: Duration::from_millis(300),
        ..quick()
    };
    let endless = |head: &str| Answer::Drip(format!("HTTP/1.1 {head}\r\n\r\n").into_bytes());
    for (answer, has_body) in [
        (Answer::Drip(header), false),
        (Answer::Stall(Vec::new()), false),
        (endless("200 OK\r\nContent-Length: 9999"), true),
        (endless("200 OK"), true),
        // It redirects to itself.
        (endless("302 Found\r\nLocation: /"), false),
    ] {
        let shown = format!("{answer:?}");
        let server = ReleaseServer::http([answer]);
        let limits = Limits {
            redirects: u32::MAX - 1,
            ..limits.clone()
        };
        let start = Instant::now();
        let attempt = Attempt::with(
            &server.url("/"),
            &Validators::default(),
            &Network::default(),
            &limits,
        );
        assert!(start.elapsed() < Duration::from_secs(5), "{shown}");
        let error = attempt.error();
        let HttpError::TimedOut {
            phase: Phase::Overall { bytes },
        } = error
        else {
            panic!("{shown}: {error:?}");
        };
        assert_eq!(bytes > 0, has_body, "{shown}");
    }
    let proxy = ReleaseServer::http([Answer::Drip(b"HTTP/1.1 200 OK\r\nX: ".to_vec())]);
    let attempt = Attempt::with(
        "https://localhost:1/",
        &Validators::default(),
        &through(&Network::default(), &proxy.url("")),
        &limits,
    );
    attempt.assert_out_of_time();
}

/// A server that says this to each client, whatever it is asked, and then one more byte every few milliseconds.
fn dripping_server(start: &'static [u8]) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        // Until the client of the test is gone, and the test with it.
        for mut stream in listener.incoming().flatten() {
            let mut drip = stream.write_all(start);
            while drip.is_ok() {
                thread::sleep(Duration::from_millis(5));
                drip = stream.write_all(b"x");
            }
        }
    });
    address
}

#[test]
fn handshake_that_never_ends_is_bounded() {
    let limits = Limits {
        connect: Duration::from_mins(1),
        stall: Duration::from_mins(1),
        overall: Duration::from_millis(300),
        ..quick()
    };
    // The start of a message of a TLS handshake with 16 KiB, and the start of a SOCKS reply with a long name.
    let tls = dripping_server(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc");
    let socks = dripping_server(b"\x05\x00\x05\x00\x00\x03\xff");
    let none = Network::default();
    for (url, network) in [
        (format!("https://{tls}/"), none.clone()),
        (
            "http://localhost:1/".to_owned(),
            through(&none, &format!("socks5h://{socks}")),
        ),
        (
            "https://localhost:1/".to_owned(),
            through(&none, &format!("https://{tls}")),
        ),
    ] {
        let (_folder, authorities) = trusting(&Authority::new());
        let network = Network {
            ca_file: authorities.ca_file,
            ..network
        };
        let start = Instant::now();
        let attempt = Attempt::with(&url, &Validators::default(), &network, &limits);
        assert!(start.elapsed() < Duration::from_secs(1), "{url}");
        attempt.assert_out_of_time();
    }
}

#[test]
fn body_says_where_it_ends_or_ends_with_its_connection() {
    let raw = |head: &str, body: &[u8]| Answer::Raw([head.as_bytes(), b"\r\n\r\n", body].concat());
    for (answer, expected) in [
        (Answer::File(CONTENT.to_vec()), true),
        (Answer::chunked(CONTENT), true),
        (raw("HTTP/1.1 200 OK", CONTENT), false),
        (raw("HTTP/1.0 200 OK", CONTENT), false),
        (
            raw("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", CONTENT),
            false,
        ),
        (
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity", CONTENT),
            false,
        ),
        (raw("HTTP/1.0 200 OK\r\nContent-Length: 53", CONTENT), true),
    ] {
        let shown = format!("{answer:?}");
        let server = ReleaseServer::http([answer]);
        let attempt = Attempt::new(&server.url("/"));
        attempt.assert_fetched(CONTENT);
        let Ok(Fetched::File(download)) = attempt.outcome else {
            panic!();
        };
        assert_eq!(download.is_delimited, expected, "{shown}");
    }
}

#[test]
fn redirect_is_followed_as_browsers_do() {
    let server = ReleaseServer::http([]);
    let absolute = server.url("/a b?ü");
    for (location, line) in [
        ("/a b/ü?key=ü#part", "GET /a%20b/%C3%BC?key=%C3%BC HTTP/1.1"),
        ("?next", "GET /from/here?next HTTP/1.1"),
        ("there", "GET /from/there HTTP/1.1"),
        (absolute.as_str(), "GET /a%20b?%C3%BC HTTP/1.1"),
        (
            absolute.trim_start_matches("http:"),
            "GET /a%20b?%C3%BC HTTP/1.1",
        ),
    ] {
        server.will_answer([Answer::redirect(location), Answer::File(CONTENT.to_vec())]);
        Attempt::new(&server.url("/from/here?key=1")).assert_fetched(CONTENT);
        assert_eq!(server.take_requests()[1].line, line);
    }
    for answer in [
        Answer::status(300),
        Answer::status(302),
        Answer::status(304),
    ] {
        server.will_answer([answer]);
        let error = Attempt::new(&server.url("/")).error();
        assert!(matches!(error, HttpError::Status { .. }), "{error:?}");
    }
    server.will_answer([Answer::redirect("https://[s3cret")]);
    let attempt = Attempt::new(&server.url("/"));
    assert!(!attempt.said.contains("s3cret"));
    assert!(matches!(attempt.error(), HttpError::UnusableRedirect));
}

#[test]
fn credentials_stay_with_their_scheme_host_and_port() {
    let expected = format!("Basic {}", BASE64_STANDARD.encode("user:secret"));
    let server = ReleaseServer::http([Answer::redirect("/next"), Answer::File(CONTENT.to_vec())]);
    let url = server.url("/").replace("://", "://user:secret@");
    Attempt::new(&url).assert_fetched(CONTENT);
    for request in server.take_requests() {
        assert_eq!(request.header("Authorization"), Some(expected.as_str()));
    }
}

#[test]
fn refused_validators_are_left_out_once() {
    let known = Validators {
        etag: Some("\"old\"".to_owned()),
        last_modified: None,
    };
    for code in [400, 404, 412, 431] {
        let server = ReleaseServer::http([Answer::status(code), Answer::File(CONTENT.to_vec())]);
        let attempt = Attempt::with(&server.url("/"), &known, &Network::default(), &quick());
        attempt.assert_fetched(CONTENT);
        let requests = server.take_requests();
        assert_eq!(requests[1].header("If-None-Match"), None);

        server.will_answer([Answer::status(code)]);
        let attempt = Attempt::with(&server.url("/"), &known, &Network::default(), &quick());
        assert!(attempt.outcome.is_err());
        assert_eq!(server.take_requests().len(), 2, "{code}");
    }
}

#[test]
fn validators_are_short_and_visible() {
    let long = format!("\"{}\"", "x".repeat(1023));
    for tag in [long.as_str(), "\"ü\"", "\"a\tb\""] {
        let head = format!("HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: 53\r\n\r\n");
        let server = ReleaseServer::http([Answer::Raw([head.as_bytes(), CONTENT].concat())]);
        let attempt = Attempt::new(&server.url("/"));
        attempt.assert_fetched(CONTENT);
        let Ok(Fetched::File(download)) = attempt.outcome else {
            panic!();
        };
        assert_eq!(download.validators, Validators::default());
    }
}

#[test]
fn rate_limit_is_told_by_its_headers_and_waited_for_if_that_is_short() {
    let forbidden = || Answer::status(403);
    for (answer, is_limit, tries) in [
        (forbidden(), false, 1),
        (forbidden().header("X-RateLimit-Remaining", "5"), false, 1),
        (forbidden().header("X-RateLimit-Remaining", "0"), true, 1),
        (forbidden().header("RateLimit-Remaining", "0"), true, 1),
        (forbidden().header("Retry-After", "3600"), true, 1),
        (forbidden().header("Retry-After", "0"), true, 4),
    ] {
        let server = ReleaseServer::http([answer]);
        let error = Attempt::new(&server.url("/")).error();
        assert!(
            matches!(error, HttpError::Status { is_rate_limit, .. } if is_rate_limit == is_limit),
            "{error:?}"
        );
        assert_eq!(server.take_requests().len(), tries);
    }
}

#[test]
fn announced_size_is_checked_before_anything_is_read() {
    let server = ReleaseServer::http([Answer::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_vec(),
    )]);
    let attempt = Attempt::new(&server.url("/"));
    assert!(matches!(
        attempt.outcome,
        Err(DownloadError::TooLarge { .. })
    ));
    assert_eq!(server.take_requests().len(), 1);
}

#[test]
fn progress_is_told_with_and_without_a_known_size() {
    let limits = Limits {
        progress: Duration::ZERO,
        ..quick()
    };
    for (answer, expected) in [
        (Answer::File(CONTENT.to_vec()), "53 B of 53 B (100%)"),
        (Answer::chunked(CONTENT), "53 B so far"),
    ] {
        let server = ReleaseServer::http([answer]);
        let unknown = Validators::default();
        let attempt = Attempt::with(&server.url("/"), &unknown, &Network::default(), &limits);
        attempt.assert_fetched(CONTENT);
        assert!(attempt.said.contains(expected), "{}", attempt.said);
    }
}

#[test]
fn size_is_limited_even_where_it_is_not_announced() {
    let server = ReleaseServer::http([Answer::chunked(CONTENT)]);
    let limits = Limits {
        download_bytes: CONTENT.len() as u64 - 1,
        ..quick()
    };
    let unknown = Validators::default();
    let attempt = Attempt::with(&server.url("/"), &unknown, &Network::default(), &limits);
    assert!(matches!(
        attempt.outcome,
        Err(DownloadError::TooLarge { limit: 52 })
    ));
}

#[test]
fn nothing_secret_is_said() {
    let server = ReleaseServer::http([Answer::status(503)]);
    let url = format!("http://user:secret@{}/?key=secret", server.authority());
    let attempt = Attempt::new(&url);
    assert!(!attempt.said.contains("secret"), "{}", attempt.said);
    let error = format!("{:?}", attempt.error());
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn retry_after_has_two_forms() {
    let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
    for (value, seconds) in [
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("Wed, 21 Oct 2015 07:28:09 GMT", Some(9)),
        ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
        ("-1", None),
        ("soon", None),
    ] {
        let expected = seconds.map(Duration::from_secs);
        assert_eq!(parse_retry_after(value, now), expected, "{value}");
    }
}

#[test]
fn credentials_move_from_the_url_to_a_header() {
    let url = Url::parse("https://us%40er:p%3Ass@host/path?key=1").unwrap();
    assert_eq!(without_secrets(&url).as_str(), "https://host/path?key=1");
    let expected = format!("Basic {}", BASE64_STANDARD.encode("us@er:p:ss"));
    assert_eq!(basic_credentials(&url), Some(expected));
    assert_eq!(basic_credentials(&without_secrets(&url)), None);
}
