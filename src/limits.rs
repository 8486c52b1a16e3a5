//! Every timeout and bound of the build program.

use std::time::Duration;

/// The size of the buffers through which files are copied: large enough for few system calls, small
/// enough for little memory.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// The timeouts and bounds of a build. Tests pass shorter and smaller ones.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// To resolve a name, connect and finish the TLS handshake.
    pub(crate) connect_timeout: Duration,
    /// From the request to the end of the response's headers.
    pub(crate) response_timeout: Duration,
    /// The longest silence within a response.
    pub(crate) read_timeout: Duration,
    /// For the whole download, with all attempts and the delays between them.
    pub(crate) total_timeout: Duration,
    /// How often a download is attempted.
    pub(crate) max_attempts: usize,
    /// The delay before the second attempt. It doubles with each further one, and jitter is added.
    pub(crate) min_backoff: Duration,
    /// The longest delay between two attempts, even if the server's `Retry-After` asks for more.
    pub(crate) max_backoff: Duration,
    /// How many redirects are followed.
    pub(crate) max_redirects: u32,
    /// The time between two progress lines of a download.
    pub(crate) progress_interval: Duration,
    /// The size of a download.
    pub(crate) max_download_bytes: u64,
    /// The size of all that an archive unpacks to; bounds a decompression bomb.
    pub(crate) max_unpacked_bytes: u64,
    /// How many entries an archive may have.
    pub(crate) max_entries: usize,
    /// The size of a cached agent's metadata: room for `max_entries` files. Parsed, it takes up to
    /// eighty times as much.
    pub(crate) max_metadata_bytes: u64,
    /// The size of a file with a config var: that of a variable on Linux (`MAX_ARG_STRLEN`,
    /// execve(2)).
    pub(crate) max_config_var_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            response_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_mins(10),
            max_attempts: 4,
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            max_redirects: 5,
            progress_interval: Duration::from_secs(5),
            max_download_bytes: 2 << 30,
            max_unpacked_bytes: 4 << 30,
            max_entries: 10_000,
            max_metadata_bytes: 1 << 20,
            max_config_var_bytes: 128 << 10,
        }
    }
}
