//! The log: lines to the user, on standard error.

use std::fmt::Display;

use crate::stderr;

/// How important a line is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Something is wrong, and the user can do something about it.
    Warning,
    /// A change of state that a user wants to see in the app's log.
    Info,
    /// A reason or a detail.
    Debug,
}

/// A line for the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogEntry {
    /// How important it is.
    pub level: Level,
    /// One sentence or more, without a line break.
    pub text: String,
}

impl LogEntry {
    /// A line at the level of warnings.
    pub fn warning(text: impl Display) -> Self {
        Self::new(Level::Warning, text)
    }

    /// A line about a change of state.
    pub fn info(text: impl Display) -> Self {
        Self::new(Level::Info, text)
    }

    /// A line about a reason.
    pub fn debug(text: impl Display) -> Self {
        Self::new(Level::Debug, text)
    }

    fn new(level: Level, text: impl Display) -> Self {
        let text = text.to_string();
        Self { level, text }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Verbosity {
    /// Warnings only. The agent's own output is dropped too.
    Quiet,
    /// Warnings and changes of state.
    #[default]
    Info,
    /// Everything.
    Debug,
}

impl Verbosity {
    fn shows(self, level: Level) -> bool {
        match self {
            Self::Quiet => level <= Level::Warning,
            Self::Info => level <= Level::Info,
            Self::Debug => true,
        }
    }
}

/// Writes the lines at the levels that the user wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    /// The start of each line, in brackets.
    name: &'static str,
    pub(crate) verbosity: Verbosity,
}

impl Log {
    pub(crate) fn new(name: &'static str, verbosity: Verbosity) -> Self {
        Self { name, verbosity }
    }

    pub(crate) fn log(self, level: Level, message: &impl Display) {
        if self.verbosity.shows(level) {
            stderr::write(&line(self.name, &message.to_string()));
        }
    }
}

/// The longest line in bytes: POSIX promises that a write of up to `PIPE_BUF` (4096 on Linux,
/// pipe(7)) to a pipe is not mixed with others'.
const LONGEST_LINE: usize = 4096;

/// One line as it is written: prefixed, free of control characters, ended by the only newline in
/// it, and short enough for one atomic write.
fn line(name: &str, text: &str) -> Vec<u8> {
    let mut line = format!("[{name}] ");
    for character in text.chars() {
        let length = line.len();
        push_plain(&mut line, character);
        if line.len() >= LONGEST_LINE {
            line.truncate(length);
            break;
        }
    }
    line.push('\n');
    line.into_bytes()
}

/// The text without characters that could forge or hide other text: they are written as escapes.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        push_plain(&mut plain, character);
    }
    plain
}

fn push_plain(text: &mut String, character: char) {
    if is_plain(character) {
        text.push(character);
    } else {
        text.extend(character.escape_default());
    }
}

/// Whether a character can stand in a log as it is: it neither moves the cursor, nor ends the line,
/// nor reorders text.
fn is_plain(character: char) -> bool {
    let reorders_text = matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !reorders_text && !matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbosity_shows_its_level_and_all_above() {
        let shown = |verbosity: Verbosity| {
            [Level::Warning, Level::Info, Level::Debug].map(|level| verbosity.shows(level))
        };
        assert_eq!(shown(Verbosity::Quiet), [true, false, false]);
        assert_eq!(shown(Verbosity::Info), [true, true, false]);
        assert_eq!(shown(Verbosity::Debug), [true, true, true]);
    }

    #[test]
    fn line_escapes_what_could_forge_or_hide_text() {
        for (text, expected) in [
            ("plain, ünïcode", "[name] plain, ünïcode\n"),
            ("a\nb\r\tc", "[name] a\\nb\\r\\tc\n"),
            ("\u{1b}[2J", "[name] \\u{1b}[2J\n"),
            ("\u{202e}txt\u{9b}", "[name] \\u{202e}txt\\u{9b}\n"),
            ("\u{2028}", "[name] \\u{2028}\n"),
        ] {
            assert_eq!(String::from_utf8(line("name", text)).unwrap(), expected);
        }
    }

    #[test]
    fn line_stays_within_one_atomic_write() {
        for unit in ["x", "ü", "\u{1b}"] {
            let line = line("name", &unit.repeat(10_000));
            assert!(line.len() <= LONGEST_LINE, "{}", line.len());
            assert!(line.len() > LONGEST_LINE - 10, "{}", line.len());
            assert!(String::from_utf8(line).unwrap().ends_with('\n'));
        }
    }
}
