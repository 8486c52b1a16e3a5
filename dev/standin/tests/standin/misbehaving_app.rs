//! An app that does not do what apps should.

use crate::support::{Program, World};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, hyper::Error>;

impl World {
    /// A world with an agent and a route to an app that answers without end at `/endless`, and echoes everything else.
    pub(crate) async fn with_misbehaving_app() -> (Self, Program) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let server = http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(answer)));
            }
        });
        let world = World::start().await;
        let agent = world.agent_for("app=web", &url).await;
        world.route("app=web").await;
        (world, agent)
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(match request.uri().path() {
        "/endless" => endless(),
        _ => request.into_body().boxed(),
    }))
}

fn endless() -> Body {
    let (mut sender, body) = Channel::<Bytes, hyper::Error>::new(1);
    let chunk = Bytes::from(vec![0; 64 * 1024]);
    tokio::spawn(async move { while sender.send_data(chunk.clone()).await.is_ok() {} });
    body.boxed()
}
