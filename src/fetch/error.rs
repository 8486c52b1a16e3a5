//! Errors of a fetch.

use std::io;

use super::http::error::HttpError;

/// Errors that can occur when an agent is fetched.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// The server, or the connection to it, failed.
    Http(HttpError),
    /// A local source is missing or cannot be read. The error is the system's own, without the
    /// path, which the user may have meant as a URL with a secret.
    ReadSource(io::Error),
    /// A local source is a directory, or something else that is not a file.
    NotAFile,
    /// A vendored source leads out of the app directory through a link.
    OutsideApp,
    /// The file is empty.
    Empty,
    /// The file is larger than the limit.
    TooLarge { limit: u64 },
    /// The local file cannot be written.
    Write(io::Error),
}

impl From<HttpError> for FetchError {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}
