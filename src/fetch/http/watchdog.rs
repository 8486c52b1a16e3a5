//! A deadline for a download that holds in every phase.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Agent;

/// It only waits, and closes sockets.
const STACK_BYTES: usize = 64 * 1024;

/// Shuts down the connections of an agent at a deadline, unless it is dropped before.
#[derive(Debug)]
pub(super) struct Watchdog {
    is_expired: Arc<AtomicBool>,
    _stop: Sender<()>,
}

impl Watchdog {
    /// Starts a thread that watches `agent`. If that fails, the library's own timeouts still apply.
    pub(super) fn start(agent: Agent, deadline: Instant) -> Self {
        let is_expired = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = mpsc::channel();
        let flag = Arc::clone(&is_expired);
        let _ = thread::Builder::new()
            .name("watchdog".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let left = deadline.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(left.max(Duration::from_millis(1)))
                    == Err(RecvTimeoutError::Timeout)
                {
                    flag.store(true, Ordering::SeqCst);
                    agent.shutdown();
                }
            });
        Self {
            is_expired,
            _stop: stop,
        }
    }

    /// Whether the deadline has passed.
    pub(super) fn is_expired(&self) -> bool {
        self.is_expired.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use harness::release_server::{Answer, ReleaseServer};

    use super::*;

    #[test]
    fn agent_without_any_timeout_is_ended_at_the_deadline() {
        let drip = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        for answer in [Answer::Stall(Vec::new()), Answer::Drip(drip)] {
            let server = ReleaseServer::http([answer]);
            let agent = Agent::new_with_defaults();
            let start = Instant::now();
            let watchdog = Watchdog::start(agent.clone(), start + Duration::from_millis(100));
            if let Ok(mut response) = agent.get(server.url("/")).call() {
                // It looks like the end of a body without a length.
                let _ = response.body_mut().read_to_vec();
            }
            assert!(watchdog.is_expired());
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }
}
