//! The length of tests that can be long.

use std::env;

/// The variable that `script/test --soak` sets.
const SOAK: &str = "BACKPLANE_TEST_SOAK";

/// How much of something a test does: `long` with `--soak`, `short` otherwise.
pub fn soak_or<T>(long: T, short: T) -> T {
    if env::var_os(SOAK).is_some_and(|value| !value.is_empty()) {
        long
    } else {
        short
    }
}
