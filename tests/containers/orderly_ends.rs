//! Rolling deploys under load in which the agent ends before its app: by `backplane-run` in front of the app's command, or by
//! `backplane-drain` before the container is stopped. Then no request is lost, whatever the app does at SIGTERM.

use std::sync::OnceLock;

use harness::containers::{Build, Container, Image, test_env};
use harness::{App, Client, Edge, Load, Record, TOKEN, documented, eventually, soak_or};
use indoc::indoc;

use crate::fixtures::{ENDPOINT, build_with_servers, sample_app};
use crate::served_app::GRACE;
use crate::servers::{GUNICORN_APP, command, nginx_conf};

const REPLICAS: usize = 3;

/// How many requests at least there are for each container that is replaced.
const REQUESTS: usize = 40;

pub(crate) const LIBEXEC: &str = "/layers/backplane_agent/agent/libexec";

/// Where no app exits by itself, nothing is gained by waiting for it.
const SHORT_GRACE: u32 = 2;

/// An app, and what it does at SIGTERM.
struct Case {
    name: &'static str,
    /// After `RUN`, which is `backplane-run` or nothing.
    command: String,
    file: (&'static str, String),
    /// The exit status of a container with `backplane-run`.
    status: i32,
}

fn cases() -> [Case; 4] {
    let procfile = documented("docs/recipes.md", "web: /layers/");
    assert_eq!(procfile, documented("docs/stopping.md", "web: /layers/"));
    let below_run = command(&procfile);
    assert!(below_run.starts_with(LIBEXEC), "{below_run}");
    [
        Case {
            name: "exits-at-once",
            command: "exec RUN node server.js".to_owned(),
            file: (
                "server.js",
                indoc! {r#"
                    require("http")
                      .createServer((request, response) => response.end(`${process.pid}\n`))
                      .listen(process.env.PORT, "127.0.0.1");
                "#}
                .to_owned(),
            ),
            status: 128 + 15,
        },
        Case {
            name: "ignores-it",
            command: "exec RUN python3 server.py".to_owned(),
            file: (
                "server.py",
                indoc! {r#"
                    import http.server, os, signal

                    class Handler(http.server.BaseHTTPRequestHandler):
                        def do_GET(self):
                            page = f"{os.getpid()}\n".encode()
                            self.send_response(200)
                            self.send_header("Content-Length", str(len(page)))
                            self.end_headers()
                            self.wfile.write(page)

                        def log_message(self, *arguments):
                            pass

                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    address = ("127.0.0.1", int(os.environ["PORT"]))
                    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
                "#}
                .to_owned(),
            ),
            status: 128 + 9,
        },
        Case {
            name: "gunicorn",
            command: below_run.replace(&format!("{LIBEXEC}/backplane-run"), "RUN"),
            file: (GUNICORN_APP.0, GUNICORN_APP.1.to_owned()),
            status: 0,
        },
        Case {
            name: "nginx",
            command: command(&documented("docs/recipes.md", "web: sed "))
                .replace("exec nginx", "exec RUN nginx"),
            file: nginx_conf(),
            status: 0,
        },
    ]
}

/// An image with a process type for each case, and one with `backplane-run` in front of it.
pub(crate) fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let run = format!("{LIBEXEC}/backplane-run");
        let app = cases().into_iter().fold(App::new(), |app, case| {
            app.process(case.name, &case.command.replace("RUN ", ""))
                .process(
                    &format!("{}-below-run", case.name),
                    &case.command.replace("RUN", &run),
                )
                .file(case.file.0, case.file.1)
        });
        build_with_servers(app).run()
    })
}

/// The replicas of an app, each in a container of its own, under load.
struct Deployment<'a> {
    // Before what it needs, as fields are dropped in this order.
    load: Load,
    replicas: Vec<Replica>,
    edge: Edge,
    image: &'a Image,
    process_type: String,
    drain: &'static str,
    started: usize,
}

struct Replica {
    container: Container,
    label: String,
}

impl<'a> Deployment<'a> {
    fn start(
        image: &'a Image,
        process_type: String,
        drain: &'static str,
        clients: &[Client],
    ) -> Self {
        let edge = test_env().edge(TOKEN);
        edge.route(TOKEN, ENDPOINT, "app=replicated");
        let mut started = 0;
        let replicas = (0..REPLICAS)
            .map(|_| {
                started += 1;
                Replica::start(image, &process_type, drain, started, &edge)
            })
            .collect();
        Self {
            load: edge.load(ENDPOINT, clients),
            replicas,
            edge,
            image,
            process_type,
            drain,
            started,
        }
    }

    /// Replaces all containers, and with `--soak` more often, each after `before_stop`.
    fn replace(&mut self, grace: u32, before_stop: impl Fn(&Container), status: i32) {
        for index in 0..soak_or(12, REPLICAS) {
            self.wait_for_requests();
            let old = &self.replicas[index % REPLICAS];
            let agent = self.edge.wait_for_connected(&old.label);
            before_stop(&old.container);
            old.container.stop(grace);
            assert_eq!(old.container.wait(), status, "{}", old.container.stderr());
            self.edge.wait_for_gone(agent);
            self.started += 1;
            self.replicas[index % REPLICAS] = Replica::start(
                self.image,
                &self.process_type,
                self.drain,
                self.started,
                &self.edge,
            );
        }
        self.wait_for_requests();
    }

    fn wait_for_requests(&self) {
        let wanted = self.load.records().sent() + soak_or(12, 1) * REQUESTS;
        eventually(harness::DEADLINE, "requests", || {
            (self.load.records().sent() >= wanted).then_some(())
        });
    }
}

impl Replica {
    fn start(image: &Image, process_type: &str, drain: &str, number: usize, edge: &Edge) -> Self {
        let label = format!("replica={number}");
        let container = image
            .process(process_type)
            .connect(edge)
            .env("BACKPLANE_PROCESS_TYPE", "web")
            .env("BACKPLANE_LABELS", format!("app=replicated,{label}"))
            .env("BACKPLANE_DRAIN", drain)
            .start();
        edge.wait_for_connected(&label);
        Self { container, label }
    }
}

fn assert_no_request_failed(deployment: Deployment<'_>, name: &str) {
    let records = deployment.load.stop();
    let failed: Vec<&Record> = records.failed().collect();
    println!(
        "{name}: {} requests, {} failed",
        records.sent(),
        failed.len()
    );
    assert!(failed.is_empty(), "{name}: {failed:#?}");
}

#[test]
fn no_request_is_lost_below_run_whatever_the_app_does_at_sigterm() {
    for case in cases() {
        let process_type = format!("{}-below-run", case.name);
        let mut deployment = Deployment::start(image(), process_type, "stop", &[Client::Page; 4]);
        let grace = if case.status == 128 + 9 {
            SHORT_GRACE
        } else {
            GRACE
        };
        deployment.replace(grace, |_| {}, case.status);
        assert_no_request_failed(deployment, case.name);
    }
}

#[test]
fn no_request_is_lost_if_the_agent_is_drained_before_the_container_is_stopped() {
    for case in cases() {
        // Process 1 without a handler of SIGTERM, or that ignores it, is killed.
        let (grace, status) = match case.status {
            0 => (GRACE, 0),
            _ => (SHORT_GRACE, 128 + 9),
        };
        let process_type = case.name.to_owned();
        let mut deployment = Deployment::start(image(), process_type, "keep", &[Client::Page; 4]);
        let commands = documented("docs/stopping.md", "docker exec my-app ");
        let (drain, stop) = commands.split_once(" && ").unwrap();
        assert_eq!(stop, "docker stop my-app\n");
        let drain = drain.strip_prefix("docker exec my-app ").unwrap();
        let drain = |container: &Container| {
            let (code, output, errors) = container.exec(&[drain]);
            assert_eq!(code, Some(0), "{output}{errors}");
        };
        deployment.replace(grace, drain, status);
        assert_no_request_failed(deployment, case.name);
    }
}

/// The sample app finishes what it has accepted, and exits at once then: as process 1 it would take its agent along.
#[test]
fn no_answer_of_an_app_is_lost_below_run_with_drain_keep() {
    let command = format!("exec {LIBEXEC}/backplane-run ./sample-app");
    let image = Build::new(sample_app().process("web", &command))
        .env("BACKPLANE_AGENT_URL", "vendor/backplane")
        .run();
    let mut deployment = Deployment::start(&image, "web".to_owned(), "keep", &Client::MIX);
    deployment.replace(GRACE, |_| {}, 0);
    let records = deployment.load.stop();
    for record in records.failed() {
        assert!(record.app.is_none(), "{record:#?}");
    }
    // Those that the app has not even accepted.
    assert!(records.failed().count() <= soak_or(12, REPLICAS));
}
