//! The log of a Cloud Native Buildpack: bullet points on stderr.

use std::fmt::Display;
use std::time::Instant;

use bullet_stream::global::print;

use super::escape::{escape, escape_line};
use super::log::Log;

/// Prints to stderr.
pub(crate) struct CnbLog;

impl CnbLog {
    /// Begins the log; returns the time of that.
    pub(crate) fn begin(name: &str, section: &str) -> Instant {
        let started = print::buildpack(name);
        print::bullet(section);
        started
    }

    /// Ends the log of a build that succeeded.
    pub(crate) fn end(started: Instant) {
        print::all_done(&Some(started));
    }
}

impl Log for CnbLog {
    fn step(&self, line: &dyn Display) {
        print::sub_bullet(escape_line(&line.to_string()));
    }

    fn warning(&self, message: &dyn Display) {
        print::warning(escape(&message.to_string()));
    }

    fn error(&self, message: &dyn Display) {
        print::error(escape(&message.to_string()));
    }
}
