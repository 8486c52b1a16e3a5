//! Log lines on stderr, the last of which is the reason why a program fails.

use anyhow::Result;
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// Writes `program: message` as one line to stderr.
///
/// The line is written at once, so that lines of several programs on one stderr do not mix. A
/// closed stderr is no reason to stop serving, so an error is ignored.
pub fn line(program: &str, message: impl Display) {
    let line = format!("{program}: {message}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Ends a program: a failure is logged with its causes, and is exit status 1.
#[must_use]
pub fn exit_code(program: &str, result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(program, format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
