//! Which requests reach which app, and as what.

use crate::support::{Answer, App, ENDPOINT, World, bounded, request, send};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn nothing() -> Empty<Bytes> {
    Empty::new()
}

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
            .body(nothing())
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
                "x-forwarded-for: 192.0.2.1, 127.0.0.1",
                "x-forwarded-proto: http",
            ]
        );
    });
}

#[test]
fn client_sees_the_answer_as_the_app_gave_it() {
    bounded(async {
        let world = World::start().await;
        let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", app.local_addr().unwrap());
        let _agent = world.agent_for("app=web", &url).await;
        world.route("app=web").await;
        tokio::spawn(async move {
            let (mut stream, _) = app.accept().await.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let answer = b"HTTP/1.0 418 Short and stout\r\n\
                Connection: x-for-the-agent\r\nConnection: x-for-it-too\r\n\
                X-For-The-Agent: 1\r\nX-For-It-Too: 1\r\n\
                X-For-The-Client: 1\r\nX-For-The-Client: 2\r\n\r\ntea";
            stream.write_all(answer).await.unwrap();
        });
        let response = send(world.public, request("GET", "/", nothing())).await;
        let fields = response.headers();
        let values: Vec<_> = fields.get_all("X-For-The-Client").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert!(!fields.contains_key("X-For-The-Agent") && !fields.contains_key("X-For-It-Too"));
        let expected = Answer {
            status: StatusCode::IM_A_TEAPOT,
            text: "tea".into(),
        };
        assert_eq!(Answer::of(response).await, expected);
    });
}

#[test]
fn head_has_the_length_and_no_body() {
    bounded(async {
        let (world, app, _agent) = World::with_app().await;
        let greeting = world.get("/").await;
        assert!(app.greets_in(&greeting), "{greeting:?}");
        let response = send(world.public, request("HEAD", "/", nothing())).await;
        assert_eq!(
            response.headers()["content-length"],
            greeting.text.len().to_string()
        );
        assert_eq!(Answer::of(response).await.text, "");
    });
}

#[test]
fn http2_client_is_served_too() {
    bounded(async {
        let (world, _app, _agent) = World::with_app().await;
        let stream = TcpStream::connect(world.public).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::builder()
            .uri(format!("http://{ENDPOINT}/headers"))
            .header("Cookie", "a=1")
            .header("Cookie", "b=2")
            .body(nothing())
            .unwrap();
        let answer = Answer::of(sender.send_request(request).await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
        for line in [&format!("host: {ENDPOINT}"), "cookie: a=1; b=2"] {
            assert!(answer.text.lines().any(|seen| seen == line), "{answer:?}");
        }
    });
}

#[test]
fn endpoint_without_a_route_is_503() {
    bounded(async {
        let world = World::start().await;
        let answer = world.get("/").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            answer.text,
            "No route leads to myendpoint.test; add one with: backplane route myendpoint.test \"key=value\"\n"
        );
    });
}

#[test]
fn endpoint_without_a_matching_agent_is_503() {
    bounded(async {
        let (world, _app, _agent) = World::with_app().await;
        world.route("app=web,zone=a").await;
        let answer = world.get("/").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            answer.text,
            "No agent with the labels app=web,zone=a is connected, which the route to myendpoint.test asks for.\n"
        );
    });
}

#[test]
fn upgrade_is_501() {
    bounded(async {
        let (world, _app, _agent) = World::with_app().await;
        let request = Request::builder()
            .uri("/")
            .header("Host", ENDPOINT)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .body(nothing())
            .unwrap();
        let response = send(world.public, request).await;
        assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            "This edge does not forward upgrades such as WebSocket, only plain requests.\n"
        );
    });
}

#[test]
fn newer_route_replaces_the_older() {
    bounded(async {
        let (world, one, _agent_of_one) = World::with_app().await;
        let two = App::start(&[]).await;
        let _agent_of_two = world.agent("app=web2", &two).await;
        let answer = world.get("/").await;
        assert!(one.greets_in(&answer), "{answer:?}");
        world.route("app=web2").await;
        let answer = world.get("/").await;
        assert!(two.greets_in(&answer), "{answer:?}");
        let line = "route myendpoint.test to app=web2, before that to app=web";
        world.edge.logged(line).await;
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
