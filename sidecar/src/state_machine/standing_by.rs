//! Who has the lock: transitions of a supervisor that stands by, or lets another one have the lock.

use super::{Action, Notice, State, StateMachine};
use crate::limits::{self, Moment};

impl StateMachine {
    pub(super) fn another_listens(&mut self, now: Moment) -> Vec<Action> {
        if !self.may_yield() {
            return Vec::new();
        }
        self.state = State::StandingBy {
            try_at: now + limits::YIELD_FOR,
            has_yielded: true,
        };
        vec![
            self.log_if_expected(Notice::AnotherListens),
            Action::ReleaseLock,
        ]
    }

    pub(super) fn lock_taken(&mut self, now: Moment) -> Vec<Action> {
        let State::StandingBy { has_yielded, .. } = self.state else {
            return Vec::new();
        };
        let mut actions = vec![self.log_if_expected(Notice::TookOver)];
        if self.waits_for_app() {
            actions.extend(self.wait(now));
            if let State::Waiting { insists, .. } = &mut self.state {
                *insists = has_yielded;
            }
        } else {
            self.state = State::Restarting { at: now };
        }
        actions
    }

    pub(super) fn lock_is_held(&mut self, now: Moment) -> Vec<Action> {
        if matches!(self.state, State::StandingBy { .. }) {
            let waited = now.saturating_sub(self.since);
            let interval = waited.clamp(limits::MIN_LOCK_INTERVAL, limits::MAX_LOCK_INTERVAL);
            self.state = State::StandingBy {
                try_at: now + interval,
                has_yielded: false,
            };
        }
        Vec::new()
    }
}
