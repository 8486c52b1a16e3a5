//! What the supervisor does and when: a state machine without any I/O. The event loop tells it what happens, and does what it
//! answers.

mod events;

pub(crate) use events::{Action, Event, Moment, Wake};

use crate::backoff::Jitter;
use crate::deadlock::{Activity, Deadlock};
use crate::failures::Failures;
use crate::limits::Limits;
use crate::log::Verbosity;
use crate::messages::{Exit, Message, Note};
use crate::settings::Drain;
use crate::status::{Condition, Report};
use crate::target::{Loopback, Target};
use std::mem;

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Another supervisor looks after the target.
    StandingBy {
        try_at: Moment,
        /// It has let others have the lock.
        has_yielded: bool,
    },
    /// The app does not listen yet, or no longer; there is no agent.
    Waiting {
        /// That it takes longer than most boots do has been said to who asked for everything.
        is_late: bool,
        /// That it takes longer than any boot does has been said.
        is_told: bool,
        /// That another process listens is no reason any more to let others have the lock: they had it, and did not keep it.
        insists: bool,
    },
    /// There is an agent. `missed` counts the looks in a row that found no listener.
    Running {
        missed: u32,
        /// When an agent that came after many quick exits is said to be well again.
        well_at: Option<Moment>,
    },
    /// The agent was asked to end because the app no longer listens.
    Draining {
        /// Until when the processes that it has started may go on after it.
        kill_at: Option<Moment>,
    },
    /// The agent has ended and is started again at this moment.
    Pausing {
        until: Moment,
    },
    /// Nothing is started any more; the app has yet to end.
    Resting,
    /// The app has ended, or waits for the supervisor to end, and the agent was asked to.
    Stopping {
        kill_at: Moment,
    },
    /// It did not, and was killed.
    Killed {
        give_up_at: Moment,
    },
    Finished,
}

impl State {
    /// The beginning of a wait.
    const WAITING: Self = Self::Waiting {
        is_late: false,
        is_told: false,
        insists: false,
    };
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
    verbosity: Verbosity,
    /// Whether this is a type of process whose user waits for the agent.
    is_expected: bool,

    state: State,
    next_look: Moment,
    deadlock: Deadlock,
    next_probe: Moment,
    told_to_end: bool,
    failures: Failures,
    /// When the present state was entered.
    since: Moment,
    /// How often the agent was started.
    starts: u32,
    last_exit: Option<Exit>,
}

impl Supervisor {
    pub(crate) fn new(
        limits: Limits,
        labels: String,
        target: Target,
        wait_for_app: bool,
        drain: Drain,
        verbosity: Verbosity,
        is_expected: bool,
    ) -> Self {
        Self {
            next_probe: limits.probe_app,
            limits,
            labels,
            target,
            wait_for_app,
            drain,
            verbosity,
            is_expected,
            state: if wait_for_app {
                State::WAITING
            } else {
                State::Pausing {
                    until: Moment::ZERO,
                }
            },
            next_look: Moment::ZERO,
            deadlock: Deadlock::default(),
            told_to_end: false,
            failures: Failures::default(),
            since: Moment::ZERO,
            starts: 0,
            last_exit: None,
        }
    }

    /// The same for a supervisor that does not have the lock.
    pub(crate) fn standing_by(mut self) -> Self {
        self.state = State::StandingBy {
            try_at: self.limits.first_attempt,
            has_yielded: false,
        };
        self
    }

    /// Whether it matters whose the listener is.
    pub(crate) fn may_yield(&self) -> bool {
        matches!(self.state, State::Waiting { insists: false, .. })
    }

    /// When to wake.
    pub(crate) fn wake(&self) -> Wake {
        let look = |at: Moment| Wake {
            look_at: self.wait_for_app.then_some(at),
            ..Wake::default()
        };
        let timer = |at: Moment| Wake {
            timer_at: Some(at),
            ..Wake::default()
        };
        let wake = match self.state {
            State::Waiting { .. } => look(self.next_look),
            State::Running { well_at, .. } => Wake {
                timer_at: well_at,
                ..look(self.next_look)
            },
            State::StandingBy { try_at, .. } => timer(try_at),
            State::Draining { kill_at } => kill_at.map_or_else(Wake::default, timer),
            State::Pausing { until } if self.wait_for_app => look(until),
            State::Pausing { until } => timer(until),
            State::Stopping { kill_at } => timer(kill_at),
            State::Killed { give_up_at } => timer(give_up_at),
            State::Resting | State::Finished => Wake::default(),
        };
        let is_ending = matches!(
            self.state,
            State::Stopping { .. } | State::Killed { .. } | State::Finished
        );
        // One that is in no hurry waits for a look or a timer that comes soon, so that both cost one wakeup.
        let latest_probe = self.next_probe + self.limits.probe_app;
        let next_probe = match wake.look_at.or(wake.timer_at) {
            Some(at) if at <= latest_probe && !self.deadlock.is_suspected() => {
                at.max(self.next_probe)
            }
            _ => self.next_probe,
        };
        Wake {
            next_probe: (!is_ending).then_some(next_probe),
            ..wake
        }
    }

    /// How the agent is. What only the event loop knows is left empty.
    pub(crate) fn report(&self, now: Moment) -> Report {
        let (condition, next_try) = match self.state {
            // Nobody asks a supervisor without the lock.
            State::StandingBy { .. } | State::Waiting { .. } => (Condition::Waiting, None),
            State::Running { .. } => (Condition::Running, None),
            State::Draining { .. } => (Condition::Draining, None),
            State::Pausing { until } => (Condition::Pausing, Some(until)),
            State::Resting => (Condition::Resting, None),
            State::Stopping { .. } | State::Killed { .. } | State::Finished => {
                (Condition::Stopping, None)
            }
        };
        Report {
            condition,
            for_seconds: now.saturating_sub(self.since).as_secs(),
            restarts: self.starts.saturating_sub(1),
            last_exit: self.last_exit.as_ref().map(ToString::to_string),
            next_try_seconds: next_try.map(|at| at.saturating_sub(now).as_secs()),
            process_type: String::new(),
            labels: self.labels.clone(),
            target: self.target.to_string(),
            agent_sha256: None,
            agent_pid: None,
            supervisor_pid: None,
        }
    }

    /// Takes an event and tells what to do about it, in this order.
    pub(crate) fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let before = mem::discriminant(&self.state);
        let actions = self.react(event, now);
        if mem::discriminant(&self.state) != before {
            self.since = now;
        }
        actions
    }

    fn react(&mut self, event: Event, now: Moment) -> Vec<Action> {
        match event {
            Event::Looked(Some(loopback)) => self.app_listens(loopback, now),
            Event::Looked(None) => self.app_is_silent(now),
            Event::AnotherListens => self.another_listens(now),
            Event::LockTried { is_taken: true } => self.lock_taken(now),
            Event::LockTried { is_taken: false } => self.lock_is_held(now),
            Event::AgentStarted { url } => self.agent_started(&url),
            Event::AgentExited {
                exit,
                others_live,
                jitter,
            } => self.agent_exited(exit, others_live, jitter, now),
            Event::ToldToEnd => self.told_to_end(),
            Event::AppEnded => self.app_ended(now),
            Event::AppProbed(activity) => self.app_probed(activity, now),
            Event::TimeIsUp => self.time_is_up(now),
        }
    }

    fn another_listens(&mut self, now: Moment) -> Vec<Action> {
        if !self.may_yield() {
            return Vec::new();
        }
        self.state = State::StandingBy {
            try_at: now + self.limits.yield_for,
            has_yielded: true,
        };
        let target = self.target.to_string();
        let line = self.for_who_expects(Message::AnotherListens { target });
        vec![line, Action::ReleaseLock]
    }

    fn lock_taken(&mut self, now: Moment) -> Vec<Action> {
        let State::StandingBy { has_yielded, .. } = self.state else {
            return Vec::new();
        };
        let target = self.target.to_string();
        let mut actions = vec![self.for_who_expects(Message::TookOver { target })];
        if self.wait_for_app {
            actions.extend(self.wait(now));
            if let State::Waiting { insists, .. } = &mut self.state {
                *insists = has_yielded;
            }
        } else {
            self.state = State::Pausing { until: now };
        }
        actions
    }

    fn lock_is_held(&mut self, now: Moment) -> Vec<Action> {
        if matches!(self.state, State::StandingBy { .. }) {
            let waited = now.saturating_sub(self.since);
            let pause = waited.clamp(self.limits.first_attempt, self.limits.longest_attempt);
            self.state = State::StandingBy {
                try_at: now + pause,
                has_yielded: false,
            };
        }
        Vec::new()
    }

    /// A line for those who expect an agent.
    fn for_who_expects(&self, message: Message) -> Action {
        Action::Say(if self.is_expected {
            Note::info(message)
        } else {
            Note::debug(message)
        })
    }

    fn app_listens(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
        self.deadlock.looked(true);
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
            _ => Vec::new(),
        }
    }

    fn app_is_silent(&mut self, now: Moment) -> Vec<Action> {
        self.deadlock.looked(false);
        self.next_look = now + self.limits.look_while_running;
        match &mut self.state {
            State::Waiting {
                is_late,
                is_told,
                insists,
            } => {
                *insists = false;
                let waited = now.saturating_sub(self.since);
                if waited < self.limits.boot {
                    self.next_look = now + self.limits.look_at_boot;
                    return Vec::new();
                }
                self.next_look = now + self.limits.look_later;
                let target = self.target.to_string();
                let late = Message::AppIsLate { target };
                if self.is_expected && waited >= self.limits.late && !mem::replace(is_told, true) {
                    vec![Action::Say(Note::warning(late))]
                } else if !mem::replace(is_late, true) {
                    vec![Action::Say(Note::debug(late))]
                } else {
                    Vec::new()
                }
            }
            State::Pausing { until } if now >= *until => self.wait(now + self.limits.look_at_boot),
            State::Running { missed, .. } => {
                *missed = missed.saturating_add(1);
                if *missed == self.limits.missed_looks {
                    self.app_stopped_listening()
                } else {
                    Vec::new()
                }
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
            self.state = State::Draining { kill_at: None };
            vec![line, Action::Terminate]
        } else {
            vec![line]
        }
    }

    fn start(&mut self, loopback: Loopback, now: Moment) -> Vec<Action> {
        let is_after_trouble = self.failures.many(&self.limits).is_some();
        self.state = State::Running {
            missed: 0,
            well_at: is_after_trouble.then_some(now + self.limits.recovered),
        };
        self.starts = self.starts.saturating_add(1);
        self.next_look = now + self.limits.look_while_running;
        vec![Action::Start(loopback)]
    }

    fn wait(&mut self, next_look: Moment) -> Vec<Action> {
        self.state = State::WAITING;
        self.next_look = next_look;
        let target = self.target.to_string();
        vec![Action::Say(Note::debug(Message::Waiting { target }))]
    }

    fn agent_started(&self, url: &str) -> Vec<Action> {
        // An agent that keeps ending has its own lines, which are limited.
        let started = Message::AgentStarted {
            labels: self.labels.clone(),
            url: crate::target::redacted(url),
        };
        vec![Action::Say(if self.failures.many(&self.limits).is_some() {
            Note::debug(started)
        } else {
            Note::info(started)
        })]
    }

    fn agent_exited(
        &mut self,
        exit: Exit,
        others_live: bool,
        jitter: Jitter,
        now: Moment,
    ) -> Vec<Action> {
        self.last_exit = Some(exit.clone());
        if others_live {
            match &mut self.state {
                // They have been asked to end, and have the time for it that the agent had.
                State::Draining { kill_at } => {
                    let kill_at = *kill_at.get_or_insert(now + self.limits.grace);
                    if now < kill_at {
                        return Vec::new();
                    }
                }
                State::Stopping { .. } => return Vec::new(),
                // The children of those that were killed have lost their parents by now.
                State::Killed { .. } => return vec![Action::Kill],
                // No other agent comes, so that they are in nobody's way until the app has ended.
                State::Running { .. } if self.told_to_end => return Vec::new(),
                _ => {}
            }
        }
        // What the agent leaves behind is killed before it is reaped: afterwards the group's number may be another's.
        let mut actions = vec![Action::Kill, Action::Reap];
        match self.state {
            State::Stopping { .. } | State::Killed { .. } => {
                self.state = State::Finished;
                actions.push(Action::Say(Note::debug(Message::AgentExited {
                    exit,
                    pause: None,
                })));
                actions.push(Action::Finish);
            }
            State::Draining { .. } => actions.extend(self.agent_drained(exit, now)),
            State::Running { missed, .. } => {
                let is_draining = missed >= self.limits.missed_looks;
                actions.extend(self.agent_failed(exit, is_draining, jitter, now));
            }
            State::StandingBy { .. }
            | State::Waiting { .. }
            | State::Pausing { .. }
            | State::Resting
            | State::Finished => {}
        }
        actions
    }

    /// The agent was the last one.
    fn rest(&mut self, exit: Exit) -> Vec<Action> {
        self.state = State::Resting;
        let pause = None;
        vec![Action::Say(Note::info(Message::AgentExited {
            exit,
            pause,
        }))]
    }

    fn agent_drained(&mut self, exit: Exit, now: Moment) -> Vec<Action> {
        if self.told_to_end {
            return self.rest(exit);
        }
        let mut actions = vec![Action::Say(Note::info(Message::AgentDrained { exit }))];
        // The app may have been listening again for long.
        actions.extend(self.wait(now));
        actions
    }

    fn agent_failed(
        &mut self,
        exit: Exit,
        app_is_silent: bool,
        jitter: Jitter,
        now: Moment,
    ) -> Vec<Action> {
        if self.told_to_end {
            return self.rest(exit);
        }
        let lived = now.saturating_sub(self.since);
        let failure = self
            .failures
            .record(&exit, lived, now, &self.limits, jitter);
        self.state = State::Pausing {
            until: now + failure.pause,
        };
        let mut actions = Vec::new();
        if failure.is_told {
            actions.push(Action::Say(Note::warning(if app_is_silent {
                Message::AgentDrained { exit }
            } else {
                let pause = Some(failure.pause);
                Message::AgentExited { exit, pause }
            })));
        }
        if let Some((exits, cause)) = failure.explained {
            actions.push(Action::Say(Note::warning(Message::ManyQuickExits {
                exits,
                cause,
                output_is_dropped: self.verbosity == Verbosity::Quiet,
            })));
        }
        actions
    }

    fn told_to_end(&mut self) -> Vec<Action> {
        if self.told_to_end {
            return Vec::new();
        }
        self.told_to_end = true;
        if matches!(
            self.state,
            State::StandingBy { .. } | State::Waiting { .. } | State::Pausing { .. }
        ) {
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
            State::StandingBy { .. }
            | State::Waiting { .. }
            | State::Pausing { .. }
            | State::Resting => {
                self.state = State::Finished;
                let agent_runs = false;
                let line = Note::debug(Message::AppEnded { agent_runs });
                vec![Action::Say(line), Action::Finish]
            }
            State::Stopping { .. } | State::Killed { .. } | State::Finished => Vec::new(),
        }
    }

    fn app_probed(&mut self, activity: Activity, now: Moment) -> Vec<Action> {
        let waits = self.deadlock.observe(activity, now, &self.limits);
        if !waits {
            self.next_probe = now
                + if self.deadlock.is_suspected() {
                    self.limits.probe_app_again
                } else {
                    self.limits.probe_app
                };
            return Vec::new();
        }
        let line = Action::Say(Note::info(Message::AppWaitsForSupervisor));
        match self.state {
            State::Running { .. } | State::Draining { .. } => {
                self.state = State::Stopping {
                    kill_at: now + self.limits.grace_of_waiting_app,
                };
                vec![line, Action::Terminate]
            }
            State::StandingBy { .. }
            | State::Waiting { .. }
            | State::Pausing { .. }
            | State::Resting => {
                self.state = State::Finished;
                vec![line, Action::Finish]
            }
            State::Stopping { .. } | State::Killed { .. } | State::Finished => Vec::new(),
        }
    }

    fn time_is_up(&mut self, now: Moment) -> Vec<Action> {
        match &mut self.state {
            State::Running { well_at, .. } if well_at.is_some_and(|at| now >= at) => {
                *well_at = None;
                let recovered = |exits| {
                    Action::Say(Note::info(Message::AgentRecovered {
                        ran_for: now.saturating_sub(self.since),
                        exits,
                    }))
                };
                let exits = self.failures.many(&self.limits);
                self.failures.recovered();
                exits.into_iter().map(recovered).collect()
            }
            State::StandingBy { try_at, .. } if now >= *try_at => vec![Action::TryLock],
            State::Pausing { until } if now >= *until && !self.wait_for_app => {
                self.start(Loopback::V4, now)
            }
            State::Stopping { kill_at } if now >= *kill_at => {
                self.state = State::Killed {
                    give_up_at: now + self.limits.farewell,
                };
                vec![
                    Action::Say(Note::warning(Message::AgentKilled)),
                    Action::Kill,
                ]
            }
            State::Killed { give_up_at } if now >= *give_up_at => {
                self.state = State::Finished;
                vec![Action::Reap, Action::Finish]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
