//! Proxies, and their problems.

use harness::release_server::SocksServer;

use super::*;

/// A server without and one with TLS.
fn two_servers(authority: &Authority) -> [ReleaseServer; 2] {
    [
        ReleaseServer::http([content()]),
        ReleaseServer::https(authority, [content()]),
    ]
}

#[test]
fn http_proxy_is_asked_in_the_form_of_the_scheme_with_its_credentials() {
    let authority = Authority::new();
    let (_directory, network) = trusting(&authority);
    let credentials = basic("user:s3cret");
    for proxy in [
        ReleaseServer::http([Answer::Proxy]),
        ReleaseServer::https(&authority, [Answer::Proxy]),
    ] {
        let network = through(&network, &with_password(&proxy.url("")));
        for server in two_servers(&authority) {
            Attempt::over(&server.url("/a?key=1"), &network).assert_fetched();
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
            let credentials_sent = request.header("Proxy-Authorization");
            assert_eq!(credentials_sent, Some(credentials.as_str()));
            if !is_plain {
                // The proxy's credentials are not for the server.
                let request = &server.take_requests()[0];
                assert_eq!(request.header("Proxy-Authorization"), None);
            }
        }
        let bypassing = Network {
            no_proxy: "127.0.0.0/8 localhost".to_owned(),
            ..network
        };
        for server in two_servers(&authority) {
            Attempt::over(&server.url("/"), &bypassing).assert_fetched();
        }
        assert!(proxy.take_requests().is_empty());
    }
}

#[test]
fn redirect_chooses_its_proxy_again() {
    let authority = Authority::new();
    let (_directory, network) = trusting(&authority);
    let target = ReleaseServer::https(&authority, [content()]);
    let server = ReleaseServer::http([Answer::redirect(&target.url("/moved"))]);
    let [plain, secure] = [(); 2].map(|()| ReleaseServer::http([Answer::Proxy]));
    let network = Network {
        http_proxy: through(&network, &plain.url("")).http_proxy,
        ..through(&network, &secure.url(""))
    };
    Attempt::over(&server.url("/"), &network).assert_fetched();
    let lines = |proxy: &ReleaseServer| -> Vec<_> {
        let requests = proxy.take_requests();
        requests.into_iter().map(|request| request.line).collect()
    };
    let expected = format!("GET {} HTTP/1.1", server.url("/"));
    assert_eq!(lines(&plain), [expected]);
    let expected = format!("CONNECT {} HTTP/1.1", target.authority());
    assert_eq!(lines(&secure), [expected]);
}

#[test]
fn socks_proxy_of_every_version_is_used() {
    let authority = Authority::new();
    let (_directory, network) = trusting(&authority);
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
            Attempt::over(&server.url("/"), &through(&network, &url)).assert_fetched();
            let expected = if sends_name {
                server.authority()
            } else {
                server.authority().replace("localhost", "127.0.0.1")
            };
            assert_eq!(proxy.take_requests(), [expected], "{scheme}");
        }
    }
}

/// A download through `proxy` must fail with `problem` after this number of attempts, and show no
/// password.
#[track_caller]
fn assert_problem_of(proxy: &str, network: &Network, problem: &ProxyProblem, attempts: usize) {
    let limits = Limits {
        connect_timeout: Duration::from_millis(300),
        ..quick()
    };
    let attempt = Attempt::within("https://localhost:1/", &through(network, proxy), &limits);
    let events = &attempt.events;
    assert_eq!(attempt.retries(), attempts - 1, "{proxy}: {events}");
    assert!(!events.contains("s3cret"), "{events}");
    let error = attempt.error();
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    let HttpError::Proxy {
        proxy: name,
        problem: actual,
    } = error
    else {
        panic!("{proxy}: {error:?}");
    };
    assert_eq!(actual, *problem, "{proxy}");
    assert_eq!(name.variable, "https_proxy");
    let without_password = proxy.replace("user:s3cret@", "");
    assert!(without_password.starts_with(&name.address.replace(":80", "")));
}

fn with_password(url: &str) -> String {
    url.replace("://", "://user:s3cret@")
}

#[test]
fn problem_of_a_proxy_is_reported_as_its_own() {
    let raw = |bytes: &[u8]| Answer::Raw(bytes.to_vec());
    let drip = Answer::Drip(b"HTTP/1.1 200 OK\r\nX: ".to_vec());
    let status = |status| ProxyProblem::Refused(Some(status));
    let eof = ProxyProblem::Connection("unexpected end of file".to_owned());
    for (answer, problem, attempts) in [
        (Answer::status(407), ProxyProblem::Credentials, 1),
        (Answer::status(403), status(403), 1),
        (Answer::status(503), status(503), 4),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), ProxyProblem::Protocol, 4),
        (raw(b""), eof, 4),
        (Answer::Stall(Vec::new()), ProxyProblem::TimedOut, 4),
        (drip, ProxyProblem::TimedOut, 4),
    ] {
        let proxy = ReleaseServer::http([answer]);
        let url = with_password(&proxy.url(""));
        assert_problem_of(&url, &Network::default(), &problem, attempts);
    }
}

#[test]
fn problem_on_the_way_to_a_proxy_is_reported_as_its_own() {
    let (_directory, network) = trusting(&Authority::new());
    let stranger = ReleaseServer::https(&Authority::new(), [Answer::Proxy]);
    let closing = ReleaseServer::http([Answer::status(407)]);
    let closing = closing.url("").replace("http:", "https:");
    let socks = SocksServer::start(Some(("user", "right")));
    let protected = format!("socks5://{}", socks.authority());
    let unknown = "http://proxy.invalid";
    let (nowhere, no_tls) = (nowhere(), without_tls());
    // In the words of the C library that this test is linked with.
    let refused = || ProxyProblem::Connection(io::Error::from_raw_os_error(111).to_string());
    let tls = ProxyProblem::Tls;
    let refused_by_proxy = ProxyProblem::Refused(None);
    for (proxy, problem, attempts) in [
        (format!("http://{nowhere}"), refused(), 4),
        (format!("socks5h://{nowhere}"), refused(), 4),
        (unknown.to_owned(), ProxyProblem::HostNotFound, 4),
        (format!("https://{no_tls}"), tls(TlsProblem::NoTls), 1),
        (closing, tls(TlsProblem::Handshake), 4),
        (stranger.url(""), tls(TlsProblem::UnknownAuthority), 1),
        (protected.clone(), ProxyProblem::Credentials, 1),
        (format!("socks5://{no_tls}"), ProxyProblem::Protocol, 4),
    ] {
        assert_problem_of(&with_password(&proxy), &network, &problem, attempts);
    }
    assert_problem_of(&protected, &network, &refused_by_proxy, 4);
}

#[test]
fn proxy_that_responds_instead_of_a_server_is_named() {
    for code in [407, 403, 502] {
        let proxy = ReleaseServer::http([Answer::status(code)]);
        let network = through(&Network::default(), &proxy.url(""));
        let attempt = Attempt::over("http://localhost:1/", &network);
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
