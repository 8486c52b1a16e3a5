//! Escaping of everything that could affect a terminal or mislead a reader.

/// Escapes a text: control characters except line feeds, and invisible characters such as those
/// that change the direction of writing. A log passes everything through here or through
/// [`escape_line`], and nothing is escaped before.
pub(crate) fn escape(text: &str) -> String {
    text.chars().map(escape_char).collect()
}

/// Escapes a single line: line feeds as well.
pub(crate) fn escape_line(line: &str) -> String {
    escape(line).replace('\n', "\\n")
}

fn escape_char(char: char) -> String {
    match char {
        '\n' | '\\' | '\'' | '"' => char.to_string(),
        // The standard library decides which characters are printable.
        _ => char.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_escaped_if_it_could_do_something() {
        for (text, escaped) in [
            ("changed a → b: “x” \\ 'y' …", "changed a → b: “x” \\ 'y' …"),
            ("Grüße, 日本", "Grüße, 日本"),
            ("\x1b[31mred\x07\r", r"\u{1b}[31mred\u{7}\r"),
            // C1 controls, a right-to-left override, an isolate, a mark, a zero-width space and a
            // line separator.
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
        fn line_has_no_control_characters(text in any::<String>()) {
            prop_assert!(!escape_line(&text).chars().any(char::is_control));
        }
    }
}
