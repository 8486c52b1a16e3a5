//! Timeouts in every phase of a download.

use super::*;

/// The total timeout, before a part of the file has arrived.
const TOTAL: &str = "TimedOut(Total { bytes: 0 })";

#[test]
fn silence_is_reported_by_its_phase() {
    let one_attempt = Limits {
        max_attempts: 1,
        ..quick()
    };
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec();
    for (answer, expected) in [
        (Answer::Stall(Vec::new()), "TimedOut(Response)"),
        (Answer::Stall(half), "TimedOut(Read)"),
    ] {
        let server = ReleaseServer::http([answer]);
        let attempt = Attempt::within(&server.url("/"), &Network::default(), &one_attempt);
        attempt.assert_failed(0, expected);
    }
}

#[test]
fn total_time_bounds_all_attempts_together() {
    let server = ReleaseServer::http([Answer::status(503).header("Retry-After", "3600")]);
    let limits = Limits {
        total_timeout: Duration::from_millis(500),
        max_backoff: Duration::from_millis(200),
        max_attempts: 1000,
        ..quick()
    };
    let start = Instant::now();
    let attempt = Attempt::within(&server.url("/"), &Network::default(), &limits);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(attempt.outcome.is_err());
    assert!((2..=5).contains(&server.take_requests().len()));
}

#[test]
fn total_time_bounds_every_phase() {
    let authority = Authority::new();
    let (_directory, trusting) = trusting(&authority);
    let header = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    let limits = Limits {
        response_timeout: Duration::from_mins(1),
        read_timeout: Duration::from_mins(1),
        total_timeout: Duration::from_millis(300),
        max_redirects: u32::MAX - 1,
        ..quick()
    };
    let endless = |head: &str| Answer::Drip(format!("HTTP/1.1 {head}\r\n\r\n").into_bytes());
    for (answer, has_body) in [
        (Answer::Drip(header.clone()), false),
        (Answer::Stall(Vec::new()), false),
        (endless("200 OK\r\nContent-Length: 9999"), true),
        (endless("200 OK"), true),
        // It redirects to itself.
        (endless("302 Found\r\nLocation: /"), false),
    ] {
        let shown = format!("{answer:?}");
        for server in [
            ReleaseServer::http([answer.clone()]),
            ReleaseServer::https(&authority, [answer]),
        ] {
            let start = Instant::now();
            let attempt = Attempt::within(&server.url("/"), &trusting, &limits);
            assert!(start.elapsed() < Duration::from_secs(5), "{shown}");
            let error = attempt.error();
            let HttpError::TimedOut(Phase::Total { bytes }) = error else {
                panic!("{shown}: {error:?}");
            };
            assert_eq!(bytes > 0, has_body, "{shown}");
        }
    }
    let proxy = ReleaseServer::http([Answer::Drip(header)]);
    let network = through(&Network::default(), &proxy.url(""));
    Attempt::within("https://localhost:1/", &network, &limits).assert_failed(0, TOTAL);
}

/// A server that sends this to each client, and then one byte every few milliseconds.
fn dripping_server(start: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
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
fn total_time_bounds_endless_handshakes() {
    let limits = Limits {
        connect_timeout: Duration::from_mins(1),
        read_timeout: Duration::from_mins(1),
        total_timeout: Duration::from_millis(300),
        ..quick()
    };
    // The start of a TLS handshake message of 16 KiB, and the start of a SOCKS reply with a long
    // name.
    let tls = dripping_server(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc");
    let socks = dripping_server(b"\x05\x00\x05\x00\x00\x03\xff");
    let (_directory, trusting) = trusting(&Authority::new());
    let tls = format!("https://{tls}/");
    let by_socks = through(&trusting, &format!("socks5h://{socks}"));
    let by_tls = through(&trusting, &tls);
    for (url, network) in [
        (tls.as_str(), trusting),
        ("http://localhost:1/", by_socks),
        ("https://localhost:1/", by_tls),
    ] {
        let start = Instant::now();
        let attempt = Attempt::within(url, &network, &limits);
        assert!(start.elapsed() < Duration::from_secs(5), "{url}");
        attempt.assert_failed(0, TOTAL);
    }
}
