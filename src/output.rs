//! What a front end does with the lines that an installation has to say.

use bullet_stream::global::print;

/// Receives what an installation tells its user while it goes on.
pub(crate) trait Output {
    /// One line: a step that begins, or its result.
    fn step(&self, line: &str);
    /// A few lines that a user should see even in a build that passes.
    fn warning(&self, text: &str);
}

/// The output of a Cloud Native Buildpack build: bullet points on stderr.
pub(crate) struct BuildLog;

impl Output for BuildLog {
    fn step(&self, line: &str) {
        print::sub_bullet(escape_line(line));
    }

    fn warning(&self, text: &str) {
        print::warning(escape(text));
    }
}

/// `text` with everything escaped that could do something to a terminal or to its reader: control characters except line feeds,
/// and invisible ones such as those that turn the direction of writing around.
///
/// Every text passes through here or through [`escape_line`] on its way out, and nothing is escaped before.
pub(crate) fn escape(text: &str) -> String {
    text.chars().map(escape_char).collect()
}

/// The same for a single line: line feeds are escaped as well.
pub(crate) fn escape_line(line: &str) -> String {
    escape(line).replace('\n', "\\n")
}

fn escape_char(char: char) -> String {
    match char {
        '\n' | '\\' | '\'' | '"' => char.to_string(),
        // The library's own idea of what can be printed.
        _ => char.escape_debug().to_string(),
    }
}

/// Keeps what it is told, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Recorded(std::cell::RefCell<Vec<String>>);

#[cfg(test)]
impl Recorded {
    /// All lines so far; a warning is one, after `warning: `.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

#[cfg(test)]
impl Output for Recorded {
    fn step(&self, line: &str) {
        self.0.borrow_mut().push(line.to_owned());
    }

    fn warning(&self, text: &str) {
        self.0.borrow_mut().push(format!("warning: {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_escaped_if_it_could_do_something() {
        for (text, escaped) in [
            ("changed a → b: “x” \\ 'y' …", "changed a → b: “x” \\ 'y' …"),
            ("Grüße, 日本", "Grüße, 日本"),
            ("\x1b[31mred\x07\r", r"\u{1b}[31mred\u{7}\r"),
            // C1 controls, a right-to-left override, an isolate, a mark, a zero-width space and a line separator.
            ("a\u{9b}31m\u{85}", r"a\u{9b}31m\u{85}"),
            (
                "\u{202e}\u{2066}\u{200f}\u{200b}\u{2028}",
                r"\u{202e}\u{2066}\u{200f}\u{200b}\u{2028}",
            ),
            ("\u{feff}\u{e0041}\u{7f}", r"\u{feff}\u{e0041}\u{7f}"),
        ] {
            assert_eq!(escape(text), escaped);
        }
        assert_eq!(escape("one\ntwo"), "one\ntwo");
        assert_eq!(escape_line("one\ntwo"), r"one\ntwo");
    }

    proptest! {
        #[test]
        fn nothing_else_gets_out(text in any::<String>()) {
            prop_assert!(!escape_line(&text).chars().any(char::is_control));
        }
    }
}
