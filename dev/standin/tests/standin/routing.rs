//! The way of requests to apps, and requests without an answer of an app.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::StatusCode;
use hyper::body::Bytes;
use nix::sys::signal::Signal;
use tokio::net::TcpListener;

use crate::support::{Answer, App, World, bounded, eventually, request, send};

#[test]
fn load_is_spread_over_matching_agents_only() {
    bounded(async {
        let (world, one, _agent_of_one) = World::with_app().await;
        let two = App::start(&[]).await;
        let _agent_of_two = world.agent("app=web,zone=b", &two).await;
        let other = App::start(&[]).await;
        let _agent_of_other = world.agent("app=other", &other).await;
        let mut counts = [0, 0];
        for _ in 0..10 {
            let answer = world.get("/").await;
            counts[0] += usize::from(one.greets_in(&answer));
            counts[1] += usize::from(two.greets_in(&answer));
        }
        assert_eq!(counts, [5, 5]);
    });
}

/// The first of two agents for the same route has an app that refuses connections.
#[test]
fn request_that_no_app_got_goes_to_another_agent_unless_it_has_a_body() {
    bounded(async {
        let (world, down, _agent_of_down) = World::with_app().await;
        let up = App::start(&[]).await;
        let _agent_of_up = world.agent("app=web", &up).await;
        down.close().await;
        for _ in 0..10 {
            let answer = world.get("/").await;
            assert!(up.greets_in(&answer), "{answer:?}");
        }
        let mut answers = [world.echo("a body").await, world.echo("a body").await];
        answers.sort_by_key(|answer| answer.status);
        let statuses = answers.each_ref().map(|answer| answer.status);
        assert_eq!(statuses, [StatusCode::OK, StatusCode::BAD_GATEWAY]);
        assert_eq!(answers[0].text, "a body");
    });
}

#[test]
fn request_that_no_app_takes_is_502() {
    bounded(async {
        let (world, app, agent) = World::with_app().await;
        app.close().await;
        let refused = Answer {
            status: StatusCode::BAD_GATEWAY,
            text: "No app behind myendpoint.test accepts connections at the moment.\n".into(),
        };
        assert_eq!(world.get("/").await, refused);
        assert_eq!(world.get("/").await, refused);
        agent
            .logged("cannot connect to the app at http://127.0.0.1:")
            .await;
        app.program.signal(Signal::SIGUSR2);
        eventually("the app answers again", async || {
            app.greets_in(&world.get("/").await).then_some(())
        })
        .await;
        agent.logged("the app accepts connections again").await;
        assert_eq!(agent.log().len(), 3, "one line for each change");
    });
}

#[test]
fn app_that_hangs_up_without_an_answer_is_502_and_not_asked_again() {
    bounded(async {
        let world = World::start().await;
        let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", rude.local_addr().unwrap());
        let mut agents = Vec::new();
        for zone in ["zone=a", "zone=b"] {
            let labels = format!("app=web,{zone}");
            agents.push(world.agent_for(&labels, &url).await);
        }
        world.route("app=web").await;
        let is_asked_again = tokio::spawn(async move {
            let (stream, _) = rude.accept().await.unwrap();
            // Only when the request is there, so that the agent has sent it.
            stream.readable().await.unwrap();
            drop(stream);
            // A second request would be another connection.
            let second = tokio::time::timeout(Duration::from_millis(300), rude.accept());
            second.await.is_ok()
        });
        let answer = world.get("/").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        let start = "The app took the request and gave no answer: ";
        assert!(answer.text.starts_with(start), "{answer:?}");
        assert!(!is_asked_again.await.unwrap(), "it was sent twice");
    });
}

#[test]
fn request_in_flight_when_its_agent_is_killed_is_502() {
    bounded(async {
        let (world, app, mut agent) = World::with_app().await;
        // Stopped, the app takes the connection, by its queue, and answers nothing.
        app.program.signal(Signal::SIGSTOP);
        let request = request("GET", "/", Empty::<Bytes>::new());
        let answer = tokio::spawn(send(world.public, request));
        eventually("the request is with the app", async || {
            waiting_bytes(app.address.port()).then_some(())
        })
        .await;
        agent.signal(Signal::SIGKILL);
        agent.ended().await;
        let expected = Answer {
            status: StatusCode::BAD_GATEWAY,
            text: "The connection to agent 1 was lost before myendpoint.test answered.\n".into(),
        };
        assert_eq!(Answer::of(answer.await.unwrap()).await, expected);
        world.edge.logged("agent 1 is gone").await;
        assert_eq!(world.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    });
}

/// Whether a connection to this local port holds bytes that its process has not read: proc(5),
/// `/proc/net/tcp`.
fn waiting_bytes(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1] == local && fields[3] == "01" && !fields[4].ends_with(":00000000")
    })
}

#[test]
fn agent_that_loses_the_edge_says_so_and_fails() {
    bounded(async {
        let (mut world, _app, mut agent) = World::with_app().await;
        world.edge.signal(Signal::SIGKILL);
        world.edge.ended().await;
        assert_eq!(agent.ended().await.code(), Some(1));
        agent
            .logged("backplane: the connection to the edge is lost: ")
            .await;
    });
}

#[test]
fn app_that_ends_in_the_middle_of_an_answer_is_noticed() {
    bounded(async {
        let (world, app, agent) = World::with_app().await;
        let request = request("GET", "/slow?ms=60000", Empty::<Bytes>::new());
        let response = send(world.public, request).await;
        app.program.signal(Signal::SIGKILL);
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
