//! Log lines on stderr, the last of which says why a program fails.

use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Writes `program: message` as one line to stderr.
///
/// The line is written at once, so that lines of several programs on one stderr do not mix. A closed stderr is no
/// reason to stop serving, so an error is ignored.
pub fn line(program: &str, message: impl Display) {
    let line = format!("{program}: {message}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Ends a program: a failure is logged, and is exit status 1.
#[must_use]
pub fn exit_code(program: &str, result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(program, error);
            ExitCode::FAILURE
        }
    }
}

/// The error and what it comes from, down to the first cause, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
