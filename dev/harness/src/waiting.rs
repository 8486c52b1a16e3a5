//! Waiting for events, and for their absence.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// A deadline for anything that should be done at once, even on a slow and busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Asks `question` until it has an answer, and returns it.
///
/// # Panics
///
/// When there is none within `deadline`; `what` completes the sentence "gave up waiting for …".
#[track_caller]
pub fn eventually<T>(
    deadline: Duration,
    what: impl Display,
    mut question: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(
            start.elapsed() < deadline,
            "gave up waiting for {what} after {deadline:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Asserts that `event` does not happen in the whole of `window`.
///
/// A broken program would have shown itself within the window.
///
/// # Panics
///
/// When it happens; `what` completes the sentence "it happened: …".
#[track_caller]
pub fn never_within(window: Duration, what: &str, mut event: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < window {
        assert!(!event(), "it happened: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
