//! Whether something listens on another host, which only a connection can tell.
//!
//! It is made by a process of its own: resolving a name and connecting take seconds where a server is silent, and the supervisor has
//! an app to watch meanwhile.

use crate::readiness::resolve;
use crate::spawn::spawn;
use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The role's name on the command line.
pub(crate) const ROLE: &str = "connect-once";

/// Starts an attempt to connect; the process's exit status 0 says that it succeeded.
pub(crate) fn start(
    program: &Path,
    host: &str,
    port: NonZeroU16,
    timeout: Duration,
) -> std::io::Result<Child> {
    spawn(
        Command::new(program)
            .arg(ROLE)
            .args([host, &port.to_string(), &timeout.as_millis().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
}

/// The arguments after the role: host, port, and the time limit in milliseconds.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let arguments: Option<Vec<&str>> = arguments
        .iter()
        .map(|argument| OsStr::to_str(argument))
        .collect();
    let connected = match arguments.as_deref() {
        Some([host, port, milliseconds]) => match (port.parse(), milliseconds.parse()) {
            (Ok(port), Ok(milliseconds)) => {
                can_connect(host, port, Duration::from_millis(milliseconds))
            }
            _ => false,
        },
        _ => false,
    };
    if connected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether a connection to any of the host's addresses succeeds within the limit.
fn can_connect(host: &str, port: u16, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    resolve::addresses(host, deadline)
        .into_iter()
        .any(|address| {
            let address = SocketAddr::new(address, port);
            let left = deadline.saturating_duration_since(Instant::now());
            // The time-out of zero is an error, not "at once".
            !left.is_zero() && TcpStream::connect_timeout(&address, left).is_ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn connection_succeeds_only_while_something_listens() {
        let limit = Duration::from_secs(10);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(can_connect("127.0.0.1", port, limit));
        assert!(!can_connect("127.0.0.1", port, Duration::ZERO));
        drop(listener);
        assert!(!can_connect("127.0.0.1", port, limit));
        assert!(!can_connect("not a name", port, limit));
    }
}
