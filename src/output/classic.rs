//! The log of a classic buildpack: an arrow for the buildpack, indented lines, and marks beside
//! warnings and errors.

use std::fmt::Display;
use std::io::{self, Write as _};

use super::escape::{escape, escape_line};
use super::log::Log;

/// Prints everything to stdout: Heroku shows stdout and stderr, but not in the order of their
/// lines.
pub(crate) struct ClassicLog;

impl ClassicLog {
    /// Begins the log.
    pub(crate) fn begin(name: &str) {
        print(&format!("-----> {name}\n"));
    }
}

impl Log for ClassicLog {
    fn step(&self, line: &dyn Display) {
        print(&format!("       {}\n", escape_line(&line.to_string())));
    }

    fn warning(&self, message: &dyn Display) {
        print(&marked(&message.to_string()));
    }

    fn error(&self, message: &dyn Display) {
        self.warning(message);
    }
}

fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()); // A closed log is no reason to stop a build.
}

/// The lines of `text` with the mark of Heroku's own buildpacks, as a block.
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
