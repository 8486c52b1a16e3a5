//! The signals that ask a program to stop.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Returns a future that ends with the name of the signal when SIGTERM or SIGINT arrives.
///
/// The signals are caught from this call on, not only once the future is polled: call it before
/// anything that must not be cut off.
///
/// # Errors
///
/// If the signals cannot be caught.
pub fn stop() -> io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
