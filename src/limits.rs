//! Every duration and bound of the build program, in one place.

use std::time::Duration;

/// The size of the pieces that files pass through memory in: large enough that system calls do not count, small enough
/// that memory does not.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// What the build program waits for, and what it accepts. Tests pass short and small ones.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// To resolve a name, connect and finish the TLS handshake.
    pub(crate) connect: Duration,
    /// From the request to the end of the response's headers.
    pub(crate) first_byte: Duration,
    /// The longest silence within a response.
    pub(crate) stall: Duration,
    /// For the whole download, all tries and the pauses between them included.
    pub(crate) overall: Duration,
    /// How often a download is tried, the first time included.
    pub(crate) tries: usize,
    /// The pause before the second try; it doubles with each further one, and jitter is added.
    pub(crate) first_pause: Duration,
    /// The longest pause between two tries, whatever the server's `Retry-After` asks for.
    pub(crate) longest_pause: Duration,
    /// How many redirects are followed.
    pub(crate) redirects: u32,
    /// The time between two lines that tell how far a download is.
    pub(crate) progress: Duration,
    /// The size of a download, in bytes.
    pub(crate) download_bytes: u64,
    /// The size of all that an archive unpacks to, in bytes; bounds a decompression bomb.
    pub(crate) unpacked_bytes: u64,
    /// How many entries an archive may have.
    pub(crate) entries: usize,
    /// The size of the record of a cached agent, in bytes: room for so many files. Parsed, it takes up to eighty times as much.
    pub(crate) record_bytes: u64,
    /// The size of a file that holds a config var, in bytes: what Linux takes as one variable (`MAX_ARG_STRLEN`, execve(2)).
    pub(crate) config_var_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            first_byte: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            overall: Duration::from_mins(10),
            tries: 4,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            redirects: 5,
            progress: Duration::from_secs(5),
            download_bytes: 2 << 30,
            unpacked_bytes: 4 << 30,
            entries: 10_000,
            record_bytes: 1 << 20,
            config_var_bytes: 128 << 10,
        }
    }
}
