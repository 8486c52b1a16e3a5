//! What the event loop tells the supervisor's mind, and what that answers.

use crate::backoff::Jitter;
use crate::deadlock::Activity;
use crate::messages::{Exit, Note};
use crate::target::Loopback;
use std::time::Duration;

/// A point in time, counted from the supervisor's start.
pub(crate) type Moment = Duration;

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A look found that the app listens, reachable by this address, or does not.
    Looked(Option<Loopback>),
    /// A look found that another process than the app listens, and that its supervisor may be one of those that stand by.
    AnotherListens,
    /// This supervisor has the lock now, or the lock is still another's.
    LockTried {
        is_taken: bool,
    },
    /// The agent's process was made, for this target.
    AgentStarted {
        url: String,
    },
    /// The agent has ended and is not reaped yet, or it could not be started. Told again at each change of a child until it
    /// is answered with [`Action::Reap`].
    AgentExited {
        exit: Exit,
        /// Whether processes live that it has started, or that those have.
        others_live: bool,
        jitter: Jitter,
    },
    /// SIGTERM to the supervisor.
    ToldToEnd,
    AppEnded,
    /// What the app does, which has the supervisor for its child.
    AppProbed(Activity),
    /// The moment of [`Wake::timer_at`] has come.
    TimeIsUp,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Say(Note),
    /// Try to take the lock, answered with [`Event::LockTried`].
    TryLock,
    /// Let others have the lock.
    ReleaseLock,
    /// Start the agent for the target at this address.
    Start(Loopback),
    /// Send SIGTERM to the agent and to every process below it.
    Terminate,
    /// Send SIGKILL to them.
    Kill,
    /// Reap the agent, and from then on kill and reap what it left behind until nothing is left.
    Reap,
    /// Leave: the app has ended, or waits for the supervisor to end, and the agent is gone.
    Finish,
}

/// When the supervisor wants to be woken, if nothing happens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wake {
    /// To look for the app's listener, answered with [`Event::Looked`].
    pub(crate) look_at: Option<Moment>,
    /// To be told that [`Event::TimeIsUp`].
    pub(crate) timer_at: Option<Moment>,
    /// To probe the app, if the supervisor is its child, answered with [`Event::AppProbed`].
    pub(crate) next_probe: Option<Moment>,
}
