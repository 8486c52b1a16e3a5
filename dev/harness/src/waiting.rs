//! Waiting for what is to happen, and watching what is not.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that should be done at once: far longer than it takes on a slow and busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Asks `question` until it has an answer, and gives that.
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

/// Watches for the whole of `window` that `event` does not happen.
///
/// The window is part of what is tested (within it, a broken program would have shown itself), not a guess at how long something takes.
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
