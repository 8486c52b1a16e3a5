//! Retries, and the delays before them.

use std::time::SystemTime;

use super::*;

#[test]
fn temporary_problems_are_tried_four_times_and_others_once() {
    let forbidden = || Answer::status(403);
    for (answer, is_limit, attempts) in [
        (Answer::status(408), false, 4),
        (Answer::status(429), false, 4),
        (Answer::status(500), false, 4),
        (Answer::status(502), false, 4),
        (Answer::status(503), false, 4),
        (Answer::status(400), false, 1),
        (Answer::status(401), false, 1),
        (Answer::status(404), false, 1),
        (Answer::status(410), false, 1),
        (forbidden(), false, 1),
        (forbidden().header("X-RateLimit-Remaining", "5"), false, 1),
        (forbidden().header("X-RateLimit-Remaining", "0"), true, 1),
        (forbidden().header("RateLimit-Remaining", "0"), true, 1),
        (forbidden().header("Retry-After", "3600"), true, 1),
        (forbidden().header("Retry-After", "0"), true, 4),
    ] {
        let shown = format!("{answer:?}");
        let server = ReleaseServer::http([answer]);
        let attempt = Attempt::new(&server.url("/"));
        assert_eq!(server.take_requests().len(), attempts, "{shown}");
        assert_eq!(attempt.retries(), attempts - 1, "{shown}");
        let HttpError::Status {
            status,
            is_rate_limit,
            ..
        } = attempt.error()
        else {
            panic!("{shown}");
        };
        assert!(shown.contains(&status.to_string()), "{shown}: {status}");
        assert_eq!(is_rate_limit, is_limit, "{shown}");
    }
}

#[test]
fn host_that_cannot_be_reached_is_tried_again_and_named() {
    let nowhere = format!("http://{}/", nowhere());
    // In the words of the C library that this test is linked with.
    let refused = format!("Connection(\"{}", io::Error::from_raw_os_error(111));
    Attempt::new(&nowhere).assert_failed(3, &refused);
    Attempt::new("http://host.invalid/").assert_failed(3, "HostNotFound");
}

#[test]
fn later_attempt_starts_the_file_again() {
    let cut_chunk =
        Answer::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf".to_vec());
    for problem in [
        Answer::cut(CONTENT),
        cut_chunk,
        Answer::Raw(Vec::new()),
        Answer::Raw(b"no http at all\r\n\r\n".to_vec()),
        Answer::status(503),
        Answer::Stall(Vec::new()),
        Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()),
    ] {
        let shown = format!("{problem:?}");
        let server = ReleaseServer::http([problem, content()]);
        Attempt::new(&server.url("/")).assert_fetched();
        assert_eq!(server.take_requests().len(), 2, "{shown}");
    }
}

#[test]
fn retry_after_is_honored_in_both_forms_but_bounded() {
    let in_an_hour = SystemTime::now() + Duration::from_hours(1);
    for value in ["3600".to_owned(), httpdate::fmt_http_date(in_an_hour)] {
        let server =
            ReleaseServer::http([Answer::status(429).header("Retry-After", &value), content()]);
        let limits = Limits {
            max_backoff: Duration::from_millis(600),
            ..quick()
        };
        let attempt = Attempt::within(&server.url("/"), &Network::default(), &limits);
        let events = attempt.events.clone();
        assert!(events.contains("delay: 600ms"), "{value}: {events}");
        attempt.assert_fetched();
    }
}
