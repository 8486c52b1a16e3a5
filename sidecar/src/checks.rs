//! The checks that are on their way: whether the app is ready, and whether the agent is healthy.

use rustix::event::PollFd;
use rustix::io::Errno;

use crate::http_get::{HttpGet, HttpTarget};
use crate::limits::{self, Moment};
use crate::state_machine::Event;
use crate::upstream::Loopback;

/// At most one check of each kind.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    ready: Option<(Loopback, Check)>,
    health: Option<Check>,
}

/// A request, and until when its response has to come. The request is an error if it could not even
/// be started.
#[derive(Debug)]
struct Check {
    get: Result<HttpGet, Errno>,
    deadline: Moment,
}

impl Check {
    fn start(target: &HttpTarget, now: Moment) -> Self {
        Self {
            get: HttpGet::start(target),
            deadline: now + limits::HTTP_TIMEOUT,
        }
    }

    /// The result, if it is known.
    fn result(&mut self, now: Moment) -> Option<bool> {
        let Ok(get) = &mut self.get else {
            return Some(false);
        };
        let result = get.advance();
        result.or_else(|| (now >= self.deadline).then(|| get.verdict()))
    }
}

impl Checks {
    /// Checks whether the app is ready, which listens on this address.
    pub(crate) fn start_ready(&mut self, target: &HttpTarget, loopback: Loopback, now: Moment) {
        self.ready = Some((loopback, Check::start(target, now)));
    }

    /// Checks whether the agent is healthy.
    pub(crate) fn start_health(&mut self, target: &HttpTarget, now: Moment) {
        self.health = Some(Check::start(target, now));
    }

    /// Forgets the check of an agent that another one follows.
    pub(crate) fn forget_health(&mut self) {
        self.health = None;
    }

    fn all(&self) -> impl Iterator<Item = &Check> {
        let ready = self.ready.iter().map(|(_, check)| check);
        ready.chain(&self.health)
    }

    /// What becomes ready when a check can go on.
    pub(crate) fn poll(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.all()
            .filter_map(|check| Some(check.get.as_ref().ok()?.poll()))
    }

    /// When the next check is out of time, or has its result already.
    pub(crate) fn wake(&self) -> Option<Moment> {
        self.all()
            .map(|check| match check.get {
                Ok(_) => check.deadline,
                Err(_) => Moment::ZERO,
            })
            .min()
    }

    /// Takes the result of a check, if one is known.
    pub(crate) fn next(&mut self, now: Moment) -> Option<Event> {
        if let Some((loopback, check)) = &mut self.ready
            && let Some(is_ready) = check.result(now)
        {
            let loopback = *loopback;
            self.ready = None;
            return Some(Event::ReadyChecked { loopback, is_ready });
        }
        let is_healthy = self.health.as_mut()?.result(now)?;
        self.health = None;
        Some(Event::HealthChecked { is_healthy })
    }
}
