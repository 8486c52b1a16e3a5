//! Which requests reach which app, and as what.

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};

use crate::support::{Answer, App, World, bounded, send};

#[test]
fn app_sees_the_request_as_it_was_sent() {
    bounded(async {
        let (world, _app, _agent) = World::with_app().await;
        let request = Request::builder()
            .uri("/headers?some=query")
            .header("Host", "MyEndpoint.Test:8080")
            .header("Connection", "x-for-the-edge, TE")
            .header("Connection", "x-for-it-too")
            .header("X-For-The-Edge", "1")
            .header("X-For-It-Too", "1")
            .header("TE", "trailers")
            .header("X-For-The-App", "1")
            .header("X-Forwarded-For", "192.0.2.1")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = Answer::of(send(world.public, request).await).await;
        assert_eq!(answer.status, StatusCode::OK);
        let mut lines: Vec<_> = answer.text.lines().collect();
        assert_eq!(lines.remove(0), "GET /headers?some=query");
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "host: MyEndpoint.Test:8080",
                "x-for-the-app: 1",
                "x-forwarded-for: 127.0.0.1",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-proto: http",
            ]
        );
    });
}

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
