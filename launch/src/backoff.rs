//! How long to wait before the agent is started again.

use crate::limits::Limits;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// A random fraction from 0 (inclusive) to 1 (exclusive), so that many supervisors whose agents fail at the same moment do not
/// come back at the same moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Jitter(f64);

impl Jitter {
    /// A new one. `RandomState` takes its keys from the system's random source once and then counts, which is plenty here.
    pub(crate) fn draw() -> Self {
        let bits = u32::try_from(RandomState::new().hash_one(()) >> 32).expect("32 bits are left");
        Self(f64::from(bits) / (f64::from(u32::MAX) + 1.0))
    }

    #[cfg(test)]
    pub(crate) const NONE: Self = Self(0.0);
}

/// The pause before the restart that follows the `exits`th quick exit in a row (counted from one).
///
/// It doubles from exit to exit; jitter adds up to a quarter. The base stops at four fifths of the longest pause, so that jitter
/// has room below it.
pub(crate) fn pause(limits: &Limits, exits: u32, jitter: Jitter) -> Duration {
    let doublings = exits.saturating_sub(1).min(31);
    let base = limits
        .first_restart
        .saturating_mul(1 << doublings)
        .min(limits.longest_restart.mul_f64(0.8));
    base.mul_f64(1.0 + jitter.0 / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_doubles_up_to_its_bound() {
        let limits = Limits::default();
        for (exits, milliseconds) in [
            (1, 250),
            (2, 500),
            (3, 1_000),
            (4, 2_000),
            (8, 32_000),
            (9, 48_000),
            (10, 48_000),
            (u32::MAX, 48_000),
        ] {
            let least = Duration::from_millis(milliseconds);
            assert_eq!(pause(&limits, exits, Jitter::NONE), least, "{exits}");
            let most = pause(&limits, exits, Jitter(0.999_999));
            assert!(
                most > least.mul_f64(1.24) && most < least.mul_f64(1.25),
                "{exits}: {most:?}"
            );
            assert!(most <= limits.longest_restart);
        }
    }

    #[test]
    fn jitter_is_a_fraction_and_differs_from_draw_to_draw() {
        let draws: Vec<f64> = (0..100).map(|_| Jitter::draw().0).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        assert!(draws.iter().any(|draw| *draw < 0.5) && draws.iter().any(|draw| *draw >= 0.5));
    }
}
