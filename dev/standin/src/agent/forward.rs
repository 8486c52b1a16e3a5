//! The way from the edge's request to the app.

use super::{PROGRAM, Target};
use crate::{log, net, wire};
use anyhow::Error;
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

/// How long the app may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

type Body = Either<Incoming, Full<Bytes>>;

/// The app, as a service that answers the edge's requests.
#[derive(Debug, Clone)]
pub(super) struct App {
    target: Arc<Target>,
    /// Whether the last connection came about, so that a change is logged and not every failure.
    is_reachable: Arc<AtomicBool>,
}

impl App {
    pub(super) fn new(target: Target) -> Self {
        App {
            target: Arc::new(target),
            is_reachable: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Gives the request to the app, over a connection of its own: one that was used before may be
    /// closed by the app while the request is on its way, and then it would be unknown whether it
    /// arrived.
    ///
    /// The only error is the one by which the edge knows that no byte reached the app.
    async fn forward(self, request: Request<Incoming>) -> Result<Response<Body>, h2::Error> {
        let untouched = h2::Error::from(h2::Reason::REFUSED_STREAM);
        let Some(stream) = self.connect().await else {
            return Err(untouched);
        };
        let Ok((mut app, connection)) = http1::handshake(TokioIo::new(stream)).await else {
            return Err(untouched);
        };
        // The request and the answer's body get its errors, too.
        tokio::spawn(connection);
        Ok(match app.send_request(to_app(request)).await {
            Ok(mut response) => {
                wire::remove_hop_by_hop(response.headers_mut());
                *response.version_mut() = Version::HTTP_2;
                response.map(Either::Left)
            }
            // The app took the request, and may have acted on it.
            Err(error) => {
                let error = Error::from(error);
                let sentence = format!("The app took the request and gave no answer: {error:#}.\n");
                let mut response = Response::new(Either::Right(Full::from(sentence)));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        })
    }

    async fn connect(&self) -> Option<TcpStream> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.target.address()));
        let connected = connected
            .await
            .unwrap_or_else(|elapsed| Err(elapsed.into()));
        let was_reachable = self.is_reachable.swap(connected.is_ok(), Ordering::Relaxed);
        match (&connected, was_reachable) {
            (Ok(_), false) => log::line(PROGRAM, "the app accepts connections again"),
            (Err(error), true) => log::line(
                PROGRAM,
                format_args!("cannot connect to the app at {}: {error}", self.target),
            ),
            _ => {}
        }
        connected.ok().inspect(net::send_at_once)
    }
}

impl Service<Request<Incoming>> for App {
    type Response = Response<Body>;
    type Error = h2::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, h2::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().forward(request))
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
    request
}
