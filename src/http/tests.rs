//! Downloads over real sockets from a server that misbehaves on demand.

use std::time::Instant;

use super::*;
use crate::checksum::Checksum;
use crate::output::Recorded;
use backplane_test_server::{Answer, Authority, ReleaseServer};
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
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let attempt = Attempt::new(&url);
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
        HttpError::NoAuthorities { reasons } if reasons[0].contains("/nowhere/ca.pem")
    ));
    // Who does not need one does not miss it.
    let plain = ReleaseServer::http([Answer::File(CONTENT.to_vec())]);
    let attempt = Attempt::with(&plain.url("/"), &Validators::default(), &network, &quick());
    attempt.assert_fetched(CONTENT);
}

#[test]
fn proxy_is_asked_to_connect_with_its_credentials() {
    let authority = Authority::new();
    let (_folder, network) = trusting(&authority);
    let proxy = ReleaseServer::http([Answer::Tunnel]);
    let proxy_url = format!("http://user:s3cret@{}", proxy.authority());
    let network = Network {
        https_proxy: Some(proxy_url.clone()),
        http_proxy: Some(proxy_url),
        ..network
    };
    let content = || [Answer::File(CONTENT.to_vec())];
    let (plain, secure) = (
        ReleaseServer::http(content()),
        ReleaseServer::https(&authority, content()),
    );
    let unknown = Validators::default();
    for server in [&plain, &secure] {
        let attempt = Attempt::with(&server.url("/"), &unknown, &network, &quick());
        attempt.assert_fetched(CONTENT);
        let requests = proxy.take_requests();
        assert_eq!(
            requests[0].line,
            format!("CONNECT {} HTTP/1.1", server.authority())
        );
        let credentials = format!("Basic {}", BASE64_STANDARD.encode("user:s3cret"));
        assert_eq!(
            requests[0].header("Proxy-Authorization"),
            Some(credentials.as_str())
        );
        // The proxy's credentials are not for the server.
        assert_eq!(
            server.take_requests()[0].header("Proxy-Authorization"),
            None
        );
    }

    let around = Network {
        no_proxy: Some("127.0.0.1,localhost".to_owned()),
        ..network.clone()
    };
    for server in [&plain, &secure] {
        let attempt = Attempt::with(&server.url("/"), &unknown, &around, &quick());
        attempt.assert_fetched(CONTENT);
    }
    assert!(proxy.take_requests().is_empty());

    proxy.will_answer([Answer::status(407)]);
    let attempt = Attempt::with(&secure.url("/"), &unknown, &network, &quick());
    assert!(!attempt.said.contains("s3cret"), "{}", attempt.said);
    let error = attempt.error();
    assert!(matches!(error, HttpError::ProxyRefused), "{error:?}");
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
    assert_eq!(credentials(&url), Some(expected));
    assert_eq!(credentials(&without_secrets(&url)), None);
}

#[test]
fn only_what_may_pass_is_tried_again() {
    let status = |status| HttpError::Status {
        status,
        retry_after: None,
    };
    let timed_out = |phase| HttpError::TimedOut { phase };
    for (error, expected) in [
        (status(408), true),
        (status(429), true),
        (status(500), true),
        (status(503), true),
        (status(400), false),
        (status(403), false),
        (status(404), false),
        (HttpError::HostNotFound, true),
        (timed_out(Phase::Connect), true),
        (timed_out(Phase::FirstByte), true),
        (timed_out(Phase::Stall), true),
        (timed_out(Phase::Overall), false),
        (HttpError::InsecureRedirect, false),
        (HttpError::TooManyRedirects { limit: 5 }, false),
    ] {
        assert_eq!(is_transient(&error), expected, "{error:?}");
    }
}

#[test]
fn proxy_is_chosen_by_scheme_and_keeps_its_credentials() {
    let network = Network {
        https_proxy: Some("http://user:secret@secure-proxy:3128".to_owned()),
        http_proxy: Some("plain-proxy:8080".to_owned()),
        no_proxy: Some("localhost, internal.example,.other.example".to_owned()),
        ..Network::default()
    };
    let secure = proxy(true, &network).unwrap().unwrap();
    assert_eq!((secure.host(), secure.port()), ("secure-proxy", 3128));
    assert_eq!(secure.username(), Some("user"));
    assert_eq!(secure.password(), Some("secret"));
    for (host, is_exception) in [
        ("localhost", true),
        ("internal.example", true),
        ("sub.internal.example", true),
        ("INTERNAL.example", true),
        ("sub.other.example", true),
        ("other.example", false),
        ("myinternal.example", false),
        ("example", false),
    ] {
        let uri = format!("https://{host}/x").parse().unwrap();
        assert_eq!(secure.is_no_proxy(&uri), is_exception, "{host}");
    }
    let plain = proxy(false, &network).unwrap().unwrap();
    assert_eq!((plain.host(), plain.port()), ("plain-proxy", 8080));
    assert!(proxy(true, &Network::default()).unwrap().is_none());
}

#[test]
fn malformed_proxy_names_its_variable() {
    let network = Network {
        https_proxy: Some("gopher://proxy".to_owned()),
        ..Network::default()
    };
    assert!(matches!(
        proxy(true, &network),
        Err(HttpError::Proxy { variable }) if variable == "HTTPS_PROXY"
    ));
}
