//! Bodies, which stream in both directions, and many requests at once.

use crate::support::{App, Program, World, bounded, request, send};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use std::convert::Infallible;
use tokio::task::JoinSet;

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
fn hundred_requests_are_under_way_at_once_over_one_agent() {
    bounded(async {
        let (world, _app, _agent) = World::with_app().await;
        let mut started = Vec::new();
        for number in 0..100 {
            let (mut sender, body) = Upload::new(1);
            sender.send_data(format!("{number} ").into()).await.unwrap();
            let response = send(world.public, request("POST", "/echo", body)).await;
            assert_eq!(response.status(), StatusCode::OK);
            started.push((number, sender, response.into_body()));
        }
        // All of them have begun and none can end before its sender is dropped, so all are under way now.
        for (number, mut sender, body) in started {
            sender.send_data("done".into()).await.unwrap();
            drop(sender);
            let text = body.collect().await.unwrap().to_bytes();
            assert_eq!(text, format!("{number} done"));
        }
    });
}

#[test]
fn large_body_takes_no_memory() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 800; // 50 MiB
    const GROWTH: u64 = 8 * 1024; // KiB
    bounded(async {
        let (world, app, agent) = World::with_app().await;
        let chunk = Bytes::from((0..=u8::MAX).cycle().take(CHUNK).collect::<Vec<_>>());
        // A first body fills what buffers there are, so that the growth after it is that of the body.
        world.echo("x".repeat(CHUNK)).await;
        let programs = [&world.edge, &agent, &app.program];
        let before = programs.map(Program::peak_memory);

        let (mut sender, body) = Upload::new(1);
        let sent = chunk.clone();
        tokio::spawn(async move {
            for _ in 0..CHUNKS {
                sender.send_data(sent.clone()).await.unwrap();
            }
        });
        let mut echo = send(world.public, request("POST", "/echo", body))
            .await
            .into_body();
        let mut received = 0;
        while let Some(data) = next(&mut echo).await {
            let offset = received % CHUNK;
            let expected = chunk.iter().cycle().skip(offset).take(data.len());
            assert!(
                data.iter().eq(expected),
                "the body differs after {received} bytes"
            );
            received += data.len();
        }
        assert_eq!(received, CHUNK * CHUNKS);

        for (program, before) in programs.into_iter().zip(before) {
            let growth = program.peak_memory() - before;
            assert!(
                growth < GROWTH,
                "process {} grew by {growth} KiB",
                program.id()
            );
        }
    });
}

#[test]
fn bodies_that_nobody_reads_hold_up_no_other_request() {
    const STALLED: usize = 20;
    const OTHERS: usize = 50;
    bounded(async {
        let (world, _agent) = World::with_moody_app().await;
        let body = Full::new(Bytes::from(vec![0; 16 * 1024 * 1024]));
        let mut stalled = JoinSet::new();
        for _ in 0..STALLED {
            stalled.spawn(send(world.public, request("POST", "/deaf", body.clone())));
            // Its body is never asked for.
            stalled.spawn(send(
                world.public,
                request("POST", "/endless", Full::default()),
            ));
        }
        for _ in 0..OTHERS {
            let answer = world.echo("a body").await;
            assert_eq!((answer.status, &*answer.text), (StatusCode::OK, "a body"));
        }
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
