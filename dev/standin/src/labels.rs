//! Labels: what an agent carries, and what a route selects agents by.

use anyhow::{Error, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::str::FromStr;

/// At least one `key=value` pair, written with commas between the pairs.
///
/// An agent carries labels; a route has a *selector*, which is written the same way. Pairs are a
/// set: their order does not matter, and an agent may carry two values for one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels(BTreeSet<String>);

impl Labels {
    /// Whether an agent with these labels serves a route with this selector: each pair of the
    /// selector is one of the labels.
    pub(crate) fn satisfy(&self, selector: &Labels) -> bool {
        selector.0.is_subset(&self.0)
    }
}

impl FromStr for Labels {
    type Err = Error;

    /// White space around pairs, and empty pairs (a trailing comma), are ignored.
    fn from_str(text: &str) -> Result<Self, Error> {
        // Labels end up in log lines, where a line break could pretend to be another line.
        let has_control = text.chars().any(char::is_control);
        ensure!(!has_control, "a label has a control character in it");
        let pairs = text.split(',').map(str::trim);
        let pairs: BTreeSet<_> = pairs
            .filter(|pair| !pair.is_empty())
            .map(str::to_owned)
            .collect();
        // A selector without a pair would match every agent.
        ensure!(
            !pairs.is_empty(),
            "no label is given; write key=value, and a comma between two"
        );
        for pair in &pairs {
            let has_key = pair.find('=').is_some_and(|at| at > 0);
            ensure!(has_key, "the label `{pair}` is not of the form key=value");
        }
        Ok(Labels(pairs))
    }
}

impl Display for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<&str> = self.0.iter().map(String::as_str).collect();
        formatter.write_str(&pairs.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_written() {
        for (text, expected) in [
            ("some=label", "some=label"),
            ("b=2, a=1 ,a=1,", "a=1,b=2"),
            ("a=1,a=2", "a=1,a=2"),
            ("url=http://x/?a=b", "url=http://x/?a=b"),
            ("empty=", "empty="),
            (
                " , ",
                "no label is given; write key=value, and a comma between two",
            ),
            ("web", "the label `web` is not of the form key=value"),
            ("a=1,=2", "the label `=2` is not of the form key=value"),
            ("a=1\n", "a label has a control character in it"),
        ] {
            let shown = match text.parse::<Labels>() {
                Ok(labels) => labels.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn selector_is_satisfied_by_all_of_its_pairs() {
        let labels: Labels = "a=1,b=2".parse().unwrap();
        for (selector, expected) in [
            ("a=1", true),
            ("b=2,a=1", true),
            ("a=1,c=3", false),
            ("a=2", false),
        ] {
            assert_eq!(
                labels.satisfy(&selector.parse().unwrap()),
                expected,
                "{selector}"
            );
        }
    }
}
