//! In which order the app's command and the agent end: a state machine without any I/O.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::interface::Drain;
use crate::limits::Moment;

/// What happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// A signal to this process, by its number.
    Signal(i32),
    /// The command has exited, with this status of a shell.
    CommandExited {
        status: u8,
        agent_runs: bool,
    },
    /// No agent runs any more, and none will.
    AgentEnded,
    TimerExpired,
}

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Send this signal to the command.
    Forward(i32),
    /// Ask the supervisor to end the agent. The answer is [`Event::AgentEnded`].
    Drain,
    /// Exit with this status.
    Exit(u8),
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// How long the agent may take to finish its requests.
    pub(crate) stop: Duration,
    /// How long the agent stays after the command has exited, so that the last responses get out.
    pub(crate) linger: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The command runs.
    Running,
    /// The command runs, and gets this signal when the agent has ended.
    AgentFirst { signal: i32, until: Moment },
    /// The command has exited, and the agent may have responses left.
    Lingering { status: u8, until: Moment },
    /// The command has exited, and the agent finishes.
    AgentLast { status: u8, until: Moment },
}

/// The order of the end.
#[derive(Debug)]
pub(crate) struct Ending {
    drain: Drain,
    timeouts: Timeouts,
    stage: Stage,
    is_drained: bool,
}

impl Ending {
    pub(crate) fn new(drain: Drain, timeouts: Timeouts) -> Self {
        Self {
            drain,
            timeouts,
            stage: Stage::Running,
            is_drained: false,
        }
    }

    /// When to pass [`Event::TimerExpired`].
    pub(crate) fn timer(&self) -> Option<Moment> {
        match self.stage {
            Stage::Running => None,
            Stage::AgentFirst { until, .. }
            | Stage::Lingering { until, .. }
            | Stage::AgentLast { until, .. } => Some(until),
        }
    }

    pub(crate) fn handle(&mut self, event: Event, now: Moment) -> Option<Action> {
        match (self.stage, event) {
            (Stage::Running, Event::Signal(signal))
                if is_end(signal) && self.drain == Drain::Stop && !self.is_drained =>
            {
                self.stage = Stage::AgentFirst {
                    signal,
                    until: now + self.timeouts.stop,
                };
                Some(Action::Drain)
            }
            (Stage::Running, Event::Signal(signal)) => Some(Action::Forward(signal)),
            // The second one: whoever sends it does not want to wait.
            (Stage::AgentFirst { .. }, Event::Signal(signal)) => {
                if is_end(signal) {
                    self.agent_had_its_time();
                }
                Some(Action::Forward(signal))
            }
            (Stage::AgentFirst { signal, .. }, Event::AgentEnded | Event::TimerExpired) => {
                self.agent_had_its_time();
                Some(Action::Forward(signal))
            }
            (
                Stage::Running | Stage::AgentFirst { .. },
                Event::CommandExited { status, agent_runs },
            ) => self.command_exited(status, agent_runs, now),
            (Stage::Lingering { status, .. }, Event::TimerExpired) => {
                Some(self.end_agent(status, now))
            }
            (Stage::Lingering { status, .. }, Event::Signal(signal)) if is_end(signal) => {
                Some(self.end_agent(status, now))
            }
            (Stage::AgentLast { status, .. }, Event::Signal(signal)) if is_end(signal) => {
                Some(Action::Exit(status))
            }
            (Stage::AgentLast { status, .. }, Event::AgentEnded | Event::TimerExpired) => {
                Some(Action::Exit(status))
            }
            _ => None,
        }
    }

    fn agent_had_its_time(&mut self) {
        self.is_drained = true;
        self.stage = Stage::Running;
    }

    fn command_exited(&mut self, status: u8, agent_runs: bool, now: Moment) -> Option<Action> {
        if !agent_runs {
            return Some(Action::Exit(status));
        }
        match self.drain {
            Drain::Keep => {
                self.stage = Stage::Lingering {
                    status,
                    until: now + self.timeouts.linger,
                };
                None
            }
            Drain::Stop => Some(self.end_agent(status, now)),
        }
    }

    fn end_agent(&mut self, status: u8, now: Moment) -> Action {
        // An agent that had its time gets no second one.
        let timeout = if self.is_drained {
            self.timeouts.linger
        } else {
            self.timeouts.stop
        };
        self.stage = Stage::AgentLast {
            status,
            until: now + timeout,
        };
        Action::Drain
    }
}

/// Whether a signal asks a program to end. SIGQUIT does not: a Java program goes on after it, and
/// would have lost its agent.
fn is_end(signal: i32) -> bool {
    signal == Signal::SIGTERM as i32 || signal == Signal::SIGINT as i32
}

#[cfg(test)]
mod tests {
    use super::Event::{AgentEnded, TimerExpired};
    use super::*;

    const TERM: Event = Event::Signal(Signal::SIGTERM as i32);
    const INT: Event = Event::Signal(Signal::SIGINT as i32);
    const HUP: Event = Event::Signal(Signal::SIGHUP as i32);
    const PASS_TERM: Option<Action> = Some(Action::Forward(Signal::SIGTERM as i32));
    const PASS_INT: Option<Action> = Some(Action::Forward(Signal::SIGINT as i32));
    const PASS_HUP: Option<Action> = Some(Action::Forward(Signal::SIGHUP as i32));
    const DRAIN: Option<Action> = Some(Action::Drain);
    const EXIT: Option<Action> = Some(Action::Exit(7));

    const fn exited(agent_runs: bool) -> Event {
        Event::CommandExited {
            status: 7,
            agent_runs,
        }
    }

    /// What happens, at which second, and what is done about it.
    type Step = (u64, Event, Option<Action>);

    const ORDERS: [(&str, Drain, &[Step]); 11] = [
        (
            "agent first",
            Drain::Stop,
            &[
                (0, TERM, DRAIN),
                (1, HUP, PASS_HUP),
                (2, AgentEnded, PASS_TERM),
                (3, TERM, PASS_TERM),
                (4, exited(false), EXIT),
            ],
        ),
        (
            "agent first, and too slow",
            Drain::Stop,
            &[(0, INT, DRAIN), (5, TimerExpired, PASS_INT)],
        ),
        (
            "no time for the agent",
            Drain::Stop,
            &[
                (0, TERM, DRAIN),
                (1, INT, PASS_INT),
                (1, AgentEnded, None),
                (2, INT, PASS_INT),
                (3, exited(true), DRAIN),
                (4, TimerExpired, EXIT),
            ],
        ),
        (
            "the command exits meanwhile",
            Drain::Stop,
            &[
                (0, TERM, DRAIN),
                (1, exited(true), DRAIN),
                (2, AgentEnded, EXIT),
            ],
        ),
        (
            "the command exits by itself",
            Drain::Stop,
            &[(0, exited(true), DRAIN), (5, TimerExpired, EXIT)],
        ),
        ("no agent", Drain::Stop, &[(0, exited(false), EXIT)]),
        (
            "agent last",
            Drain::Keep,
            &[
                (0, TERM, PASS_TERM),
                (1, INT, PASS_INT),
                (2, exited(true), None),
                (3, TimerExpired, DRAIN),
                (4, AgentEnded, EXIT),
            ],
        ),
        (
            "agent last, and too slow",
            Drain::Keep,
            &[
                (0, exited(true), None),
                (1, TimerExpired, DRAIN),
                (6, TimerExpired, EXIT),
            ],
        ),
        (
            "no time to linger",
            Drain::Keep,
            &[
                (0, exited(true), None),
                (0, HUP, None),
                (0, TERM, DRAIN),
                (0, HUP, None),
                (0, TERM, EXIT),
            ],
        ),
        ("no agent to keep", Drain::Keep, &[(0, exited(false), EXIT)]),
        (
            "other signals",
            Drain::Stop,
            &[(0, HUP, PASS_HUP), (0, TimerExpired, None)],
        ),
    ];

    /// Every order that a user can meet.
    #[test]
    fn events_are_answered_in_their_order() {
        for (name, drain, steps) in ORDERS {
            let timeouts = Timeouts {
                stop: Duration::from_secs(5),
                linger: Duration::from_secs(1),
            };
            let mut ending = Ending::new(drain, timeouts);
            for (second, event, expected) in steps {
                let now = Duration::from_secs(*second);
                if *event == Event::TimerExpired {
                    assert!(
                        ending.timer().is_none_or(|at| at <= now),
                        "{name}: {event:?}"
                    );
                }
                assert_eq!(ending.handle(*event, now), *expected, "{name}: {event:?}");
            }
        }
    }
}
