//! Apps that are process 1 of their container and wait for all their children, of which the supervisor is one.

use std::thread;
use std::time::{Duration, Instant};

use harness::containers::{Build, Container, Image, docker};
use harness::never_within;
use indoc::indoc;

use crate::fixtures::{ENDPOINT, build_with_servers, sample_app};
use crate::served_app::{GRACE, edge};

/// How much longer than without the buildpack an app may take to end.
const LONGER: Duration = Duration::from_secs(4);

/// Longer than the supervisor takes to see that the app has a child.
const SERVED_FOR: Duration = Duration::from_millis(2_500);

/// Each app has one worker, which serves, and ends once it has no child any more. Its name is a process type, and so a program of the PATH.
const APPS: [(&str, &str); 6] = [
    ("haproxy-master", "haproxy -W -f haproxy.cfg"),
    ("ruby-waitall", "ruby server.rb"),
    ("python-wait", "python3 server.py"),
    ("perl-wait", "perl server.pl"),
    ("ash-wait", "busybox ash server.sh"),
    ("bash-wait", "bash server.sh"),
];

const HAPROXY: &str = indoc! {r#"
    defaults
      mode http
      timeout client 5s
      timeout connect 5s
      timeout server 5s
    frontend web
      bind "127.0.0.1:${PORT}"
      http-request return status 200
"#};

const RUBY: &str = indoc! {r#"
    require "socket"
    worker = fork do
      server = TCPServer.new("127.0.0.1", ENV["PORT"])
      loop do
        client = server.accept
        client.recv(4096)
        client.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        client.close
      end
    end
    trap("TERM") { Process.kill("TERM", worker) }
    Process.waitall
    exit 7
"#};

const PYTHON: &str = indoc! {r#"
    import os, signal, socket, sys
    def serve():
        server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
        while True:
            client, _ = server.accept()
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            client.close()
    worker = os.fork()
    if worker == 0:
        serve()
    signal.signal(signal.SIGTERM, lambda *_: os.kill(worker, signal.SIGTERM))
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit(7)
"#};

const PERL: &str = indoc! {r#"
    use IO::Socket::INET;
    unless ($worker = fork) {
        $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$ENV{PORT}", Listen => 5, ReuseAddr => 1) or die $!;
        while ($client = $listener->accept) {
            sysread $client, $request, 4096;
            syswrite $client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            close $client;
        }
    }
    $SIG{TERM} = sub { kill TERM => $worker };
    1 while wait != -1;
    exit 7;
"#};

/// The first wait ends with the signal.
const SHELL: &str = indoc! {r#"
    ./sample-app &
    trap "kill $!" TERM
    wait
    wait
    exit 7
"#};

/// Kills the only child of the app that is neither the supervisor nor about to become it.
const KILL_WORKER: &str = indoc! {r#"
    for pid in $(</proc/1/task/1/children); do
      [[ $(</proc/$pid/comm) == launch ]] || kill -KILL "$pid"
    done
"#};

#[derive(Debug, Clone, Copy)]
enum Cause {
    Stop,
    Crash,
}

/// How an app has ended.
#[derive(Debug)]
struct End {
    after: Duration,
    status: i32,
}

fn build() -> Build {
    let app = APPS
        .iter()
        .fold(sample_app(), |app, (name, command)| {
            app.process(name, &format!("exec {command}"))
        })
        .file("haproxy.cfg", HAPROXY)
        .file("server.rb", RUBY)
        .file("server.py", PYTHON)
        .file("server.pl", PERL)
        .file("server.sh", SHELL);
    build_with_servers(app)
}

/// Waits until the app listens on its port.
fn wait_for_listener(container: &Container) {
    container.eventually("a listener", || {
        let (code, ..) = container.exec(&["bash", "-c", ": </dev/tcp/127.0.0.1/8080"]);
        (code == Some(0)).then_some(())
    });
}

fn end(container: &Container, cause: Cause) -> End {
    let start = Instant::now();
    match cause {
        Cause::Stop => container.stop(GRACE),
        Cause::Crash => {
            // The end of the container may be that of this command, too.
            let (code, _, stderr) = container.exec(&["bash", "-c", KILL_WORKER]);
            assert!(matches!(code, Some(0 | 137)), "{code:?}: {stderr}");
        }
    }
    // The engine answers when it has ended, while many questions at a time would slow down what is measured.
    let status = docker(["wait", &container.name]);
    End {
        after: start.elapsed(),
        status: status.parse().unwrap(),
    }
}

/// The end of an app in an image without the buildpack.
fn end_without(image: &Image, name: &str, cause: Cause) -> End {
    let container = image.process(name).env("PORT", "8080").start();
    wait_for_listener(&container);
    end(&container, cause)
}

/// The end of an app that has its agent.
fn end_with(image: &Image, name: &str, cause: Cause) -> End {
    let edge = edge();
    let container = image.process(name).connect(&edge).start();
    container.eventually("an answer", || {
        (edge.get(ENDPOINT, "/") == 200).then_some(())
    });
    never_within(SERVED_FOR, name, || edge.get(ENDPOINT, "/") != 200);
    end(&container, cause)
}

#[test]
fn app_that_waits_for_all_its_children_ends_as_without_the_buildpack() {
    let images = [build().without_buildpacks(), build()].map(Build::run);
    let [without, with] = &images;
    let ends: Vec<_> = thread::scope(|scope| {
        let cases = APPS
            .iter()
            .flat_map(|(name, _)| [(*name, Cause::Stop), (*name, Cause::Crash)]);
        let threads: Vec<_> = cases
            .map(|(name, cause)| {
                let end = move || {
                    let without = end_without(without, name, cause);
                    (name, cause, without, end_with(with, name, cause))
                };
                scope.spawn(end)
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for (name, cause, without, with) in &ends {
        println!("{name}, {cause:?}: {without:?} without the buildpack, {with:?} with it");
    }
    // All of these end at once: what it takes is the engine's time.
    let engine = ends.iter().map(|(_, _, without, _)| without.after).max();
    let limit = engine.unwrap() + LONGER;
    for (name, cause, without, with) in &ends {
        assert_eq!(with.status, without.status, "{name}, {cause:?}");
        assert!(with.after < limit, "{name}, {cause:?}: {:?}", with.after);
    }
}
