//! Random numbers, without a crate for them.

use std::hash::{BuildHasher as _, RandomState};

/// A random number. `RandomState` takes its keys from the system's random source once and then
/// counts; the results of its hash function cannot be guessed without the keys.
pub(crate) fn draw() -> u16 {
    let [high, low, ..] = RandomState::new().hash_one(()).to_ne_bytes();
    u16::from_ne_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ() {
        let draws: Vec<u16> = (0..100).map(|_| draw()).collect();
        let half = u16::MAX / 2;
        assert!(draws.iter().any(|draw| *draw < half) && draws.iter().any(|draw| *draw > half));
    }
}
