//! The interface of a log.

use std::fmt::Display;

/// The log of a front end.
pub(crate) trait Log {
    /// Logs one line: a step that begins, or its result.
    fn step(&self, line: &dyn Display);
    /// Logs a message that a user should see although the build continues.
    fn warning(&self, message: &dyn Display);
    /// Logs what stopped the build.
    fn error(&self, message: &dyn Display);
}
