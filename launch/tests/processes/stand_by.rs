//! Supervisors that find the lock held and stand by: one runs the agent, the one of the process that listens.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrV4, SocketFlags, SocketType, sockopt};

use crate::support::{
    self, App, Layer, PATIENT_AGENT, eventually, field, holds_for, is_alive, listen, within,
};

/// How soon after the holder's end another process has its agent.
const SOON: Duration = Duration::from_secs(4);

/// A socket for this port that does not listen yet.
fn bound(port: u16) -> OwnedFd {
    // Passed to one app only.
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
    let socket = socket.unwrap();
    sockopt::set_socket_reuseport(&socket, true).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    socket
}

fn port_of(socket: &OwnedFd) -> u16 {
    let address = rustix::net::getsockname(socket).unwrap();
    SocketAddrV4::try_from(address).unwrap().port()
}

/// A layer for a process of this type, whose labels name it.
fn layer_of(process_type: &str, port: u16) -> Layer {
    let mut layer = Layer::new(PATIENT_AGENT, port);
    layer
        .set("BACKPLANE_PROCESS_TYPE", process_type)
        .set("BACKPLANE_LABELS", &format!("app={process_type}"))
        .set("BACKPLANE_LOG", "info");
    layer
}

/// Launches an app that has this socket open, and waits until its exec.d program has decided.
fn launch_with_socket<'layer>(layer: &'layer Layer, socket: &OwnedFd) -> App<'layer> {
    let mut command = layer.command("sleep 1000");
    command.stdin(socket.try_clone().unwrap());
    let app = App::of(layer, command.spawn().unwrap());
    eventually("the app is booted", || {
        (field(app.pid(), "Name")? == "sleep").then_some(())
    });
    app
}

/// Launches an app of each layer, and waits for their supervisors.
fn launch_all(layers: &[Layer]) -> Vec<App<'_>> {
    let apps: Vec<App> = layers.iter().map(Layer::launch).collect();
    for app in &apps {
        app.supervisor();
    }
    apps
}

fn end(mut app: App, signal: &str) {
    support::signal(app.pid(), signal);
    app.wait();
    app.nothing_is_left();
}

/// The arguments of the first agent of a layer.
fn argv(layer: &Layer) -> String {
    let notes = layer.notes();
    notes.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn process_that_stands_by_has_an_agent_soon_after_the_holders_end() {
    let stubborn = PATIENT_AGENT.replace("exec sleep 1000", "trap '' TERM\nsleep 1000; sleep 1000");
    for (agent, ends_supervisor, signal) in [
        (PATIENT_AGENT, false, "TERM"),
        (PATIENT_AGENT, false, "KILL"),
        (PATIENT_AGENT, true, "KILL"),
        (&stubborn, false, "TERM"),
    ] {
        let (_listener, port) = listen("127.0.0.1");
        let mut layers = [Layer::new(agent, port), layer_of("web", port)];
        layers[0].set("BACKPLANE_STOP_TIMEOUT", "2");
        let holder = layers[0].launch();
        let first = holder.agent(1);
        let other = layers[1].launch();
        other.log_has("This supervisor stands by");
        assert_eq!(layers[1].log().lines().count(), 1, "{}", layers[1].log());
        let ended = Instant::now();
        if ends_supervisor {
            support::signal(holder.supervisor(), signal);
        } else {
            support::signal(holder.pid(), signal);
        }
        let left = |since: Instant| SOON.saturating_sub(since.elapsed());
        within(left(ended), "the other has an agent", || {
            layers[1].agents().first().copied()
        });
        assert!(!is_alive(first), "never two at a time");
        // It is what backplane-status finds.
        let output = layers[1].status().arg("--json").output().unwrap();
        let json = String::from_utf8_lossy(&output.stdout).into_owned();
        let pid = layers[1].agents()[0];
        assert!(json.contains(&format!("\"agent_pid\":{pid},")), "{json}");
        other.finish();
        drop(holder);
    }
}

#[test]
fn process_that_listens_has_the_agent_in_any_order_of_starts() {
    for workers in [1, 3] {
        let socket = bound(0);
        let port = port_of(&socket);
        let layers: Vec<Layer> = (0..workers).map(|_| layer_of("worker", port)).collect();
        let running = launch_all(&layers);
        let mut socket = socket;
        // It is started again, while those that have waited for longer are there.
        for _ in 0..2 {
            eventually("a worker's supervisor has the lock", || {
                let status = layers[0].status().output().unwrap().status;
                (status.code() == Some(1)).then_some(())
            });
            let web = layer_of("web", port);
            let app = launch_with_socket(&web, &socket);
            app.log_has("This supervisor stands by");
            rustix::net::listen(&socket, 1).unwrap();
            let agent = within(SOON, "web has the agent", || web.agents().first().copied());
            assert_eq!(
                argv(&web),
                format!("argv connect app=web http://127.0.0.1:{port}")
            );
            // A supervisor that has yielded tries again after 2 s, and goes on standing by.
            holds_for(Duration::from_secs(3), || web.agents() == [agent]);
            drop(socket);
            end(app, "TERM");
            socket = bound(port);
        }
        for layer in &layers {
            assert_eq!(layer.notes(), "");
        }
        for app in running {
            app.finish();
        }
    }
}

#[test]
fn overlapping_restart_hands_the_target_over() {
    let old_socket = bound(0);
    let port = port_of(&old_socket);
    let layers = [layer_of("web", port), layer_of("web", port)];
    let old = launch_with_socket(&layers[0], &old_socket);
    rustix::net::listen(&old_socket, 1).unwrap();
    let first = old.agent(1);
    // With SO_REUSEPORT, both listen for some time.
    let new_socket = bound(port);
    let new = launch_with_socket(&layers[1], &new_socket);
    rustix::net::listen(&new_socket, 1).unwrap();
    holds_for(Duration::from_secs(2), || {
        layers[1].notes().is_empty() && is_alive(first)
    });
    drop(old_socket);
    end(old, "TERM");
    let second = within(SOON, "the new one has an agent", || {
        layers[1].agents().first().copied()
    });
    assert!(is_alive(second));
    drop(new_socket);
    end(new, "TERM");
}

#[test]
fn listener_that_no_process_of_an_app_owns_has_one_agent_soon() {
    for (count, listens_before) in [(2, false), (3, false), (8, true)] {
        let socket = bound(0);
        let port = port_of(&socket);
        let layers: Vec<Layer> = (0..count).map(|_| layer_of("web", port)).collect();
        let listen = || rustix::net::listen(&socket, 1).unwrap();
        if listens_before {
            listen();
        }
        // One after the other, so that the first one has the lock.
        let (first, others) = layers.split_first().unwrap();
        let first = [first.launch()];
        first[0].supervisor();
        let others = launch_all(others);
        if !listens_before {
            listen();
        }
        let agents = || -> Vec<u32> { layers.iter().flat_map(Layer::agents).collect() };
        within(SOON, "one has an agent", || {
            (!agents().is_empty()).then_some(())
        });
        holds_for(Duration::from_secs(4), || agents().len() == 1);
        // Each of two leaves the lock to the other one once, and then it is the first one's.
        if let ([first, _], false) = (&layers[..], listens_before) {
            assert_eq!(first.agents().len(), 1, "{}", first.log());
        }
        for app in first.into_iter().chain(others) {
            app.finish();
        }
    }
}

#[test]
fn process_that_stands_by_costs_one_wakeup_a_second_and_leaves_nothing() {
    let (_listener, port) = listen("127.0.0.1");
    let layers = [layer_of("web", port), layer_of("web", port)];
    let holder = layers[0].launch();
    let agent = holder.agent(1);
    let other = layers[1].launch();
    let supervisor = other.supervisor();
    let wakeups = || -> u64 {
        field(supervisor, "voluntary_ctxt_switches")
            .unwrap()
            .parse()
            .unwrap()
    };
    holds_for(Duration::from_secs(2), || is_alive(supervisor));
    let before = wakeups();
    holds_for(Duration::from_secs(5), || is_alive(supervisor));
    let count = wakeups() - before;
    assert!((3..=7).contains(&count), "{count} wakeups in 5 s");
    // SIGTERM to all processes, as on Heroku's Cedar, means that the app is to exit: nothing is taken over.
    support::signal(supervisor, "TERM");
    assert!(is_alive(supervisor));
    other.finish();
    assert_eq!(layers[1].notes(), "");
    assert_eq!(layers[0].agents(), [agent]);
    holder.finish();
}
