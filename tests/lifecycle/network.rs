//! Proxies, certificates and redirects between a build and the server of its agent.

use harness::lifecycle::{Build, FrontEnd};
use harness::release_server::{Answer, Authority, Flaw, ReleaseServer, SocksServer};
use harness::{archive, assert_says, file, for_each_front_end, sha256};

use crate::fixtures::{PATIENT_AGENT, app};
use crate::releases::{CACHED_AGENT_KEPT, OTHER_AGENT, build_from, installed, served};

for_each_front_end! {
    socks_proxy_is_used_and_none_of_its_faults_costs_a_cached_agent,
    http_source_is_asked_of_a_proxy_by_its_whole_url,
    fault_of_a_proxy_names_the_proxy_but_no_password,
    flaw_of_a_certificate_has_advice_of_its_own,
    authorities_that_are_not_files_end_a_build_with_advice,
    redirect_with_unencoded_characters_is_followed_with_the_credentials_of_its_host,
    validators_never_keep_an_agent_from_being_updated,
}

fn socks_proxy_is_used_and_none_of_its_faults_costs_a_cached_agent(front_end: FrontEnd) {
    let (server, build) = served(front_end, &archive(PATIENT_AGENT));
    let proxy = SocksServer::start(Some(("user", "s3cret")));
    let url = format!("socks5h://user:s3cret@{}\n", proxy.authority());
    let mut image = build.env("ALL_PROXY", url).run();
    assert_eq!(proxy.take_requests(), [server.authority()]);
    assert_eq!(installed(&image), PATIENT_AGENT);
    for (value, reason) in [
        (
            "socks5://user:s3cret@127.0.0.1:0",
            "ALL_PROXY isn't the URL",
        ),
        (
            "socks5://user:s3cret@127.0.0.1:1",
            "the proxy socks5://127.0.0.1:1 (ALL_PROXY) can't be reached",
        ),
    ] {
        image = image.restored().env("ALL_PROXY", value).run();
        assert_says(&image.log, CACHED_AGENT_KEPT);
        assert_says(
            &image
                .log
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .replace("! ", ""),
            reason,
        );
        assert!(!image.log.contains("s3cret"), "{}", image.log);
        assert_eq!(installed(&image), PATIENT_AGENT);
    }
    // Not even looked at.
    let around = image
        .restored()
        .env("ALL_PROXY", "socks5://127.0.0.1:0")
        .env("NO_PROXY", ".localhost, ::1");
    assert_says(&around.run().log, "it is unchanged");
    let (server, build) = served(front_end, &archive(PATIENT_AGENT));
    let optional = build
        .env("ALL_PROXY", "gopher://user:s3cret@proxy")
        .env("BACKPLANE_AGENT_OPTIONAL", "true")
        .run();
    assert!(!optional.agent_layer().join("libexec/backplane").exists());
    assert!(server.take_requests().is_empty());
}

fn http_source_is_asked_of_a_proxy_by_its_whole_url(front_end: FrontEnd) {
    let content = archive(PATIENT_AGENT);
    let server = ReleaseServer::http([file(&content)]);
    let proxy = ReleaseServer::http([Answer::Proxy]);
    let image = Build::by(front_end, app())
        .env("BACKPLANE_AGENT_URL", server.url("/agent.tgz"))
        .env("BACKPLANE_AGENT_SHA256", sha256(&content))
        .env("http_proxy", proxy.authority())
        .run();
    assert_eq!(installed(&image), PATIENT_AGENT);
    let expected = format!("GET {} HTTP/1.1", server.url("/agent.tgz"));
    assert_eq!(proxy.take_requests()[0].line, expected);
}

fn fault_of_a_proxy_names_the_proxy_but_no_password(front_end: FrontEnd) {
    let (server, mut build) = served(front_end, &archive(PATIENT_AGENT));
    let proxy = ReleaseServer::http([Answer::status(407)]);
    let with_password = |scheme| format!("{scheme}://user:s3cret@{}", proxy.authority());
    for (value, id) in [
        (with_password("http"), "download/proxy-credentials"),
        (with_password("https"), "download/proxy-tls"),
        (
            "http://user:s3cret@127.0.0.1:1".to_owned(),
            "download/proxy-connection",
        ),
    ] {
        let (log, failed) = build.env("https_proxy", &value).run_to_failure();
        build = failed;
        assert_says(&log, &format!("Error: backplane/{id}"));
        assert_says(&log, &value.replace("user:s3cret@", ""));
        assert_says(&log, "https_proxy");
        assert!(!log.contains("s3cret"), "{log}");
    }
    // The wrong password is sent once.
    assert_eq!(proxy.take_requests().len(), 1);
    assert!(server.take_requests().is_empty());
}

fn flaw_of_a_certificate_has_advice_of_its_own(front_end: FrontEnd) {
    let authority = Authority::new();
    for (flaw, advice) in [
        (Flaw::Expired, "Check the clock"),
        (Flaw::NotYetValid, "Check the clock"),
        (Flaw::WrongName, "Check the server's name"),
        (Flaw::Authority, "CA:FALSE"),
    ] {
        let server = ReleaseServer::https_with(&authority, flaw, [file(b"")]);
        let (log, _) = build_from(front_end, &server, &authority).run_to_failure();
        assert_says(&log, "Error: backplane/download/tls");
        assert_says(&log, advice);
        assert!(!log.contains("private authority"), "{log}");
    }
}

fn authorities_that_are_not_files_end_a_build_with_advice(front_end: FrontEnd) {
    let (_server, mut build) = served(front_end, &archive(PATIENT_AGENT));
    for file in ["/dev/zero", "/dev", "/proc/self/exe"] {
        let (log, failed) = build.env("SSL_CERT_FILE", file).run_to_failure();
        build = failed;
        assert_says(&log, "Error: backplane/download/no-authorities");
        assert_says(&log, &format!("SSL_CERT_FILE={file}"));
    }
    let authority = Authority::new();
    let server = ReleaseServer::https(&authority, [file(&archive(PATIENT_AGENT))]);
    let build = build_from(front_end, &server, &authority);
    let directories = format!("/nowhere:{}", build.app_directory().display());
    let image = build
        .env("SSL_CERT_FILE", "\n")
        .env("SSL_CERT_DIR", directories)
        .run();
    assert_eq!(installed(&image), PATIENT_AGENT);
}

fn redirect_with_unencoded_characters_is_followed_with_the_credentials_of_its_host(
    front_end: FrontEnd,
) {
    let authority = Authority::new();
    let content = archive(PATIENT_AGENT);
    let server = ReleaseServer::https(
        &authority,
        [
            Answer::redirect("/ä b.tgz?signature=s 3cret"),
            file(&content),
        ],
    );
    let url = server.url("/a").replace("://", "://user:s3cret@");
    let image = build_from(front_end, &server, &authority)
        .env("BACKPLANE_AGENT_URL", url)
        .run();
    assert_eq!(installed(&image), PATIENT_AGENT);
    let requests = server.take_requests();
    assert_eq!(
        requests[1].line,
        "GET /%C3%A4%20b.tgz?signature=s%203cret HTTP/1.1"
    );
    assert!(requests[1].header("Authorization").is_some());
    server.will_answer([Answer::redirect("https://[s3cret")]);
    let image = image.rebuild();
    assert_says(&image.log, CACHED_AGENT_KEPT);
    assert!(!image.log.contains("s3cret"), "{}", image.log);
}

fn validators_never_keep_an_agent_from_being_updated(front_end: FrontEnd) {
    let tagged = |tag: &str, script: &str| Answer::Status {
        status: 200,
        headers: vec![("ETag".to_owned(), tag.to_owned())],
        body: archive(script),
    };
    let authority = Authority::new();
    // Longer than what servers take as a header of a request.
    let server = ReleaseServer::https(&authority, [tagged(&"x".repeat(20_000), PATIENT_AGENT)]);
    let mut image = build_from(front_end, &server, &authority).run();
    server.forget_requests();
    server.will_answer([tagged("\"1\"", PATIENT_AGENT)]);
    image = image.rebuild();
    assert_eq!(server.take_requests()[0].header("If-None-Match"), None);

    server.will_answer([Answer::status(412), tagged("\"2\"", OTHER_AGENT)]);
    image = image.rebuild();
    let requests = server.take_requests();
    let sent: Vec<_> = requests
        .iter()
        .map(|request| request.header("If-None-Match"))
        .collect();
    assert_eq!(sent, [Some("\"1\""), None]);
    assert_eq!(installed(&image), OTHER_AGENT);
}
