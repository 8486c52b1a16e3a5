//! The release server: what a client is told of a file that it has, or has not.

use crate::support::{Answer, Program, bounded, eventually, send};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use std::net::SocketAddr;
use std::process::Command;

/// The SHA-256 of `an archive`, as sha256sum(1) prints it.
const SHA256: &str = "9e691d5adacf0e102f203100842ffaba4e2a7dfe3dbd536827d3c0db8c7e88f1";

async fn serve(folder: &std::path::Path) -> (Program, SocketAddr) {
    let server = Program::start(Command::new(env!("CARGO_BIN_EXE_release-server")).arg(folder));
    let address = server.printed("listening ").await.parse().unwrap();
    (server, address)
}

async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    field: Option<(&str, &str)>,
) -> Response<Incoming> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "localhost");
    if let Some((name, value)) = field {
        request = request.header(name, value);
    }
    send(address, request.body(Empty::<Bytes>::new()).unwrap()).await
}

#[test]
fn file_is_sent_once_and_then_known() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("agent.tgz"), "an archive").unwrap();
        let (server, address) = serve(folder.path()).await;

        let first = ask(address, "GET", "/agent.tgz", None).await;
        assert_eq!(first.status(), StatusCode::OK);
        let etag = first.headers()["etag"].to_str().unwrap().to_owned();
        let modified = first.headers()["last-modified"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(etag, format!("\"{SHA256}\""));
        assert_eq!(first.headers()["content-length"], "10");
        assert_eq!(Answer::of(first).await.text, "an archive");

        for field in [("If-None-Match", &*etag), ("If-Modified-Since", &modified)] {
            let again = ask(address, "GET", "/agent.tgz", Some(field)).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{field:?}");
            assert_eq!(again.headers()["etag"], etag);
        }

        std::fs::write(folder.path().join("agent.tgz"), "another archive").unwrap();
        let changed = ask(address, "GET", "/agent.tgz", Some(("If-None-Match", &etag))).await;
        assert_eq!(changed.status(), StatusCode::OK);
        assert_eq!(Answer::of(changed).await.text, "another archive");

        server.logged("release-server: GET /agent.tgz 200").await;
        server.logged("release-server: GET /agent.tgz 304").await;
        eventually("a line for each request", async || {
            (server.log().len() == 4).then_some(())
        })
        .await;
    });
}

#[test]
fn large_file_is_sent_whole() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let content: String = ('a'..='z').cycle().take(1_000_000).collect();
        std::fs::write(folder.path().join("agent"), &content).unwrap();
        let (_server, address) = serve(folder.path()).await;
        let answer = Answer::of(ask(address, "GET", "/agent", None).await).await;
        assert!(answer.text == content, "{} bytes", answer.text.len());
    });
}

#[test]
fn nothing_else_is_served() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        let (_server, address) = serve(&folder.path().join("folder")).await;
        for (method, path, expected) in [
            ("GET", "/nothing", StatusCode::NOT_FOUND),
            ("GET", "/", StatusCode::NOT_FOUND),
            ("GET", "/../secret", StatusCode::NOT_FOUND),
            ("PUT", "/agent.tgz", StatusCode::METHOD_NOT_ALLOWED),
        ] {
            let response = ask(address, method, path, None).await;
            assert_eq!(response.status(), expected, "{method} {path}");
        }
        let missing = folder.path().join("missing");
        let mut server =
            Program::start(Command::new(env!("CARGO_BIN_EXE_release-server")).arg(&missing));
        assert_eq!(server.ended().await.code(), Some(1));
        server.logged("there is no folder ").await;
    });
}
