//! Limits of processes, files and memory, in exec.d or later.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use harness::lifecycle::{Image, Running};
use harness::{DEADLINE, Process, ReservedPort, eventually, listen};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::fixtures::{
    SCRIPT_AGENT, assert_boots, assert_not_started, assert_serves, image_with_agent,
};

/// An image whose exec.d program runs under this limit of bash's `ulimit`.
fn image_with_limit(limit: &str) -> Image {
    let image = image_with_agent(SCRIPT_AGENT);
    image.before_exec_d(&format!(r#"ulimit {limit}; exec -a "$1" "${{@:2}}""#));
    image
}

#[test]
fn app_boots_where_exec_d_has_no_processes_or_files_left() {
    // EAGAIN and EMFILE.
    for (limit, errno) in [("-u 1", 11), ("-n 3", 24)] {
        let port = ReservedPort::reserve();
        let image = image_with_limit(limit);
        let launch = image.launch("web").connect(port.number);
        let lines = assert_boots(launch.env("BACKPLANE_PROCESS_TYPE", "web"));
        assert_not_started(&lines, errno);
    }
}

/// In KiB: much less than any language's runtime takes.
#[test]
fn agent_runs_in_little_memory() {
    let image = image_with_limit("-v 8192");
    let (_listener, port) = listen();
    assert_serves(&mut image.launch("web").connect(port).start());
}

/// A launch with an agent, whose supervisor then gets a limit.
struct Limited {
    running: Running,
    image: Image,
    port: u16,
    _listener: TcpListener,
    supervisor: Process,
    resource: Resource,
    before: Rlimit,
}

impl Limited {
    /// Lets the supervisor have no more of a resource than it has.
    fn to_what_it_has_of(resource: Resource) -> Self {
        let image = image_with_agent(SCRIPT_AGENT);
        let (listener, port) = listen();
        let running = image.launch("web").connect(port).start();
        running.wait_for_agent();
        running.wait_for_stderr("The agent started");
        let supervisor = running.wait_for_supervisor();
        let limit = match resource {
            Resource::Nofile => supervisor.descriptors().len(),
            // Of processes, all of the user's count.
            _ => 1,
        };
        let before = set(&supervisor, resource, |maximum| Rlimit {
            current: u64::try_from(limit).ok(),
            maximum,
        });
        Self {
            running,
            image,
            port,
            _listener: listener,
            supervisor,
            resource,
            before,
        }
    }

    fn lift(&self) {
        set(&self.supervisor, self.resource, |_| self.before);
    }
}

/// Sets a limit of another process, and returns the old one.
fn set(process: &Process, resource: Resource, to: impl Fn(Option<u64>) -> Rlimit) -> Rlimit {
    let pid = Pid::from_raw(process.stat().pid);
    let maximum = rustix::process::getrlimit(resource).maximum;
    prlimit(pid, resource, to(maximum)).unwrap()
}

#[test]
fn agent_comes_back_when_processes_or_files_are_free_again() {
    for (resource, errno) in [(Resource::Nproc, 11), (Resource::Nofile, 24)] {
        let mut limited = Limited::to_what_it_has_of(resource);
        limited.running.wait_for_agent().signal(Signal::KILL);
        // It is logged, and tried again.
        let end = format!(" (os error {errno})). Restarting it in ");
        let is_logged = |line: &&String| {
            line.starts_with("[backplane] The agent did not start (") && line.contains(&end)
        };
        eventually(DEADLINE, format!("two times {end}"), || {
            let lines = limited.running.our_lines();
            (lines.iter().filter(is_logged).count() >= 2).then_some(())
        });
        limited.lift();
        assert_serves(&mut limited.running);
    }
}

/// The client then stays in the queue. The supervisor must not try to accept it in a busy loop.
#[test]
fn client_that_cannot_be_answered_costs_no_processor_time() {
    const WINDOW: Duration = Duration::from_secs(1);
    let limited = Limited::to_what_it_has_of(Resource::Nofile);
    let (status, text) = limited.image.status(limited.port);
    assert_eq!(status.code(), Some(1), "{text}");

    let spent = || {
        let stat = limited.supervisor.stat();
        Duration::from_millis((stat.utime + stat.stime) * 1000 / procfs::ticks_per_second())
    };
    let (start, before) = (Instant::now(), spent());
    std::thread::sleep(WINDOW);
    let share = spent().saturating_sub(before).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(share < 0.2, "{share}");

    limited.lift();
    eventually(DEADLINE, "an answer", || {
        (limited.image.status(limited.port).0.code() == Some(0)).then_some(())
    });
}
