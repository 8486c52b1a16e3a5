//! Whether tests that can be long are to be: `script/test --soak` asks for it.
//!
//! The tests of the launch program include this file too, so that there is one such switch.

use std::env;

/// The variable that `script/test --soak` sets.
const SOAK: &str = "BACKPLANE_TEST_SOAK";

/// How much of something a test does: `long` with `--soak`, `short` otherwise.
pub(crate) fn soak_or<T>(long: T, short: T) -> T {
    if env::var_os(SOAK).is_some_and(|value| !value.is_empty()) {
        long
    } else {
        short
    }
}
