//! What the benchmark runs beside what it measures. SIGTERM ends the agent and the app at once.
//!
//! | first argument | role |
//! | --- | --- |
//! | `connect` | the agent |
//! | `peak` | runs the command that follows, and prints how much memory it needed |
//! | none | the app |

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, io, thread};

use backplane_bench_probe::{LISTEN_AFTER, PEAK, Timestamp, Who};
use rustix::process::{Signal, set_parent_process_death_signal};
use wait4::Wait4 as _;

fn main() -> io::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    match arguments.next() {
        Some(role) if role == "peak" => return measure_peak(arguments),
        Some(role) if role == "connect" => Timestamp::take(Who::Agent).print()?,
        _ => listen()?,
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

/// Runs a command, and prints the most memory that was resident at once.
///
/// Until its execve(2), a child has the memory of the process that starts it, whose peak counts as its own (Linux, fs/exec.c,
/// `exec_mmap`). So a process that needs next to none has to start it.
fn measure_peak(mut command: impl Iterator<Item = OsString>) -> io::Result<ExitCode> {
    let program = command.next().ok_or(io::ErrorKind::InvalidInput)?;
    let child = Command::new(program).args(command).spawn()?;
    let used = child.wait4()?;
    println!("{PEAK}{}", used.rusage.maxrss);
    Ok(ExitCode::from(u8::from(!used.status.success())))
}
