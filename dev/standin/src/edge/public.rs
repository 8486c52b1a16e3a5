//! The public listener for requests, which agents answer.

use super::registry::Pick;
use super::{PROGRAM, SharedRegistry};
use crate::{endpoint, net, wire};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, Scheme};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpListener;

pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// Takes connections until it is dropped.
pub(super) async fn serve(listener: &TcpListener, registry: &SharedRegistry) -> Infallible {
    loop {
        let (stream, peer) = net::accept(listener, PROGRAM).await;
        let registry = registry.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, peer, &registry));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new());
            // An error here is the client's: it hung up, or sends something that is not HTTP, and
            // has got an answer to that.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The edge's own answer: a status, and a sentence for the client.
type Refusal = (StatusCode, String);

/// Answers a request: with the answer of an agent, or with the reason why there is none.
async fn answer(
    request: Request<Incoming>,
    client: SocketAddr,
    registry: &SharedRegistry,
) -> Result<Response<Body>, Infallible> {
    let answer = forward(request, client.ip(), registry).await;
    Ok(answer.unwrap_or_else(|(status, sentence)| {
        let body = Full::from(sentence + "\n").map_err(|never| match never {});
        let mut response = Response::new(body.boxed());
        *response.status_mut() = status;
        response
    }))
}

/// Has one agent after the other serve the request, until one has taken it. A body goes to one
/// agent only.
async fn forward(
    request: Request<Incoming>,
    client: IpAddr,
    registry: &SharedRegistry,
) -> Result<Response<Body>, Refusal> {
    let (mut head, body) = request.into_parts();
    let endpoint = prepare(&mut head, client).ok_or_else(|| {
        (
            StatusCode::BAD_REQUEST,
            "The request names no host.".to_owned(),
        )
    })?;
    let no_route = format!(
        "No route leads to {endpoint}; add one with: backplane route {endpoint} \"key=value\""
    );
    let selector = registry.lock().routes.get(&endpoint).cloned();
    let selector = selector.ok_or((StatusCode::SERVICE_UNAVAILABLE, no_route))?;
    let no_app = || format!("No app behind {endpoint} accepts connections at the moment.");
    let has_body = !body.is_end_stream();
    let mut request = Request::from_parts(head.clone(), body.boxed());
    let mut tried = Vec::new();
    loop {
        let pick = registry.lock().pick(&selector, &tried);
        let Some(pick) = pick else {
            return Err(if tried.is_empty() {
                let sentence = format!(
                    "No agent with the labels {selector} is connected, which the route to {endpoint} asks for."
                );
                (StatusCode::SERVICE_UNAVAILABLE, sentence)
            } else {
                (StatusCode::BAD_GATEWAY, no_app())
            });
        };
        let agent = pick.id;
        let returned = match send(pick, request).await {
            Ok(response) => return Ok(response),
            Err(Unsent::Lost) => {
                let sentence =
                    format!("The connection to {agent} was lost before {endpoint} answered.");
                return Err((StatusCode::BAD_GATEWAY, sentence));
            }
            Err(Unsent::Draining(returned)) => {
                registry.lock().drain_agent(agent);
                returned
            }
            Err(Unsent::Refused) => {
                tried.push(agent);
                None
            }
        };
        request = match returned {
            Some(request) => *request,
            None if has_body => return Err((StatusCode::BAD_GATEWAY, no_app())),
            None => {
                let empty = Empty::new().map_err(|never| match never {});
                Request::from_parts(head.clone(), empty.boxed())
            }
        };
    }
}

/// Makes of a client's header what the agent is sent, and returns the endpoint; `None` if it names
/// none.
fn prepare(head: &mut Parts, client: IpAddr) -> Option<String> {
    // An absolute URI wins over `Host` (RFC 9112, section 3.2.2).
    let host = match (head.uri.authority(), head.headers.remove(HOST)) {
        (Some(authority), _) => authority.clone(),
        (None, host) => Authority::try_from(host?.as_bytes()).ok()?,
    };
    let endpoint = endpoint::parse(host.as_str()).ok()?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(host)
        .path_and_query(path);
    head.uri = uri.build().ok()?;
    head.version = Version::HTTP_2;
    wire::remove_hop_by_hop(&mut head.headers);
    // The app sees connections of the agent only.
    let client = HeaderValue::from_str(&client.to_string()).ok()?;
    head.headers.append("x-forwarded-for", client);
    head.headers
        .insert("x-forwarded-proto", HeaderValue::from_static("http"));
    Some(endpoint)
}

/// Why an agent did not answer a request. With the first two, no byte of it has reached an app.
enum Unsent {
    /// The agent takes no requests any more. The request is here unless its body is on its way.
    Draining(Option<Box<Request<Body>>>),
    /// The agent cannot connect to its app.
    Refused,
    /// The connection was lost while the request was in flight: it may have been acted on.
    Lost,
}

impl Unsent {
    fn from_http2(error: Option<&h2::Error>) -> Self {
        match error.map(|error| (error.is_remote(), error.is_go_away(), error.reason())) {
            Some((true, false, Some(h2::Reason::REFUSED_STREAM))) => Unsent::Refused,
            // The request is beyond the last one that the agent will still serve (RFC 9113, section
            // 6.8).
            Some((true, true, Some(h2::Reason::NO_ERROR))) => Unsent::Draining(None),
            _ => Unsent::Lost,
        }
    }
}

/// Sends the request to one agent. It counts as in flight there until the answer's body is through,
/// or is given up.
async fn send(mut pick: Pick, request: Request<Body>) -> Result<Response<Body>, Unsent> {
    let response = pick.tunnel.try_send_request(request).await;
    let response = response.map_err(|mut error| {
        if let Some(request) = error.take_message() {
            return Unsent::Draining(Some(Box::new(request)));
        }
        let cause = error.error().source();
        Unsent::from_http2(cause.and_then(|cause| cause.downcast_ref()))
    })?;
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11;
    let in_flight = pick.in_flight;
    let body = body.map_frame(move |frame| {
        let _ = &in_flight;
        frame
    });
    Ok(Response::from_parts(head, body.boxed()))
}
