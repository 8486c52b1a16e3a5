//! Every duration and bound of the launch program, in one place.

use std::time::Duration;

/// The durations and bounds that the supervisor works by. [`Limits::default`] holds the real ones; tests pass short ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How often to look for the app's listener during [`boot`](Self::boot).
    pub(crate) look_at_boot: Duration,
    /// How long after the start of a wait an app is taken to be booting.
    pub(crate) boot: Duration,
    /// How often to look after that.
    pub(crate) look_later: Duration,
    /// After how long without a listener a user who expects an agent is told that there is none. Some apps take 40 s to boot.
    pub(crate) late: Duration,
    /// The shortest pause between two attempts to take the lock while another supervisor has it; it grows with the time of the wait.
    pub(crate) first_attempt: Duration,
    /// The longest one.
    pub(crate) longest_attempt: Duration,
    /// How long a supervisor whose app does not own the listener leaves the lock to others: each of them tries meanwhile.
    pub(crate) yield_for: Duration,
    /// How often to look while the agent runs: the supervisor's only periodic work.
    pub(crate) look_while_running: Duration,
    /// The shortest pause between two looks through `/proc/net/tcp`, which cost fifty times as much as by netlink.
    pub(crate) pause_of_proc_net: Duration,
    /// The shortest pause between two connection attempts to another host.
    pub(crate) pause_of_connect: Duration,
    /// How long one connection attempt to another host may take, its name's resolution included.
    pub(crate) connect_timeout: Duration,
    /// After how many looks in a row without a listener the app counts as no longer listening.
    pub(crate) missed_looks: u32,
    /// The pause before the first restart, without jitter; it doubles with every further quick exit.
    pub(crate) first_restart: Duration,
    /// The longest pause before a restart, with jitter.
    pub(crate) longest_restart: Duration,
    /// After how long an agent is said to run again, after many quick exits.
    pub(crate) recovered: Duration,
    /// How long an agent has to run for its earlier exits to be forgotten.
    pub(crate) healthy: Duration,
    /// After how many quick exits in a row the user is told what that usually means.
    pub(crate) quick_exits: u32,
    /// The shortest pause between two lines about further quick exits.
    pub(crate) repeat_line: Duration,
    /// How long the agent may take to end after SIGTERM, once the app has ended.
    pub(crate) grace: Duration,
    /// How long to wait after SIGKILL for the kernel to end the agent.
    pub(crate) farewell: Duration,
    /// How often to probe whether an app that has the supervisor for its child waits for it.
    pub(crate) probe_app: Duration,
    /// The same, once it seems so.
    pub(crate) probe_app_again: Duration,
    /// For how long an app sleeps in wait(2) before the supervisor gets out of its way.
    pub(crate) app_waits: Duration,
    /// The same, for one that sleeps in something else, and may be about to start other children.
    pub(crate) app_sleeps: Duration,
    /// How long the agent may take to end after SIGTERM then.
    pub(crate) grace_of_waiting_app: Duration,
    /// How many clients are answered in one turn of the event loop.
    pub(crate) clients_per_turn: u32,
    /// The shortest pause between two turns that answer so many.
    pub(crate) clients_interval: Duration,
    /// How long `backplane-status` takes at most, however many supervisors it asks and whatever they answer.
    pub(crate) status_answer: Duration,
    /// How often to ask for what the kernel tells by itself elsewhere: whether the app lives, where there is no pidfd; whether the
    /// agent does, where signals cannot be read; for clients after one that could not be let in.
    pub(crate) poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            look_at_boot: Duration::from_millis(20),
            boot: Duration::from_secs(10),
            look_later: Duration::from_millis(200),
            late: Duration::from_secs(50),
            first_attempt: Duration::from_millis(50),
            longest_attempt: Duration::from_secs(1),
            yield_for: Duration::from_secs(2),
            look_while_running: Duration::from_secs(1),
            pause_of_proc_net: Duration::from_millis(250),
            pause_of_connect: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(3),
            missed_looks: 2,
            first_restart: Duration::from_millis(250),
            longest_restart: Duration::from_mins(1),
            recovered: Duration::from_secs(30),
            healthy: Duration::from_mins(1),
            quick_exits: 5,
            repeat_line: Duration::from_mins(1),
            grace: Duration::from_secs(2),
            farewell: Duration::from_millis(500),
            // From the end of the app's last child to that of the supervisor, 3 s at most: the probe that comes next, how long the app
            // sleeps, and the agent's grace.
            probe_app: Duration::from_secs(1),
            probe_app_again: Duration::from_millis(100),
            app_waits: Duration::from_millis(500),
            app_sleeps: Duration::from_millis(1_600),
            grace_of_waiting_app: Duration::from_millis(250),
            clients_per_turn: 32,
            clients_interval: Duration::from_millis(10),
            status_answer: Duration::from_secs(1),
            poll: Duration::from_millis(500),
        }
    }
}
