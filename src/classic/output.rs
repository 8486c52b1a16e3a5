//! The output of a classic build: an arrow for the buildpack, indented lines, and marks beside what should be seen.

use std::io::{self, Write as _};

use crate::output::{Output, escape, escape_line};

/// Prints to stdout, warnings and errors too: Heroku shows both streams, and with two of them the order would be lost.
pub(super) struct ClassicLog;

impl ClassicLog {
    /// The line that begins a buildpack's part of the log.
    pub(super) fn heading(&self, name: &str) {
        self.print(&format!("-----> {name}\n"));
    }

    /// What has stopped the build.
    pub(super) fn error(&self, text: &str) {
        self.print(&marked(text));
    }

    #[expect(
        clippy::unused_self,
        reason = "all that is said goes by way of the log"
    )]
    fn print(&self, text: &str) {
        // Nobody who reads: no reason to stop a build.
        let _ = io::stdout().write_all(text.as_bytes());
    }
}

impl Output for ClassicLog {
    fn step(&self, line: &str) {
        self.print(&format!("       {}\n", escape_line(line)));
    }

    fn warning(&self, text: &str) {
        self.print(&marked(text));
    }
}

/// The lines of `text` with the mark of Heroku's own buildpacks, as a block of its own.
fn marked(text: &str) -> String {
    let text = escape(text);
    let lines = text.trim_end().lines().map(|line| {
        let line = format!(" !     {line}");
        format!("{}\n", line.trim_end())
    });
    format!("\n{}\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_marked_and_none_ends_in_spaces() {
        assert_eq!(
            marked("Header\n\nBody\n  indented\n"),
            "\n !     Header\n !\n !     Body\n !       indented\n\n"
        );
    }
}
