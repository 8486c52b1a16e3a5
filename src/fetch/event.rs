//! Events of a fetch, for the log.

use std::time::Duration;

use super::http::error::HttpError;

/// Receives the events of a fetch.
pub(crate) type OnEvent<'a> = &'a dyn Fn(Event<'_>);

/// A step of a fetch.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// Part of the file has arrived; reported at intervals.
    Progress {
        bytes: u64,
        expected_bytes: Option<u64>,
    },
    /// An attempt failed, and the next one starts after `delay`.
    Retrying {
        error: &'a HttpError,
        delay: Duration,
    },
    /// The server refused a conditional request, and is asked for the whole file.
    RetryingUnconditionally { error: &'a HttpError },
}
