//! Detection of an app that waits for all its children to end, of which the supervisor is one.
//!
//! An app that is process 1 of its container, or adopts orphans, has the supervisor for its child.
//! If it then waits until no child is left, it waits for the supervisor, which waits for the app.
//! No other process can take the supervisor's place there, because each would become a child of the
//! app.

use std::fs;
use std::time::Duration;

use rustix::process::{self, Pid};

use crate::limits::{self, Moment};
use crate::procfs::{self, Stat};

/// The activity of the app, as far as it matters here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Activity {
    /// It has other children than the supervisor.
    HasOthers,
    /// It has none, and its first thread sleeps in wait(2).
    Waits {
        is_only_thread: bool,
        /// How often the thread went to sleep.
        sleeps: u64,
    },
    /// It has none, and its only thread sleeps: it may wait for SIGCHLD.
    Sleeps { sleeps: u64 },
    /// Anything else, or `/proc` does not show it.
    Other,
}

/// Checks what the app does. It is expected to be the supervisor's parent.
pub(crate) fn check(app: Pid) -> Activity {
    try_check(app).unwrap_or(Activity::Other)
}

/// The cheap checks come first: for most apps, this reads one file of `/proc` a second.
fn try_check(app: Pid) -> Option<Activity> {
    let own = process::getpid();
    if children(app, app)?.iter().any(|child| *child != own) {
        return Some(Activity::HasOthers);
    }
    // Empty or 0 if the kernel does not report it, as it does for processes of the same user.
    let wait_channel = fs::read_to_string(format!("/proc/{app}/wchan")).unwrap_or_default();
    let stat = Stat::of(app).ok()?;
    if !stat.is_asleep() {
        return None;
    }
    let waits = wait_channel.starts_with("do_wait");
    let is_only_thread = stat.threads == 1;
    // An app in nanosleep(2) wakes by itself.
    if !waits && (!is_only_thread || wait_channel.contains("nanosleep")) {
        return None;
    }
    // The first list has the children of the first thread only, and may have been empty because
    // another child was just created.
    let others = fs::read_dir(format!("/proc/{app}/task"))
        .ok()?
        .map(|thread| {
            let thread = Pid::from_raw(thread.ok()?.file_name().to_str()?.parse().ok()?)?;
            children(app, thread)
        })
        .collect::<Option<Vec<_>>>()?
        .concat();
    // A supervisor that is missing was read from a list of another PID namespace.
    if others != [own] {
        return None;
    }
    let sleeps = procfs::voluntary_switches(app)?;
    Some(if waits {
        Activity::Waits {
            is_only_thread,
            sleeps,
        }
    } else {
        Activity::Sleeps { sleeps }
    })
}

/// The children that a thread has made or adopted, zombies included.
fn children(app: Pid, thread: Pid) -> Option<Vec<Pid>> {
    fs::read_to_string(format!("/proc/{app}/task/{thread}/children"))
        .ok()?
        .split_ascii_whitespace()
        .map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

/// The result of the last probe, and of the check after it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum LastProbe {
    #[default]
    NotListening,
    Listening,
    /// It listened at the probe, and had no other children at the check. Whether it listened at the
    /// check too, the next probe shows.
    ListeningAlone,
}

/// The evidence of a deadlock so far.
#[derive(Debug, Default)]
pub(crate) struct Deadlock {
    last_probe: LastProbe,
    /// Whether the app has ever had other children.
    had_others: bool,
    /// Whether it had some when it listened the last time.
    had_others_when_it_listened: bool,
    suspicion: Option<(Activity, Moment)>,
}

impl Deadlock {
    /// Records whether the app listens.
    pub(crate) fn probed(&mut self, listens: bool) {
        if listens && self.last_probe == LastProbe::ListeningAlone {
            self.had_others_when_it_listened = false;
        }
        self.last_probe = if listens {
            LastProbe::Listening
        } else {
            LastProbe::NotListening
        };
    }

    /// Records what the app does, and returns whether it waits for the supervisor.
    pub(crate) fn observe(&mut self, activity: Activity, now: Moment) -> bool {
        let has_others = activity == Activity::HasOthers;
        self.had_others |= has_others;
        let listens = self.last_probe != LastProbe::NotListening;
        if listens && has_others {
            self.had_others_when_it_listened = true;
            self.last_probe = LastProbe::Listening;
        } else if listens {
            self.last_probe = LastProbe::ListeningAlone;
        }
        let Some(needed) = self.needed(activity) else {
            self.suspicion = None;
            return false;
        };
        let since = match self.suspicion {
            Some((earlier, since)) if earlier == activity => since,
            _ => now,
        };
        self.suspicion = Some((activity, since));
        now.saturating_sub(since) >= needed
    }

    /// For how long this has to last. `None` if it does not indicate a deadlock.
    fn needed(&self, activity: Activity) -> Option<Duration> {
        match activity {
            // A thread that sleeps in wait(2) has no other child to wait for. Other threads may be
            // what the app is there for.
            Activity::Waits { is_only_thread, .. } if is_only_thread || self.had_others => {
                Some(limits::APP_WAIT_THRESHOLD)
            }
            // It may as well finish a request, or wait to start other children.
            Activity::Sleeps { .. }
                if self.had_others_when_it_listened
                    && self.last_probe == LastProbe::NotListening =>
            {
                Some(limits::APP_SLEEP_THRESHOLD)
            }
            _ => None,
        }
    }

    pub(crate) fn is_suspected(&self) -> bool {
        self.suspicion.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a deadlock is found after these observations, each with the milliseconds since the
    /// first one, and whether the app listens.
    fn is_found(observations: &[(u64, Activity, bool)]) -> bool {
        let mut deadlock = Deadlock::default();
        let answers: Vec<bool> = observations
            .iter()
            .map(|(at, activity, listens)| {
                deadlock.probed(*listens);
                deadlock.observe(*activity, Duration::from_millis(*at))
            })
            .collect();
        let (last, earlier) = answers.split_last().unwrap();
        assert!(!earlier.contains(&true), "{observations:?}");
        *last
    }

    #[test]
    fn app_that_sleeps_long_enough_waits_for_the_supervisor_if_nothing_else_is_left() {
        use Activity::{HasOthers, Other};
        let sleeps = 7;
        let waits = |is_only_thread, at, listens| {
            let activity = Activity::Waits {
                is_only_thread,
                sleeps,
            };
            (at, activity, listens)
        };
        let only = |at, listens| waits(true, at, listens);
        let many = |at, listens| waits(false, at, listens);
        let asleep = |at| (at, Activity::Sleeps { sleeps }, false);
        let listening = |at| (at, Activity::Sleeps { sleeps }, true);
        let served = (0, HasOthers, true);
        let never_served = (0, HasOthers, false);
        let listened_twice = [served, listening(1), listening(2), asleep(3), asleep(9_000)];
        let did = |activity| [served, asleep(1), (1_000, activity, false), asleep(1_601)];
        for (expected, observations) in [
            (true, &[only(0, true), only(500, true)][..]),
            (true, &[only(0, false), only(500, false)]),
            (false, &[only(0, false), only(499, false)]),
            // Others serve, and it may only reap what comes.
            (false, &[many(0, false), many(9_000, false)]),
            (true, &[never_served, many(1, true), many(501, true)]),
            // One that sleeps in another call does so only if what served is gone: not if it still
            // listens, never listened, or was alone when it listened the last time.
            (true, &[served, asleep(1), asleep(1_601)]),
            (false, &[served, asleep(1), asleep(1_600)]),
            (false, &[served, listening(1), listening(9_000)]),
            (false, &[never_served, asleep(1), asleep(9_000)]),
            (false, &listened_twice),
            // It may have ended together with what served, between the probe and the check.
            (true, &[served, listening(1), asleep(2), asleep(1_602)]),
            // It did something meanwhile.
            (false, &did(Other)),
            (false, &did(HasOthers)),
            (false, &did(Activity::Sleeps { sleeps: 8 })),
        ] {
            assert_eq!(is_found(observations), expected, "{observations:?}");
        }
    }

    #[test]
    fn process_that_is_not_the_parent_is_not_suspected() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(check(Pid::from_child(&child)), Activity::Other);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(check(Pid::from_child(&child)), Activity::Other);
    }
}
