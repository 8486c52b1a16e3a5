//! Requests for a file, and what is read from the response.

use harness::release_server::etag;

use super::*;

#[test]
fn file_is_fetched_with_its_validators() {
    let server = ReleaseServer::http([content()]);
    let download = Attempt::new(&server.url("/agent.tgz?key=1")).assert_fetched();
    assert_eq!(download.validators.etag, Some(etag(CONTENT)));
    let requests = server.take_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "GET /agent.tgz?key=1 HTTP/1.1");
    assert_eq!(requests[0].header("Accept-Encoding"), Some("identity"));
}

#[test]
fn known_version_is_not_sent_again() {
    let server = ReleaseServer::http([content()]);
    let known = Validators {
        etag: Some(etag(CONTENT)),
        last_modified: Some("Wed, 21 Oct 2015 07:28:00 GMT".to_owned()),
    };
    let attempt = Attempt::with(&server.url("/"), &known, &Network::default(), &quick());
    assert_eq!(attempt.outcome.unwrap(), None);
    let requests = server.take_requests();
    for (name, value) in [
        ("If-None-Match", known.etag),
        ("If-Modified-Since", known.last_modified),
    ] {
        assert_eq!(requests[0].header(name), value.as_deref());
    }
}

#[test]
fn refused_validators_are_left_out_once() {
    let known = Validators {
        etag: Some("\"old\"".to_owned()),
        last_modified: None,
    };
    for code in [400, 404, 412, 431] {
        let server = ReleaseServer::http([Answer::status(code), content()]);
        let attempt = || Attempt::with(&server.url("/"), &known, &Network::default(), &quick());
        attempt().assert_fetched();
        let requests = server.take_requests();
        assert_eq!(requests[1].header("If-None-Match"), None);

        server.will_answer([Answer::status(code)]);
        assert!(attempt().outcome.is_err());
        assert_eq!(server.take_requests().len(), 2, "{code}");
    }
}

#[test]
fn validators_are_short_and_visible() {
    let long = format!("\"{}\"", "x".repeat(1023));
    for tag in [long.as_str(), "\"ü\"", "\"a\tb\""] {
        let head = format!("HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: 53\r\n\r\n");
        let server = ReleaseServer::http([Answer::Raw([head.as_bytes(), CONTENT].concat())]);
        let download = Attempt::new(&server.url("/")).assert_fetched();
        assert_eq!(download.validators, Validators::default());
    }
}

#[test]
fn body_is_delimited_or_ends_with_its_connection() {
    let raw = |head: &str| Answer::Raw([head.as_bytes(), b"\r\n\r\n", CONTENT].concat());
    for (answer, expected) in [
        (content(), true),
        (Answer::chunked(CONTENT), true),
        (raw("HTTP/1.1 200 OK"), false),
        (raw("HTTP/1.0 200 OK"), false),
        (raw("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked"), false),
        (raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity"), false),
        (raw("HTTP/1.0 200 OK\r\nContent-Length: 53"), true),
    ] {
        let shown = format!("{answer:?}");
        let server = ReleaseServer::http([answer]);
        let download = Attempt::new(&server.url("/")).assert_fetched();
        assert_eq!(download.is_delimited, expected, "{shown}");
    }
}

#[test]
fn announced_size_is_checked_before_anything_is_read() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n";
    let server = ReleaseServer::http([Answer::Raw(head.to_vec())]);
    let outcome = Attempt::new(&server.url("/")).outcome;
    assert!(matches!(outcome, Err(FetchError::TooLarge { .. })));
    assert_eq!(server.take_requests().len(), 1);
}

#[test]
fn secrets_are_in_no_event_or_error() {
    let server = ReleaseServer::http([Answer::status(503)]);
    let url = format!("http://user:s3cret@{}/?key=s3cret", server.authority());
    let attempt = Attempt::new(&url);
    assert!(!attempt.events.contains("s3cret"), "{}", attempt.events);
    let error = format!("{:?}", attempt.error());
    assert!(!error.contains("s3cret"), "{error}");
}
