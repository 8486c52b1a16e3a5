//! The public listener: a request is taken, and given to an agent.

use super::registry::{AgentId, Pick};
use super::replay::{Attempt, Replay};
use super::{PROGRAM, State};
use crate::endpoint::{Endpoint, EndpointError};
use crate::labels::Labels;
use crate::{headers, net, wire};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// How much of a body is held to be sent once more: what an agent takes in before its app has accepted the
/// connection, with room for the chunk that is just beyond it.
const REPLAY_LIMIT: usize = 4 * wire::STREAM_WINDOW as usize;

type Body = BoxBody<Bytes, hyper::Error>;

/// Takes connections until it is dropped; HTTP/1 as well as HTTP/2 with prior knowledge.
pub(super) async fn serve(listener: &TcpListener, state: &Arc<State>) -> Infallible {
    loop {
        let (stream, peer) = net::accept(listener, PROGRAM).await;
        let state = Arc::clone(state);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, peer, Arc::clone(&state)));
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new());
            server.http2().timer(TokioTimer::new());
            // An error here is the client's: it hung up, or sends something that is not HTTP, and was told so by now.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Answers a request: with what an agent answers, or with a sentence that says why none does.
async fn answer(
    request: Request<Incoming>,
    client: SocketAddr,
    state: Arc<State>,
) -> Result<Response<Body>, Infallible> {
    Ok(forward(request, client, &state)
        .await
        .unwrap_or_else(Refusal::into_response))
}

/// Has one agent after the other serve the request, until one has taken it.
async fn forward(
    request: Request<Incoming>,
    client: SocketAddr,
    state: &State,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    let (endpoint, head) = prepare(head, client)?;
    let selector = state.registry().selector(&endpoint).cloned();
    let selector = selector.ok_or_else(|| Refusal::NoRoute(endpoint.clone()))?;
    let body = Replay::new(body, REPLAY_LIMIT);
    let mut tried = Vec::new();
    loop {
        let pick = state.registry().pick(&selector, &tried);
        let Some(pick) = pick else {
            return Err(if tried.is_empty() {
                Refusal::NoAgent(endpoint, selector)
            } else {
                Refusal::NoApp(endpoint)
            });
        };
        let Some(attempt) = body.attempt() else {
            return Err(Refusal::NoApp(endpoint));
        };
        let agent = pick.id;
        match send(pick, Request::from_parts(head.clone(), attempt)).await {
            Ok(response) => return Ok(response),
            Err(Unsent::Draining) => drop(state.registry().drain_agent(agent)),
            Err(Unsent::Refused) => tried.push(agent),
            Err(Unsent::Lost) => return Err(Refusal::Lost(endpoint, agent)),
        }
    }
}

/// Makes of a client's header what the agent is sent, and says what endpoint it is for.
fn prepare(mut head: Parts, client: SocketAddr) -> Result<(Endpoint, Parts), Refusal> {
    if head.method == Method::CONNECT || headers::ask_for_upgrade(&head.headers) {
        return Err(Refusal::Upgrade);
    }
    // An absolute URI and HTTP/2's `:authority` win over `Host` (RFC 9112, section 3.2.2).
    let host = match (head.uri.authority(), head.headers.remove(HOST)) {
        (Some(authority), _) => authority.to_string(),
        (None, Some(host)) => host.to_str().map_err(|_| Refusal::NoHost)?.to_owned(),
        (None, None) => return Err(Refusal::NoHost),
    };
    let endpoint = host.parse()?;
    let path = head.uri.path_and_query().cloned();
    head.uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(Authority::try_from(host).map_err(|_| Refusal::NoHost)?)
        .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
        .build()
        .map_err(|_| Refusal::NoPath)?;
    head.version = Version::HTTP_2;
    headers::remove_hop_by_hop(&mut head.headers);
    headers::add_forwarded(&mut head.headers, client.ip());
    Ok((endpoint, head))
}

/// Sends the request to one agent. It counts as in flight there until the answer's body is through, or is given up.
async fn send(
    mut pick: Pick<super::agents::Tunnel>,
    request: Request<Attempt<Incoming>>,
) -> Result<Response<Body>, Unsent> {
    let response = pick.tunnel.try_send_request(request).await;
    let response = response.map_err(|error| {
        if error.message().is_some() {
            return Unsent::Draining;
        }
        Unsent::from_http2(
            error
                .error()
                .source()
                .and_then(|cause| cause.downcast_ref()),
        )
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

/// Why an agent did not answer a request. The first two say that no byte of it reached an app.
#[derive(Debug, PartialEq, Eq)]
enum Unsent {
    /// The agent takes no requests any more.
    Draining,
    /// The agent cannot connect to its app.
    Refused,
    /// The connection was lost while the request was in flight: it may have been acted on.
    Lost,
}

impl Unsent {
    fn from_http2(error: Option<&h2::Error>) -> Self {
        match error.map(|error| (error.is_remote(), error.is_go_away(), error.reason())) {
            Some((true, false, Some(h2::Reason::REFUSED_STREAM))) => Unsent::Refused,
            // The request is beyond the last one that the agent will still serve (RFC 9113, section 6.8).
            Some((true, true, Some(h2::Reason::NO_ERROR))) => Unsent::Draining,
            _ => Unsent::Lost,
        }
    }
}

/// Why the edge answers a request itself, as told to whoever sent it.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// The client asks for another protocol.
    #[error("This edge does not forward upgrades such as WebSocket, only plain requests.")]
    Upgrade,
    /// The request does not say what host it is for.
    #[error("The request names no host, so there is no telling which endpoint it is for.")]
    NoHost,
    /// The request names a host that can be none.
    #[error("The request is for no endpoint: {0}.")]
    NotAHost(#[from] EndpointError),
    /// The request is not for a path.
    #[error("The request is for no path on its host.")]
    NoPath,
    /// No route was added for the endpoint.
    #[error("No route leads to {0}; add one with: backplane route {0} \"key=value\"")]
    NoRoute(Endpoint),
    /// No agent that could serve the endpoint is connected.
    #[error("No agent with the labels {1} is connected, which the route to {0} asks for.")]
    NoAgent(Endpoint, Labels),
    /// Agents are connected, but none could reach its app.
    #[error("No app behind {0} accepts connections at the moment.")]
    NoApp(Endpoint),
    /// The agent is gone, with the request.
    #[error("The connection to {1} was lost before {0} answered.")]
    Lost(Endpoint, AgentId),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::Upgrade => StatusCode::NOT_IMPLEMENTED,
            Refusal::NoHost | Refusal::NotAHost(_) | Refusal::NoPath => StatusCode::BAD_REQUEST,
            Refusal::NoRoute(_) | Refusal::NoAgent(..) => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::NoApp(_) | Refusal::Lost(..) => StatusCode::BAD_GATEWAY,
        }
    }

    fn into_response(self) -> Response<Body> {
        let sentence = Full::from(format!("{self}\n"));
        let mut response = Response::new(sentence.map_err(|never| match never {}).boxed());
        *response.status_mut() = self.status();
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use h2::Reason;

    fn head(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn prepared(uri: &str, fields: &[(&str, &str)]) -> Result<(Endpoint, Parts), StatusCode> {
        let client = SocketAddr::from(([192, 0, 2, 7], 1234));
        prepare(head(uri, fields), client).map_err(|refusal| refusal.status())
    }

    #[test]
    fn host_becomes_endpoint_and_stays_as_it_was_for_the_app() {
        for (uri, host, endpoint, expected) in [
            ("/", "my.test", "my.test", "http://my.test/"),
            ("/a?b=c", "My.Test:80", "my.test", "http://My.Test:80/a?b=c"),
            (
                "http://my.test/a",
                "other.test",
                "my.test",
                "http://my.test/a",
            ),
            ("http://my.test", "my.test", "my.test", "http://my.test/"),
        ] {
            let (for_whom, head) = prepared(uri, &[("host", host)]).unwrap();
            assert_eq!(
                (&*for_whom.to_string(), &*head.uri.to_string()),
                (endpoint, expected)
            );
            assert!(!head.headers.contains_key(HOST));
            assert_eq!(head.headers["x-forwarded-for"], "192.0.2.7");
        }
    }

    #[test]
    fn request_that_cannot_be_forwarded_is_refused() {
        for (fields, expected) in [
            (&[][..], StatusCode::BAD_REQUEST),
            (&[("host", "")], StatusCode::BAD_REQUEST),
            (&[("host", "a/b")], StatusCode::BAD_REQUEST),
            (
                &[
                    ("host", "my.test"),
                    ("connection", "upgrade"),
                    ("upgrade", "websocket"),
                ],
                StatusCode::NOT_IMPLEMENTED,
            ),
        ] {
            assert_eq!(prepared("/", fields).err(), Some(expected), "{fields:?}");
        }
    }

    #[test]
    fn request_is_lost_unless_the_agent_itself_says_that_it_was_not_touched() {
        // The other cases need a peer, and have integration tests.
        let local = h2::Error::from(Reason::REFUSED_STREAM);
        for error in [None, Some(&local)] {
            assert_eq!(Unsent::from_http2(error), Unsent::Lost);
        }
    }
}
