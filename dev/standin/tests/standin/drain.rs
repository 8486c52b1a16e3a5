//! The end of an agent, whose requests in flight are finished.

use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use nix::sys::signal::Signal;

use crate::support::{World, bounded, eventually, request, send};

const WHOLE: &str = "1/10\n2/10\n3/10\n4/10\n5/10\n6/10\n7/10\n8/10\n9/10\n10/10\n";

/// Starts a request that takes this long, and waits until its answer has begun.
async fn slow(world: &World, milliseconds: u32) -> Incoming {
    let path = format!("/slow?ms={milliseconds}");
    let response = send(world.public, request("GET", &path, Empty::<Bytes>::new())).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body()
}

#[test]
fn request_in_flight_is_finished_and_no_new_one_is_taken() {
    bounded(async {
        let (world, app, mut agent) = World::with_app().await;
        let answer = slow(&world, 2_000).await;
        agent.signal(Signal::SIGTERM);
        agent
            .logged("SIGTERM: finishing the requests in flight")
            .await;
        eventually("the edge sends the agent nothing more", async || {
            let answer = world.get("/").await;
            let is_unavailable = answer.status == StatusCode::SERVICE_UNAVAILABLE;
            assert!(is_unavailable || app.greets_in(&answer), "{answer:?}");
            is_unavailable.then_some(())
        })
        .await;
        let log = world.edge.log();
        let is_gone = log.iter().any(|line| line.contains("is gone"));
        assert!(!is_gone, "it was still there: {log:?}");
        assert_eq!(answer.collect().await.unwrap().to_bytes(), WHOLE);
        assert_eq!(agent.ended().await.code(), Some(0));
        world.edge.logged("agent 1 is gone").await;
    });
}

#[test]
fn no_request_is_lost_while_agents_are_replaced() {
    bounded(async {
        let (world, app, mut agent) = World::with_app().await;
        for _ in 0..3 {
            let next = world.agent("app=web", &app).await;
            let mut answers = tokio::task::JoinSet::new();
            agent.signal(Signal::SIGTERM);
            for _ in 0..50 {
                let request = request("GET", "/", Empty::<Bytes>::new());
                answers.spawn(send(world.public, request));
                tokio::task::yield_now().await;
            }
            for response in answers.join_all().await {
                assert_eq!(response.status(), StatusCode::OK);
            }
            assert_eq!(agent.ended().await.code(), Some(0));
            agent = next;
        }
    });
}
