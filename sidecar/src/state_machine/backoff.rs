//! The delay before a restart of the agent.

use std::time::Duration;

use crate::limits;
use crate::random;

/// A random share, so that agents of many supervisors that fail at the same moment do not restart at
/// the same moment.
///
/// In 65536ths, because floating-point code would add a tenth to the size of our own code in every
/// image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Jitter(u16);

impl Jitter {
    pub(crate) fn draw() -> Self {
        Self(random::draw())
    }

    #[cfg(test)]
    pub(crate) const NONE: Self = Self(0);

    fn of(self, duration: Duration) -> Duration {
        duration.saturating_mul(u32::from(self.0)) / 65_536
    }
}

/// The delay before the restart that follows the `exits`th quick exit in a row (counted from one).
///
/// It doubles from exit to exit; jitter adds up to a quarter. The base stops at four fifths of the
/// longest delay, so that jitter has room below it.
pub(super) fn delay(exits: u32, jitter: Jitter) -> Duration {
    let doublings = exits.saturating_sub(1).min(31);
    let base = limits::MIN_BACKOFF
        .saturating_mul(1 << doublings)
        .min(limits::MAX_BACKOFF * 4 / 5);
    base + jitter.of(base / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_up_to_its_bound() {
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
            assert_eq!(delay(exits, Jitter::NONE), least, "{exits}");
            let most = delay(exits, Jitter(u16::MAX));
            assert!(
                most > least.mul_f64(1.24) && most < least.mul_f64(1.25),
                "{exits}: {most:?}"
            );
            assert!(most <= limits::MAX_BACKOFF);
        }
    }
}
