//! Bodies, which stream in both directions.

use crate::support::{App, World, bounded, request, send};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use std::convert::Infallible;

type Upload = Channel<Bytes, Infallible>;

async fn next(body: &mut Incoming) -> Option<Bytes> {
    Some(body.frame().await?.unwrap().into_data().unwrap())
}

#[test]
fn first_chunk_comes_back_before_the_last_is_sent() {
    bounded(async {
        let (world, _app, _agent) = World::with_app().await;
        let (mut sender, body) = Upload::new(1);
        sender.send_data("first".into()).await.unwrap();
        let mut echo = send(world.public, request("POST", "/echo", body))
            .await
            .into_body();
        assert_eq!(next(&mut echo).await, Some("first".into()));
        sender.send_data("last".into()).await.unwrap();
        assert_eq!(next(&mut echo).await, Some("last".into()));
        drop(sender);
        assert_eq!(next(&mut echo).await, None);
    });
}

#[test]
fn app_that_ends_in_the_middle_of_an_answer_is_noticed() {
    bounded(async {
        let (world, app, agent) = World::with_app().await;
        let request = request("GET", "/slow?ms=60000", Full::<Bytes>::default());
        let response = send(world.public, request).await;
        app.program.signal(nix::sys::signal::Signal::SIGKILL);
        // Cut off rather than ended, so that the client does not take a part for the whole.
        assert!(response.into_body().collect().await.is_err());
        // The connection between agent and edge has not suffered.
        let app = App::start(&[]).await;
        drop(agent);
        let _agent = world.agent("app=web", &app).await;
        let answer = world.get("/").await;
        assert!(app.greets_in(&answer), "{answer:?}");
    });
}
