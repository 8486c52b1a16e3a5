//! Every duration and bound of this crate, and the clock that they are measured by.

use std::time::Duration;

/// A point in time, counted from the supervisor's start.
pub(crate) type Moment = Duration;

/// How often to probe whether the app listens during [`BOOT`].
pub(crate) const BOOT_PROBE_INTERVAL: Duration = Duration::from_millis(20);
/// How long after the start of a wait an app counts as booting.
pub(crate) const BOOT: Duration = Duration::from_secs(10);
/// How often to probe after that.
pub(crate) const WAITING_PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// How often to probe while the agent runs. Its memory is looked at with the probe.
pub(crate) const RUNNING_PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest interval between two probes through `/proc/net/tcp`, which cost fifty times as much
/// as by netlink.
pub(crate) const PROC_NET_INTERVAL: Duration = Duration::from_millis(250);
/// How many probes in a row have to fail until the app counts as not listening.
pub(crate) const FAILURE_THRESHOLD: u32 = 2;
/// How long after the start of a wait a user who expects an agent reads that there is none. Some
/// apps take 40 s to boot.
pub(crate) const LATE: Duration = Duration::from_secs(50);

/// How long after its start an agent is asked for its health for the first time.
pub(crate) const FIRST_HEALTH_CHECK: Duration = Duration::from_secs(30);
/// How often it is asked after that.
pub(crate) const HEALTH_INTERVAL: Duration = Duration::from_secs(10);
/// How many checks in a row have to fail until the agent is replaced.
pub(crate) const HEALTH_THRESHOLD: u32 = 3;
/// How often to check whether an app that listens is ready.
pub(crate) const READY_INTERVAL: Duration = Duration::from_millis(250);
/// How long the response to a check may take.
pub(crate) const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// The shortest interval between two attempts to take the lock of another supervisor. It grows with
/// the time of the wait.
pub(crate) const MIN_LOCK_INTERVAL: Duration = Duration::from_millis(50);
/// The longest one.
pub(crate) const MAX_LOCK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a supervisor whose app does not own the listener leaves the lock to others: each of
/// them tries meanwhile.
pub(crate) const YIELD_FOR: Duration = Duration::from_secs(2);

/// The delay before the first restart, without jitter. It doubles with every further quick exit.
pub(crate) const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The longest delay before a restart, with jitter.
pub(crate) const MAX_BACKOFF: Duration = Duration::from_mins(1);
/// How long an agent has to run for its earlier exits to be forgotten.
pub(crate) const BACKOFF_RESET_AFTER: Duration = Duration::from_mins(1);
/// How many quick exits in a row make a crash loop, whose likely cause the log explains.
pub(crate) const CRASH_LOOP_THRESHOLD: u32 = 5;
/// The shortest interval between two log lines about a crash loop.
pub(crate) const LOG_INTERVAL: Duration = Duration::from_mins(1);
/// How long an agent has to run after a crash loop until it is logged as recovered.
pub(crate) const RECOVERED_AFTER: Duration = Duration::from_secs(30);

/// How long the agent may take to exit after SIGTERM, unless the buildpack says otherwise.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the agent stays after the command of the run program, or after the app if SIGTERM
/// does not end the agent, so that the last responses get out.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// How long the kernel may take to end the agent after SIGKILL.
pub(crate) const KILL_TIMEOUT: Duration = Duration::from_millis(500);

// From the end of the app's last child to that of the supervisor, 3 s at most: the check that comes
// next, how long the app sleeps, and the agent's timeout.

/// How often to check whether an app that has the supervisor for its child waits for it.
pub(crate) const APP_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The same, once it seems so, and for a while after the start of the agent.
pub(crate) const SUSPECT_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// For how long an app sleeps in wait(2) before the supervisor gets out of its way.
pub(crate) const APP_WAIT_THRESHOLD: Duration = Duration::from_millis(500);
/// The same, for one that sleeps in another call, and may be about to start other children.
pub(crate) const APP_SLEEP_THRESHOLD: Duration = Duration::from_millis(1_600);
/// How long the agent may take to exit after SIGTERM then.
pub(crate) const WAITING_APP_STOP_TIMEOUT: Duration = Duration::from_millis(250);

/// How many clients are served in one turn of the event loop.
pub(crate) const CLIENTS_PER_TURN: u32 = 32;
/// The shortest interval between two turns that serve so many.
pub(crate) const CLIENTS_INTERVAL: Duration = Duration::from_millis(10);
/// How many clients at a time wait for the end of the agent.
pub(crate) const MAX_DRAIN_CLIENTS: usize = 32;
/// From how long on an agent counts as running steadily. One that its server refuses has exited by
/// then, as a rule.
pub(crate) const STEADY: Duration = Duration::from_secs(5);
/// How often the status program asks while it waits for the agent to run.
pub(crate) const STATUS_INTERVAL: Duration = Duration::from_millis(100);
/// How long the status program waits for an answer.
pub(crate) const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// How often to ask for what the kernel reports by itself elsewhere: whether the app is alive, if
/// there is no pidfd; for clients after one that could not be accepted.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(500);
