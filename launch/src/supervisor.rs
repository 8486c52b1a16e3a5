//! What the supervisor does and when: a state machine without any I/O. The event loop tells it what happens, and does what it
//! answers.

use crate::backoff::{self, Jitter};
use crate::limits::Limits;
use crate::messages::{Exit, Message, Note};
use crate::settings::Drain;
use crate::target::{Loopback, Target};
use std::time::Duration;

/// A point in time, counted from the supervisor's start.
pub(crate) type Moment = Duration;

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A look found that the app listens, reachable by this address, or does not.
    Looked(Option<Loopback>),
    /// The agent's process was made, for this target.
    AgentStarted {
        url: String,
    },
    /// The agent has ended and is not reaped yet, or it could not be started. Told again at each change of a child until it
    /// is answered with [`Action::Reap`].
    AgentExited {
        exit: Exit,
        /// Whether no other process of its group is left.
        group_is_empty: bool,
        jitter: Jitter,
    },
    /// SIGTERM to the supervisor.
    ToldToEnd,
    AppEnded,
    /// The moment of [`Wake::timer_at`] has come.
    TimeIsUp,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Say(Note),
    /// Start the agent for the target at this address.
    Start(Loopback),
    /// Send the agent's process group SIGTERM.
    Terminate,
    /// Send the agent's process group SIGKILL.
    Kill,
    /// Reap the agent.
    Reap,
    /// Leave: the app has ended and the agent with it.
    Finish,
}

/// When the supervisor wants to be woken, if nothing happens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wake {
    /// To look for the app's listener, answered with [`Event::Looked`].
    pub(crate) look_at: Option<Moment>,
    /// To be told that [`Event::TimeIsUp`].
    pub(crate) timer_at: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The app does not listen yet, or no longer; there is no agent.
    Waiting {
        since: Moment,
    },
    /// There is an agent. `missed` counts the looks in a row that found no listener.
    Running {
        since: Moment,
        missed: u32,
    },
    /// The agent was asked to end because the app no longer listens.
    Draining {
        listens_again: Option<Loopback>,
    },
    /// The agent has ended and is started again at this moment.
    Pausing {
        until: Moment,
    },
    /// Nothing is started any more; the app has yet to end.
    Resting,
    /// The app has ended, and the agent was asked to.
    Stopping {
        kill_at: Moment,
    },
    /// It did not, and was killed.
    Killed {
        give_up_at: Moment,
    },
    Finished,
}

/// The supervisor's mind.
#[derive(Debug)]
pub(crate) struct Supervisor {
    limits: Limits,
    /// The agent's labels and target, for words only.
    labels: String,
    target: Target,
    wait_for_app: bool,
    drain: Drain,

    state: State,
    next_look: Moment,
    told_to_end: bool,
    /// Exits in a row of agents that had not run for long.
    quick_exits: u32,
    /// When the user last read of a quick exit.
    last_line: Option<Moment>,
}

impl Supervisor {
    pub(crate) fn new(
        limits: Limits,
        labels: String,
        target: Target,
        wait_for_app: bool,
        drain: Drain,
    ) -> Self {
        Self {
            limits,
            labels,
            target,
            wait_for_app,
            drain,
            state: if wait_for_app {
                State::Waiting {
                    since: Moment::ZERO,
                }
            } else {
                State::Pausing {
                    until: Moment::ZERO,
                }
            },
            next_look: Moment::ZERO,
            told_to_end: false,
            quick_exits: 0,
            last_line: None,
        }
    }

    /// When to wake.
    pub(crate) fn wake(&self) -> Wake {
        let look = |at: Moment| Wake {
            look_at: self.wait_for_app.then_some(at),
            timer_at: None,
        };
        let timer = |at: Moment| Wake {
            look_at: None,
            timer_at: Some(at),
        };
        match self.state {
            State::Waiting { .. } | State::Running { .. } | State::Draining { .. } => {
                look(self.next_look)
            }
            State::Pausing { until } if self.wait_for_app => look(until),
            State::Pausing { until } => timer(until),
            State::Stopping { kill_at } => timer(kill_at),
            State::Killed { give_up_at } => timer(give_up_at),
            State::Resting | State::Finished => Wake::default(),
        }
    }

    /// Takes an event and tells what to do about it, in this order.
    pub(crate) fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        match event {
            Event::Looked(Some(loopback)) => self.app_listens(loopback, now),
            Event::Looked(None) => self.app_is_silent(now),
            Event::AgentStarted { url } => self.agent_started(&url),
            Event::AgentExited {
                exit,
                group_is_empty,
                jitter,
            } => self.agent_exited(exit, group_is_empty, jitter, now),
            Event::ToldToEnd => self.told_to_end(),
            Event::AppEnded => self.app_ended(now),
            Event::TimeIsUp => self.time_is_up(now),
        }
    }

    fn app_listens(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
        self.next_look = now + self.limits.look_while_running;
        match &mut self.state {
            State::Waiting { .. } => self.start(loopback, now),
            State::Pausing { until } if now >= *until => self.start(loopback, now),
            State::Running { missed, .. } => {
                let was_away = *missed >= self.limits.missed_looks;
                *missed = 0;
                if was_away {
                    let target = self.target.to_string();
                    vec![Action::Say(Note::info(Message::AppListensAgain { target }))]
                } else {
                    Vec::new()
                }
            }
            State::Draining { listens_again } => {
                *listens_again = Some(loopback);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn app_is_silent(&mut self, now: Moment) -> Vec<Action> {
        self.next_look = now + self.limits.look_while_running;
        match &mut self.state {
            State::Waiting { since } => {
                let is_booting = now.saturating_sub(*since) < self.limits.boot;
                self.next_look = now
                    + if is_booting {
                        self.limits.look_at_boot
                    } else {
                        self.limits.look_later
                    };
                Vec::new()
            }
            State::Pausing { until } if now >= *until => self.wait(now),
            State::Running { missed, .. } => {
                *missed = missed.saturating_add(1);
                if *missed == self.limits.missed_looks {
                    self.app_stopped_listening()
                } else {
                    Vec::new()
                }
            }
            State::Draining { listens_again } => {
                *listens_again = None;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn app_stopped_listening(&mut self) -> Vec<Action> {
        let stops_agent = self.drain == Drain::Stop;
        let line = Action::Say(Note::info(Message::AppStoppedListening {
            target: self.target.to_string(),
            stops_agent,
        }));
        if stops_agent {
            self.state = State::Draining {
                listens_again: None,
            };
            vec![line, Action::Terminate]
        } else {
            vec![line]
        }
    }

    fn start(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
        self.state = State::Running {
            since: now,
            missed: 0,
        };
        self.next_look = now + self.limits.look_while_running;
        vec![Action::Start(loopback)]
    }

    fn wait(&mut self, now: Moment) -> Vec<Action> {
        self.state = State::Waiting { since: now };
        self.next_look = now + self.limits.look_at_boot;
        let target = self.target.to_string();
        vec![Action::Say(Note::debug(Message::Waiting { target }))]
    }

    fn agent_started(&self, url: &str) -> Vec<Action> {
        // An agent that keeps ending has its own lines, which are limited.
        let started = Message::AgentStarted {
            labels: self.labels.clone(),
            url: crate::target::redacted(url),
        };
        vec![Action::Say(if self.quick_exits < self.limits.quick_exits {
            Note::info(started)
        } else {
            Note::debug(started)
        })]
    }

    fn agent_exited(
        &mut self,
        exit: Exit,
        group_is_empty: bool,
        jitter: Jitter,
        now: Moment,
    ) -> Vec<Action> {
        // What the agent leaves behind is killed before it is reaped: afterwards the group's number may be another's.
        let mut actions = vec![Action::Kill, Action::Reap];
        match self.state {
            State::Stopping { .. } | State::Killed { .. } => {
                if !group_is_empty {
                    // The others have their grace too.
                    return Vec::new();
                }
                self.state = State::Finished;
                actions.push(Action::Say(Note::debug(Message::AgentExited {
                    exit,
                    pause: None,
                })));
                actions.push(Action::Finish);
            }
            State::Draining { listens_again } => {
                actions.extend(self.agent_drained(exit, listens_again, now));
            }
            State::Running { since, missed } => {
                let is_draining = missed >= self.limits.missed_looks;
                actions.extend(self.agent_failed(exit, since, is_draining, jitter, now));
            }
            State::Waiting { .. } | State::Pausing { .. } | State::Resting | State::Finished => {}
        }
        actions
    }

    fn agent_drained(
        &mut self,
        exit: Exit,
        listens_again: Option<Loopback>,
        now: Moment,
    ) -> Vec<Action> {
        if self.told_to_end {
            self.state = State::Resting;
            return vec![Action::Say(Note::info(Message::AgentExited {
                exit,
                pause: None,
            }))];
        }
        let mut actions = vec![Action::Say(Note::info(Message::AgentDrained { exit }))];
        actions.extend(match listens_again {
            Some(loopback) => self.start(loopback, now),
            None => self.wait(now),
        });
        actions
    }

    fn agent_failed(
        &mut self,
        exit: Exit,
        since: Moment,
        app_is_silent: bool,
        jitter: Jitter,
        now: Moment,
    ) -> Vec<Action> {
        if self.told_to_end {
            self.state = State::Resting;
            return vec![Action::Say(Note::info(Message::AgentExited {
                exit,
                pause: None,
            }))];
        }
        if now.saturating_sub(since) >= self.limits.healthy {
            self.quick_exits = 0;
            self.last_line = None;
        }
        self.quick_exits = self.quick_exits.saturating_add(1);
        let pause = backoff::pause(&self.limits, self.quick_exits, jitter);
        self.state = State::Pausing { until: now + pause };

        // What a file lacks does not come back: the second line would say the same as the first.
        let lines_are_limited =
            self.quick_exits > self.limits.quick_exits || matches!(exit, Exit::NotRun(_));
        let last_line_is_fresh = self
            .last_line
            .is_some_and(|last| now.saturating_sub(last) < self.limits.repeat_line);
        if lines_are_limited && last_line_is_fresh {
            return Vec::new();
        }
        self.last_line = Some(now);
        let explains = self.quick_exits == self.limits.quick_exits && !lines_are_limited;
        let mut actions = vec![Action::Say(Note::warning(if app_is_silent {
            Message::AgentDrained { exit }
        } else {
            let pause = Some(pause);
            Message::AgentExited { exit, pause }
        }))];
        if explains {
            let exits = self.quick_exits;
            actions.push(Action::Say(Note::warning(Message::ManyQuickExits {
                exits,
            })));
        }
        actions
    }

    fn told_to_end(&mut self) -> Vec<Action> {
        if self.told_to_end {
            return Vec::new();
        }
        self.told_to_end = true;
        if matches!(self.state, State::Waiting { .. } | State::Pausing { .. }) {
            self.state = State::Resting;
        }
        vec![Action::Say(Note::debug(Message::ToldToEnd))]
    }

    fn app_ended(&mut self, now: Moment) -> Vec<Action> {
        match self.state {
            State::Running { .. } | State::Draining { .. } => {
                self.state = State::Stopping {
                    kill_at: now + self.limits.grace,
                };
                let agent_runs = true;
                let line = Note::info(Message::AppEnded { agent_runs });
                vec![Action::Say(line), Action::Terminate]
            }
            State::Waiting { .. } | State::Pausing { .. } | State::Resting => {
                self.state = State::Finished;
                let agent_runs = false;
                let line = Note::debug(Message::AppEnded { agent_runs });
                vec![Action::Say(line), Action::Finish]
            }
            State::Stopping { .. } | State::Killed { .. } | State::Finished => Vec::new(),
        }
    }

    fn time_is_up(&mut self, now: Moment) -> Vec<Action> {
        match self.state {
            State::Pausing { until } if now >= until && !self.wait_for_app => {
                self.start(Loopback::V4, now)
            }
            State::Stopping { kill_at } if now >= kill_at => {
                self.state = State::Killed {
                    give_up_at: now + self.limits.farewell,
                };
                vec![
                    Action::Say(Note::warning(Message::AgentKilled)),
                    Action::Kill,
                ]
            }
            State::Killed { give_up_at } if now >= give_up_at => {
                self.state = State::Finished;
                vec![Action::Reap, Action::Finish]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
