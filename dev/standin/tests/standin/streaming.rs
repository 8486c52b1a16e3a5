//! Answers that end too early.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;

use crate::support::{App, World, bounded, request, send};

#[test]
fn app_that_ends_in_the_middle_of_an_answer_is_noticed() {
    bounded(async {
        let (world, app, agent) = World::with_app().await;
        let request = request("GET", "/slow?ms=60000", Full::<Bytes>::default());
        let response = send(world.public, request).await;
        app.program.signal(nix::sys::signal::Signal::SIGKILL);
        // Cut off and not ended, so that the client does not take a part for the whole.
        assert!(response.into_body().collect().await.is_err());
        // The connection between agent and edge has not suffered.
        let app = App::start(&[]).await;
        drop(agent);
        let _agent = world.agent("app=web", &app).await;
        let answer = world.get("/").await;
        assert!(app.greets_in(&answer), "{answer:?}");
    });
}
