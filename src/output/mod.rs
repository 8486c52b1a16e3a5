//! The log of a build.

mod classic;
mod cnb;
mod escape;
mod log;

pub(crate) use self::classic::ClassicLog;
pub(crate) use self::cnb::CnbLog;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::escape::escape;
pub(crate) use self::log::Log;
