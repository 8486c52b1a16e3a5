//! The supervisor's start: cuts itself off from what it came from, then runs the event loop.

use crate::app;
use crate::event_loop::EventLoop;
use crate::limits::Limits;
use crate::log::{Level, Log, Verbosity};
use crate::messages::Message;
use crate::orders::{Orders, OrdersError};
use rustix::process;
use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

/// The role's name on the command line.
pub(crate) const ROLE: &str = "supervise";

/// The arguments after the role are [`Orders`].
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    close_inherited_descriptors();
    let orders = match Orders::from_arguments(arguments) {
        Ok(orders) => orders,
        Err(OrdersError { name }) => {
            let argument = name;
            Log::new(Verbosity::Info).say(Level::Warning, &Message::MalformedOrders { argument });
            return ExitCode::FAILURE;
        }
    };
    let log = Log::new(orders.verbosity);
    detach();
    let reference = orders.app;
    let limits = Limits::default();
    match EventLoop::new(orders, limits.clone(), log).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = error.to_string();
            log.say(Level::Warning, &Message::SupervisorFailed { error });
            // An app that is process 1 of its container would not reap a supervisor that ends before it.
            app::wait_for_end(reference, limits.poll);
            ExitCode::FAILURE
        }
    }
}

/// Leaves the terminal and the process group of the app, and its folder, which may be unmounted; adopts the agent's orphans.
fn detach() {
    // Each for itself: one that is refused here does not keep the others from being done.
    let _best_effort = process::setsid();
    let _best_effort = process::set_child_subreaper(Some(process::getpid()));
    let _best_effort = process::chdir("/");
}

/// Closes everything but standard input, output and error: who started the app may have left something open in it, such as the
/// write end of a pipe whose reader waits for its end.
fn close_inherited_descriptors() {
    const FIRST: i32 = 3;
    let listed: Option<Vec<i32>> = fs::read_dir("/proc/self/fd").ok().map(|entries| {
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect()
    });
    // Without /proc, the numbers that are likely.
    let open = listed.unwrap_or_else(|| (FIRST..1024).collect());
    for descriptor in open.into_iter().filter(|descriptor| *descriptor >= FIRST) {
        // EBADF: the folder's own, closed since.
        let _closed_already = nix::unistd::close(descriptor);
    }
}
