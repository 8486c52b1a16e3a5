//! Containers of a pod, with one network and one port. Mostly each sees its own processes only.

use std::thread;
use std::time::{Duration, Instant};

use harness::containers::{Container, Run};
use harness::{Edge, eventually, never_within};

use crate::fixtures::ENDPOINT;
use crate::served_app::{GRACE, STATUS, edge, image};

/// How soon a process has the agent after it listens, or after the end of the process that had it.
const SOON: Duration = Duration::from_secs(4);

/// Longer than a supervisor leaves a target to others.
const SETTLED: Duration = Duration::from_secs(3);

struct Pod {
    // Before what they need, as fields are dropped in this order.
    edge: Edge,
    /// The container that keeps the network, as in Kubernetes, while others come and go.
    sandbox: Container,
    /// Whether its containers see each other's processes.
    shares_processes: bool,
}

impl Pod {
    fn new(shares_processes: bool) -> Self {
        let sandbox = image()
            .process("launcher")
            .command(["--", "sleep", "1000"])
            .options(["--init"]);
        Self {
            edge: edge(),
            sandbox: sandbox.start(),
            shares_processes,
        }
    }

    /// A run of a process type, with the same variables as all others, except one label.
    fn run(&self, process_type: &str, label: &str) -> Run {
        let run = image()
            .process(process_type)
            .connect(&self.edge)
            .env("BACKPLANE_PROCESS_ALLOW", "worker,web")
            .env("BACKPLANE_LABELS", format!("some=label,{label}"))
            .in_network_of(&self.sandbox);
        if self.shares_processes {
            run.options(["--pid", &format!("container:{}", self.sandbox.name)])
        } else {
            run
        }
    }

    /// Waits until this label's agent is the one at the edge, and requests are answered, within the
    /// time that is left since a moment.
    #[track_caller]
    fn assert_served_by(&self, label: &str, container: &Container, since: Instant) {
        let left = SOON.saturating_sub(since.elapsed());
        let agent = eventually(left, format_args!("the agent with {label}"), || {
            self.edge.connected(label)
        });
        let what = format!("{} is not served for good", container.name);
        never_within(SETTLED, &what, || {
            self.edge.get(ENDPOINT, "/") != 200 || self.edge.connected(label) != Some(agent)
        });
    }
}

/// Waits until this container's supervisor has the lock, and no agent.
#[track_caller]
fn wait_for_lock(container: &Container) {
    container.eventually("a supervisor that has the lock and waits", || {
        (container.exec(&[STATUS]).0 == Some(1)).then_some(())
    });
}

/// A worker listens on nothing, but has the port in its environment like all containers of the pod.
#[test]
fn web_is_served_and_the_worker_of_its_pod_stands_by() {
    image();
    // The worker's supervisor is there first: just so, for longer than apps take to boot, or where
    // each supervisor sees all processes.
    let pods = [
        (Duration::ZERO, false),
        (Duration::from_secs(11), false),
        (Duration::ZERO, true),
    ];
    thread::scope(|scope| {
        for (held_for, shares_processes) in pods {
            scope.spawn(move || {
                let pod = Pod::new(shares_processes);
                let worker = pod.run("worker", "is=worker").start();
                wait_for_lock(&worker);
                never_within(held_for, "the worker has an agent", || {
                    pod.edge.connected("is=worker").is_some()
                });

                let web = pod.run("web", "is=web").start();
                web.wait_for_stdout("listening 127.0.0.1:8080\n");
                pod.assert_served_by("is=web", &web, Instant::now());
                // Once the next web process may be there first, once the worker's supervisor is.
                for worker_is_first in [false, true] {
                    web.stop(GRACE);
                    assert_eq!(web.wait(), 0, "{}", web.stderr());
                    pod.edge.wait_for_status(ENDPOINT, 503);
                    if worker_is_first {
                        wait_for_lock(&worker);
                    }
                    web.docker("start");
                    pod.assert_served_by("is=web", &web, Instant::now());
                }

                assert_eq!(worker.processes().len(), 2, "{:#?}", worker.processes());
                let lines = worker.our_lines().join("\n");
                assert!(!lines.contains("is=worker"), "{lines}");
            });
        }
    });
}

/// A server that answers everything with status 200.
fn server(reuses_port: bool) -> String {
    let reuses_port = u8::from(reuses_port);
    format!(
        r#"use IO::Socket::INET; $| = 1; $SIG{{TERM}} = sub {{ exit 0 }};
        my %address = (LocalAddr => "127.0.0.1:$ENV{{PORT}}", Listen => 64, ReuseAddr => 1, ReusePort => {reuses_port});
        select undef, undef, undef, 0.05 until $listener = IO::Socket::INET->new(%address);
        print "listening\n";
        while ($client = $listener->accept) {{
            while (<$client> =~ /\S/) {{}}
            print $client "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            close $client;
        }}"#
    )
}

#[test]
fn container_that_replaces_another_is_served_soon_after_that_ones_end() {
    image();
    // Both listen for some time, or the new one waits until the port is free.
    thread::scope(|scope| {
        for reuses_port in [true, false] {
            scope.spawn(move || {
                let pod = Pod::new(false);
                let start = |label| {
                    let run = pod.run("launcher", label);
                    run.env("BACKPLANE_PROCESS_TYPE", "web")
                        .command(["--", "perl", "-e", &server(reuses_port)])
                        .start()
                };
                let old = start("release=old");
                old.wait_for_stdout("listening\n");
                pod.assert_served_by("release=old", &old, Instant::now());

                let new = start("release=new");
                new.wait_for_stderr("This supervisor stands by");
                if reuses_port {
                    new.wait_for_stdout("listening\n");
                }
                // The old one keeps the agent as long as it lives.
                pod.assert_served_by("release=old", &old, Instant::now());
                assert_eq!(pod.edge.connected("release=new"), None);
                let ended = Instant::now();
                old.stop(GRACE);
                assert_eq!(old.wait(), 0, "{}", old.stderr());
                pod.assert_served_by("release=new", &new, ended);
            });
        }
    });
}
