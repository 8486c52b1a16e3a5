//! Every duration and bound of this crate, and the clock that they are measured by.

use std::time::Duration;

/// A point in time, counted from the supervisor's start.
pub(crate) type Moment = Duration;

/// The durations and bounds that a supervisor works by. [`Limits::default`] holds the real ones;
/// tests pass short ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    /// How often to probe whether the app listens during [`boot`](Self::boot).
    pub(crate) boot_probe_interval: Duration,
    /// How long after the start of a wait an app counts as booting.
    pub(crate) boot: Duration,
    /// How often to probe after that.
    pub(crate) waiting_probe_interval: Duration,
    /// How often to probe while the agent runs: the supervisor's only periodic work.
    pub(crate) running_probe_interval: Duration,
    /// The shortest interval between two probes through `/proc/net/tcp`, which cost fifty times as
    /// much as by netlink.
    pub(crate) proc_net_interval: Duration,
    /// How many probes in a row have to fail until the app counts as not listening.
    pub(crate) failure_threshold: u32,
    /// How long after the start of a wait a user who expects an agent reads that there is none.
    /// Some apps take 40 s to boot.
    pub(crate) late: Duration,
    /// The shortest interval between two attempts to take the lock of another supervisor. It grows
    /// with the time of the wait.
    pub(crate) min_lock_interval: Duration,
    /// The longest one.
    pub(crate) max_lock_interval: Duration,
    /// How long a supervisor whose app does not own the listener leaves the lock to others: each of
    /// them tries meanwhile.
    pub(crate) yield_for: Duration,
    /// The delay before the first restart, without jitter. It doubles with every further quick
    /// exit.
    pub(crate) min_backoff: Duration,
    /// The longest delay before a restart, with jitter.
    pub(crate) max_backoff: Duration,
    /// How long an agent has to run for its earlier exits to be forgotten.
    pub(crate) backoff_reset_after: Duration,
    /// How many quick exits in a row make a crash loop, whose likely cause the log explains.
    pub(crate) crash_loop_threshold: u32,
    /// The shortest interval between two log lines about a crash loop.
    pub(crate) log_interval: Duration,
    /// How long an agent has to run after a crash loop until the log says that it has recovered.
    pub(crate) recovered_after: Duration,
    /// How long the agent may take to exit after SIGTERM, once the app has exited, unless the
    /// sidecar says otherwise.
    pub(crate) stop_timeout: Duration,
    /// How long the agent stays after a command that the run program has started, so that the last
    /// responses get out.
    pub(crate) linger: Duration,
    /// How many clients at a time wait for the end of the agent.
    pub(crate) max_drain_clients: usize,
    /// How long the kernel may take to end the agent after SIGKILL.
    pub(crate) kill_timeout: Duration,
    /// How often to check whether an app that has the supervisor for its child waits for it.
    pub(crate) app_check_interval: Duration,
    /// The same, once it seems so.
    pub(crate) suspect_check_interval: Duration,
    /// For how long an app sleeps in wait(2) before the supervisor gets out of its way.
    pub(crate) app_wait_threshold: Duration,
    /// The same, for one that sleeps in another call, and may be about to start other children.
    pub(crate) app_sleep_threshold: Duration,
    /// How long the agent may take to exit after SIGTERM then.
    pub(crate) waiting_app_stop_timeout: Duration,
    /// How many clients are served in one turn of the event loop.
    pub(crate) clients_per_turn: u32,
    /// The shortest interval between two turns that serve so many.
    pub(crate) clients_interval: Duration,
    /// How long the status program waits for an answer.
    pub(crate) status_timeout: Duration,
    /// How often the status program asks while it waits for the agent to run.
    pub(crate) status_interval: Duration,
    /// How often to ask for what the kernel reports by itself elsewhere: whether the app is alive,
    /// where there is no pidfd; for clients after one that could not be accepted.
    pub(crate) poll_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            boot_probe_interval: Duration::from_millis(20),
            boot: Duration::from_secs(10),
            waiting_probe_interval: Duration::from_millis(200),
            running_probe_interval: Duration::from_secs(1),
            proc_net_interval: Duration::from_millis(250),
            failure_threshold: 2,
            late: Duration::from_secs(50),
            min_lock_interval: Duration::from_millis(50),
            max_lock_interval: Duration::from_secs(1),
            yield_for: Duration::from_secs(2),
            min_backoff: Duration::from_millis(250),
            max_backoff: Duration::from_mins(1),
            backoff_reset_after: Duration::from_mins(1),
            crash_loop_threshold: 5,
            log_interval: Duration::from_mins(1),
            recovered_after: Duration::from_secs(30),
            stop_timeout: crate::STOP_TIMEOUT,
            linger: Duration::from_secs(1),
            max_drain_clients: 32,
            kill_timeout: Duration::from_millis(500),
            // From the end of the app's last child to that of the supervisor, 3 s at most: the
            // check that comes next, how long the app sleeps, and the agent's timeout.
            app_check_interval: Duration::from_secs(1),
            suspect_check_interval: Duration::from_millis(100),
            app_wait_threshold: Duration::from_millis(500),
            app_sleep_threshold: Duration::from_millis(1_600),
            waiting_app_stop_timeout: Duration::from_millis(250),
            clients_per_turn: 32,
            clients_interval: Duration::from_millis(10),
            status_timeout: Duration::from_secs(1),
            status_interval: Duration::from_millis(100),
            poll_interval: Duration::from_millis(500),
        }
    }
}
