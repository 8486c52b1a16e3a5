//! The benchmark's agent if the first argument is `connect`, otherwise its app. SIGTERM ends either at once.

use std::time::Duration;
use std::{env, io, thread};

use backplane_bench_probe::{LISTEN_AFTER, Timestamp, Who};
use rustix::process::{Signal, set_parent_process_death_signal};

fn main() -> io::Result<()> {
    if env::args().nth(1).as_deref() == Some("connect") {
        Timestamp::take(Who::Agent).print()?;
    } else {
        listen()?;
    }
    loop {
        thread::park();
    }
}

/// Listens, after a while, on the socket that is stdin, so that the port is taken from the start.
fn listen() -> io::Result<()> {
    // A benchmark that is killed leaves no app behind.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let delay = env::var(LISTEN_AFTER).map_err(io::Error::other)?;
    let delay = delay.parse().map_err(io::Error::other)?;
    thread::sleep(Duration::from_millis(delay));
    let timestamp = Timestamp::take(Who::App);
    rustix::net::listen(rustix::stdio::stdin(), 1)?;
    timestamp.print()
}
