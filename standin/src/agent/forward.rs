//! Giving a request to the app.

use super::{PROGRAM, Target};
use crate::{headers, log, net};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

type Body = Either<Incoming, Full<Bytes>>;

/// The app, as a service that answers the edge's requests.
#[derive(Debug, Clone)]
pub(super) struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: Target,
    connect_timeout: Duration,
    /// Whether the last connection came about, so that a change is logged and not every failure.
    reachable: AtomicBool,
}

impl App {
    pub(super) fn new(target: Target, connect_timeout: Duration) -> Self {
        App(Arc::new(Inner {
            target,
            connect_timeout,
            reachable: AtomicBool::new(true),
        }))
    }
}

impl Service<Request<Incoming>> for App {
    type Response = Response<Body>;
    type Error = h2::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, h2::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let app = Arc::clone(&self.0);
        Box::pin(async move { app.forward(request).await })
    }
}

impl Inner {
    /// Gives the request to the app, over a connection of its own: one that was used before may be closed by the app
    /// while the request is on its way, and then nobody could say whether it arrived.
    ///
    /// The only error is the one that tells the edge that no byte reached the app.
    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, h2::Error> {
        let untouched = h2::Error::from(h2::Reason::REFUSED_STREAM);
        let Some(stream) = self.connect().await else {
            return Err(untouched);
        };
        let Ok((mut app, connection)) = http1::handshake(TokioIo::new(stream)).await else {
            return Err(untouched);
        };
        // Its errors are told to the request and to the answer's body, too.
        tokio::spawn(connection);
        Ok(match app.send_request(to_app(request)).await {
            Ok(mut response) => {
                headers::remove_hop_by_hop(response.headers_mut());
                *response.version_mut() = Version::HTTP_2;
                response.map(Either::Left)
            }
            Err(error) => bad_gateway(&error),
        })
    }

    async fn connect(&self) -> Option<TcpStream> {
        let connected = timeout(
            self.connect_timeout,
            TcpStream::connect(self.target.address()),
        )
        .await
        .unwrap_or_else(|elapsed| Err(elapsed.into()));
        let was_reachable = self.reachable.swap(connected.is_ok(), Ordering::Relaxed);
        match (&connected, was_reachable) {
            (Ok(_), false) => log::line(PROGRAM, "the app accepts connections again"),
            (Err(error), true) => {
                let target = &self.target;
                log::line(
                    PROGRAM,
                    format_args!("cannot connect to the app at {target}: {error}"),
                );
            }
            _ => {}
        }
        connected.ok().inspect(net::send_at_once)
    }
}

/// Makes of what came over HTTP/2 what goes to the app over HTTP/1.1.
fn to_app<B>(mut request: Request<B>) -> Request<B> {
    let uri = std::mem::take(request.uri_mut());
    if let Some(host) = uri.authority() {
        let host = HeaderValue::from_str(host.as_str()).expect("an authority is a header value");
        request.headers_mut().insert(HOST, host);
    }
    let path = uri.into_parts().path_and_query;
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    *request.version_mut() = Version::HTTP_11;
    headers::join_cookies(request.headers_mut());
    request
}

/// What the client is told if the app took the request and did not answer: it may have been acted on.
fn bad_gateway(error: &hyper::Error) -> Response<Body> {
    let error = log::with_causes(error);
    let sentence = format!("The app took the request and gave no answer: {error}.\n");
    let mut response = Response::new(Either::Right(Full::from(sentence)));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_sees_the_request_as_the_client_sent_it() {
        for (uri, host, path) in [
            ("http://My.Test:80/a?b=c", Some("My.Test:80"), "/a?b=c"),
            ("http://my.test/", Some("my.test"), "/"),
            ("/a", None, "/a"),
        ] {
            let request = Request::builder()
                .uri(uri)
                .version(Version::HTTP_2)
                .body(())
                .unwrap();
            let request = to_app(request);
            let sent = request
                .headers()
                .get(HOST)
                .map(|host| host.to_str().unwrap());
            assert_eq!((sent, request.uri().to_string()), (host, path.to_owned()));
            assert_eq!(request.version(), Version::HTTP_11);
        }
    }
}
