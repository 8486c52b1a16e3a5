//! Inputs and outputs of the state machine.

use std::time::Duration;

use super::backoff::Jitter;
use super::health::Health;
use crate::deadlock::Activity;
use crate::exit::{Cause, Exit};
use crate::limits::Moment;
use crate::log::Level;
use crate::upstream::Loopback;

/// An event from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// A probe found that the app listens, reachable by this address, or does not.
    Probed(Option<Loopback>),
    /// A probe found that another process than the app listens, whose supervisor may be one of
    /// those that stand by.
    AnotherListens,
    /// This supervisor has the lock now, or another one still holds it.
    LockTried {
        is_taken: bool,
    },
    /// The agent's process was created, for the app at this address.
    AgentStarted(Loopback),
    /// The agent has ended and is not reaped yet, or could not be started. It is repeated at each
    /// change of a child until the answer is [`Action::Reap`].
    AgentExited {
        exit: Exit,
        /// Whether processes below it are alive.
        others_live: bool,
        jitter: Jitter,
    },
    /// SIGTERM to the supervisor.
    ShutdownRequested,
    /// A client asks for the end of the agent.
    DrainRequested,
    AppExited,
    /// The app, which listens on this address, answered the request for its path with success or did
    /// not.
    ReadyChecked {
        loopback: Loopback,
        is_ready: bool,
    },
    /// The agent answered the request for its health with success or did not.
    HealthChecked {
        is_healthy: bool,
    },
    /// The agent and its children occupy more memory than they may: this number of bytes.
    MemoryExceeded {
        used: u64,
    },
    /// The activity of an app that has the supervisor for its child.
    AppChecked(Activity),
    /// The moment of [`Wake::timer`] has come.
    TimerExpired,
}

/// A task for the event loop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Log(Level, Notice),
    /// Try to take the lock. The answer is [`Event::LockTried`].
    TryLock,
    /// Release the lock for others.
    ReleaseLock,
    /// Start the agent, for the app at this address.
    Start(Loopback),
    /// Check whether the app is ready, which listens on this address. The answer is
    /// [`Event::ReadyChecked`].
    CheckReady(Loopback),
    /// Check whether the agent is healthy. The answer is [`Event::HealthChecked`].
    CheckHealth,
    /// Send SIGTERM to the agent and to every process below it.
    Terminate,
    /// Send SIGKILL to them.
    Kill,
    /// Reap the agent, and from then on kill and reap what it left behind until nothing is left.
    Reap,
    /// Exit: the app has exited, or waits for the supervisor to exit, and the agent is gone.
    Finish,
}

/// An occurrence that a user may want to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Notice {
    WaitingForApp,
    TookOver,
    AnotherListens,
    AppIsLate,
    AppIsNotReady,
    AgentStarted(Loopback),
    AgentUnhealthy { checks: u32 },
    MemoryExceeded { used: u64 },
    AgentRecovered { ran_for: Duration, exits: u32 },
    AgentExited { exit: Exit, delay: Option<Duration> },
    CrashLoop { exits: u32, cause: Cause },
    AppStoppedListening { stops_agent: bool },
    AppListensAgain,
    AgentDrained { exit: Exit },
    ShutdownRequested,
    DrainRequested { agent_runs: bool },
    AppExited { agent_runs: bool },
    AppWaitsForSupervisor,
    KillingAgent,
}

/// When the state machine wants the next event, if nothing happens before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wake {
    /// To probe whether the app listens. The answer is [`Event::Probed`].
    pub(crate) probe: Option<Moment>,
    /// For [`Event::TimerExpired`].
    pub(crate) timer: Option<Moment>,
    /// To check the app, if the supervisor is its child. The answer is [`Event::AppChecked`].
    pub(crate) check: Option<Moment>,
}

/// The status of an agent, for users.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct AgentStatus {
    pub(crate) state: AgentState,
    /// How long the agent has been in this state.
    pub(crate) for_seconds: u64,
    /// How often the agent was started again.
    pub(crate) restarts: u32,
    /// How it ended the last time.
    pub(crate) last_exit: Option<String>,
    /// `None` if it is not checked.
    pub(crate) health: Option<Health>,
    /// When it is started again, if that is known.
    pub(crate) next_try_seconds: Option<u64>,
}

/// The state of an agent, for users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AgentState {
    /// The app does not listen yet, or no longer, and there is no agent.
    Waiting,
    Running,
    /// It was asked to finish its requests and exit, because the app does not listen or a client
    /// asked for it.
    Draining,
    /// It has exited or was asked to, and restarts soon.
    Restarting,
    /// It has exited and will not be restarted.
    Ended,
    /// It is being stopped, because the app has exited.
    Stopping,
}
