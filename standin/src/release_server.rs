//! A server of release archives: the files of one folder, with what a client needs to ask whether a file has changed.

use crate::{log, net};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::net::TcpListener;

/// The name that log lines of the server begin with.
pub const PROGRAM: &str = "release-server";

/// How much of a file is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;

type Body = BoxBody<Bytes, io::Error>;

/// A server whose listener is bound.
#[derive(Debug)]
pub struct ReleaseServer {
    folder: Arc<Path>,
    listener: TcpListener,
}

impl ReleaseServer {
    /// Binds the listener.
    ///
    /// # Errors
    ///
    /// `folder` is no folder, or `listen` cannot be listened on.
    pub async fn bind(folder: PathBuf, listen: SocketAddr) -> io::Result<Self> {
        if !folder.is_dir() {
            let message = format!("there is no folder {}", folder.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
        }
        Ok(ReleaseServer {
            folder: folder.into(),
            listener: net::bind(listen).await?,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped, and logs a line for each request: method, path and status.
    pub async fn run(self) -> Infallible {
        loop {
            let (stream, _) = net::accept(&self.listener, PROGRAM).await;
            let folder = Arc::clone(&self.folder);
            tokio::spawn(async move {
                let service = service_fn(|request| logged(&folder, request));
                // An error is the client's, which has hung up.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }
}

async fn logged(folder: &Path, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (response, detail) = match answer(folder, &request).await {
        Ok(response) => (response, String::new()),
        Err(error) => (
            empty(StatusCode::INTERNAL_SERVER_ERROR),
            format!(": {error}"),
        ),
    };
    let (method, path, status) = (request.method(), request.uri().path(), response.status());
    log::line(
        PROGRAM,
        format_args!("{method} {path} {}{detail}", status.as_u16()),
    );
    Ok(response)
}

async fn answer(folder: &Path, request: &Request<Incoming>) -> io::Result<Response<Body>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Some(path) = file_path(folder, request.uri().path()) else {
        return Ok(empty(StatusCode::NOT_FOUND));
    };
    let mut file = match File::open(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(empty(StatusCode::NOT_FOUND));
        }
        file => file?,
    };
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Ok(empty(StatusCode::NOT_FOUND));
    }
    let version = Version {
        etag: etag(&mut file).await?,
        modified: metadata.modified()?,
    };
    let mut response = if version.is_known_to(request.headers()) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let (sender, body) = Channel::new(1);
        // For HEAD, too: hyper sends no body there, and sending to a body that is dropped ends the task.
        tokio::spawn(send(file, sender));
        let mut response = Response::new(body.boxed());
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, metadata.len().into());
        response
    };
    for (name, value) in version.headers() {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// The file that a request's path names; none if it leads out of the folder.
fn file_path(folder: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.strip_prefix('/')?);
    relative
        .components()
        .all(|component| matches!(component, Component::Normal(_)))
        .then(|| folder.join(relative))
}

/// What tells one version of a file from another.
#[derive(Debug)]
struct Version {
    /// A strong one: the SHA-256 of the content, in quotes.
    etag: String,
    modified: SystemTime,
}

impl Version {
    /// Whether the client has this version already (RFC 9110, section 13.2.2: `If-None-Match` wins over the date).
    fn is_known_to(&self, request: &HeaderMap) -> bool {
        if request.contains_key(IF_NONE_MATCH) {
            return request
                .get_all(IF_NONE_MATCH)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(str::trim)
                .any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.etag);
        }
        request
            .get(IF_MODIFIED_SINCE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| httpdate::parse_http_date(value).ok())
            // HTTP dates have whole seconds, so the file's must be cut to that as well.
            .is_some_and(|date| httpdate::HttpDate::from(self.modified) <= date.into())
    }

    fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        [
            (ETAG, self.etag.clone()),
            (LAST_MODIFIED, httpdate::fmt_http_date(self.modified)),
        ]
        .into_iter()
        .map(|(name, value)| {
            let value = value.try_into();
            (
                name,
                value.expect("digits, letters and quotes are a header value"),
            )
        })
    }
}

/// Reads the whole file, and leaves it at its start.
async fn etag(file: &mut File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
    }
    file.rewind().await?;
    let hash = Bytes::copy_from_slice(&hasher.finalize());
    Ok(format!("\"{hash:x}\""))
}

/// Sends the file as the body of an answer, as fast as it is taken.
async fn send(mut file: File, mut body: Sender<Bytes, io::Error>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let sent = match file.read(&mut chunk).await {
            Ok(0) => return,
            Ok(read) => body.send_data(Bytes::copy_from_slice(&chunk[..read])).await,
            Err(error) => return body.abort(error),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn path_stays_in_the_folder() {
        for (path, expected) in [
            ("/a.tgz", Some("/releases/a.tgz")),
            ("/v1/a.tgz", Some("/releases/v1/a.tgz")),
            ("/../secret", None),
            ("/v1/../../secret", None),
            ("//etc/passwd", None),
            ("*", None),
        ] {
            let file = file_path(Path::new("/releases"), path);
            assert_eq!(file.as_deref(), expected.map(Path::new), "{path}");
        }
    }

    #[test]
    fn version_is_known_by_its_tag_or_else_its_date() {
        let version = Version {
            etag: "\"abc\"".into(),
            modified: SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_500),
        };
        let [same, earlier] = [
            "Sun, 09 Sep 2001 01:46:40 GMT",
            "Sun, 09 Sep 2001 01:46:39 GMT",
        ];
        for (fields, expected) in [
            (&[][..], false),
            (&[("if-none-match", "\"abc\"")], true),
            (&[("if-none-match", "W/\"abc\"")], true),
            (&[("if-none-match", "\"x\", \"abc\"")], true),
            (&[("if-none-match", "*")], true),
            (&[("if-none-match", "\"x\"")], false),
            (&[("if-modified-since", same)], true),
            (&[("if-modified-since", earlier)], false),
            (&[("if-modified-since", "yesterday")], false),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", same)],
                false,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(version.is_known_to(&headers), expected, "{fields:?}");
        }
    }
}
