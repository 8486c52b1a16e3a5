//! Real servers as process 1 of a container: reloads under load, and `docker stop`.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use harness::containers::{Build, Container, Image, Run};
use harness::{App, Client, Load, Record, documented};
use indoc::indoc;

use crate::fixtures::{ENDPOINT, build_with_servers};
use crate::served_app::{GRACE, Served};

/// A server of the run image, and an app for it whose page is the PID of the process that answers.
struct Server {
    /// Its process type.
    name: &'static str,
    command: String,
    /// A file of the app, and its content.
    file: (&'static str, String),
    /// The signals to process 1 that replace all processes that answer.
    reloads: &'static [&'static str],
}

/// An app for gunicorn.
pub(crate) const GUNICORN_APP: (&str, &str) = (
    "app.py",
    indoc! {r#"
        import os

        def application(environ, start_response):
            page = f"{os.getpid()}\n".encode()
            start_response("200 OK", [("Content-Length", str(len(page)))])
            return [page]
    "#},
);

/// The recipe's configuration of nginx, for an app without files.
pub(crate) fn nginx_conf() -> (&'static str, String) {
    let recipe = documented("docs/recipes.md", "daemon off;");
    let content = replaced(
        &recipe,
        "root /workspace/public;",
        r#"return 200 "$pid\n";"#,
    );
    ("nginx.conf", content)
}

/// The command of a Procfile with one process.
pub(crate) fn command(procfile: &str) -> String {
    let command = procfile.trim_end().strip_prefix("web: ");
    command.expect("it is a web process").to_owned()
}

/// A recipe with another page.
fn replaced(recipe: &str, from: &str, to: &str) -> String {
    assert!(recipe.contains(from), "no {from} in: {recipe}");
    recipe.replace(from, to)
}

fn servers() -> [Server; 6] {
    let app_of_puma = r##"app { |_| [200, {}, ["#{Process.pid}\n"]] }"##;
    let puma = documented("docs/recipes.md", "bind ");
    let node = documented("docs/recipes.md", "const server ");
    [
        Server {
            name: "gunicorn",
            command: command(&documented("docs/recipes.md", "web: gunicorn ")),
            file: (GUNICORN_APP.0, GUNICORN_APP.1.to_owned()),
            reloads: &["HUP"],
        },
        // Its upgrade by USR2 is not for containers: in the end, process 1 exits.
        Server {
            name: "nginx",
            command: command(&documented("docs/recipes.md", "web: sed ")),
            file: nginx_conf(),
            reloads: &["HUP"],
        },
        Server {
            name: "puma",
            command: command(&documented("docs/recipes.md", "web: puma ")),
            file: ("config/puma.rb", format!("{puma}{app_of_puma}\n")),
            reloads: &["USR1", "USR2"],
        },
        Server {
            name: "haproxy",
            command: "exec haproxy -W -f haproxy.cfg".to_owned(),
            file: (
                "haproxy.cfg",
                indoc! {r#"
                    defaults
                      mode http
                      timeout connect 5s
                      timeout client 30s
                      timeout server 30s
                    frontend app
                      bind "127.0.0.1:${PORT}"
                      http-request return status 200 content-type text/plain lf-string "%pid\n"
                "#}
                .to_owned(),
            ),
            reloads: &["USR2"],
        },
        Server {
            name: "node-cluster",
            command: "exec node cluster.js".to_owned(),
            file: (
                "cluster.js",
                indoc! {r#"
                    const cluster = require("cluster");
                    if (cluster.isPrimary) {
                      cluster.fork();
                      cluster.fork();
                      process.on("SIGHUP", () => {
                        for (const old of Object.values(cluster.workers))
                          cluster.fork().once("listening", () => old.disconnect());
                      });
                      process.on("SIGTERM", () => cluster.disconnect(() => process.exit()));
                    } else {
                      require("http")
                        .createServer((request, response) => response.end(`${process.pid}\n`))
                        .listen(process.env.PORT, "127.0.0.1");
                    }
                "#}
                .to_owned(),
            ),
            reloads: &["HUP"],
        },
        // Without a reload.
        Server {
            name: "node",
            command: command(&documented("docs/recipes.md", "web: node ")),
            file: (
                "server.js",
                replaced(&node, r#""Hello\n""#, r"`${process.pid}\n`"),
            ),
            reloads: &[],
        },
    ]
}

/// How much longer than without the buildpack a container may take to exit: 3 s, and some for a
/// busy machine.
const LONGER: Duration = Duration::from_secs(4);

/// A build of one app with a process type for each server.
fn build() -> Build {
    let app = servers().into_iter().fold(App::new(), |app, server| {
        app.process(server.name, &server.command)
            .file(server.file.0, server.file.1)
    });
    build_with_servers(app)
}

/// The image that the tests share. `script/engine` removes it.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| build().run())
}

impl Server {
    fn run(&self, image: &Image) -> Run {
        image
            .process(self.name)
            .env("BACKPLANE_PROCESS_TYPE", "web")
    }

    /// Starts a container of the shared image.
    fn start(&self, log: &str) -> Served {
        Served::start_run(|edge| self.run(image()).connect(edge).env("BACKPLANE_LOG", log))
    }
}

/// Runs `test` for all servers, two at a time, each in a thread with the server's name.
fn for_each_server(test: impl Fn(&Server) + Sync) {
    for servers in servers().chunks(2) {
        thread::scope(|scope| {
            for server in servers {
                let thread = thread::Builder::new().name(server.name.to_owned());
                thread.spawn_scoped(scope, || test(server)).unwrap();
            }
        });
    }
}

/// Sends a signal to the server and waits until only new processes answer.
fn assert_reloads(container: &Container, load: &Load, signal: &str) {
    let old = container.eventually("answers", || {
        Some(load.records().answering()).filter(|answering| !answering.is_empty())
    });
    // Processes that start later have higher PIDs.
    let (_, last_pid, _) = container.exec(&["sh", "-c", "echo $$"]);
    let last_pid: u32 = last_pid.trim_end().parse().unwrap();
    container.kill(signal);
    container.eventually("answers of new processes", || {
        let answering = load.records().answering();
        answering.iter().any(|pid| *pid > last_pid).then_some(())
    });
    let old: Vec<String> = old.iter().map(|pid| format!("/proc/{pid}")).collect();
    let list = format!("ls -d {}", old.join(" "));
    container.eventually("the exit of the old processes", || {
        let (_, left, _) = container.exec(&["sh", "-c", &list]);
        left.is_empty().then_some(())
    });
}

#[test]
fn reload_of_a_real_server_fails_no_request_and_keeps_the_agent() {
    for_each_server(|server| {
        if server.reloads.is_empty() {
            return;
        }
        let served = server.start("info");
        let agent = served.edge.wait_for_connected("some=label");
        let log = served.container.our_lines();
        let load = served.edge.load(ENDPOINT, &[Client::Page; 4]);
        for signal in server.reloads {
            assert_reloads(&served.container, &load, signal);
        }
        let records = load.stop();
        let failed: Vec<&Record> = records.failed().collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert_eq!(served.edge.connected("some=label"), Some(agent));
        assert_eq!(served.container.our_lines(), log);
        assert_eq!(served.container.inspect("{{.State.Running}}"), "true");
    });
}

#[test]
fn real_server_exits_at_docker_stop_as_without_the_buildpack() {
    let bare_image = build()
        .without_buildpacks()
        .buildpack("fixture/processes@0.1.0")
        .run();
    for_each_server(|server| {
        // With `quiet`, the buildpack logs warnings only.
        let served = server.start("quiet");
        let bare = server.run(&bare_image).env("PORT", "8080").start();
        let get =
            "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080', timeout=5)";
        bare.eventually("an answer", || {
            let (status, _, _) = bare.exec(&["python3", "-c", get]);
            (status == Some(0)).then_some(())
        });
        let [(expected_status, expected_end), (status, end)] =
            [&bare, &served.container].map(|container| {
                let start = Instant::now();
                container.stop(GRACE);
                (container.wait(), start.elapsed())
            });
        assert_eq!(status, expected_status);
        assert!(end < expected_end + LONGER, "{end:?}, {expected_end:?}");
        let warnings = served.container.our_lines();
        assert!(warnings.is_empty(), "{warnings:#?}");
    });
}
