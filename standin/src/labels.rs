//! Labels: what an agent carries, and what a route selects agents by.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::str::FromStr;

/// At least one `key=value` pair, written with commas between the pairs.
///
/// An agent carries labels; a route has a *selector*, which is written the same way. Pairs are a set: their order
/// does not matter, and an agent may carry two values for one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Labels(BTreeSet<(String, String)>);

impl Labels {
    /// Whether an agent with these labels serves a route with this selector: each pair of the selector is one of the
    /// labels.
    pub(crate) fn satisfy(&self, selector: &Labels) -> bool {
        selector.0.is_subset(&self.0)
    }
}

impl FromStr for Labels {
    type Err = LabelsError;

    /// White space around pairs, and empty pairs (a trailing comma), are ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Labels end up in log lines, where a line break could pretend to be another line.
        if text.chars().any(char::is_control) {
            return Err(LabelsError::ControlCharacter);
        }
        let pairs = text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                _ => Err(LabelsError::NotKeyValue(pair.to_owned())),
            })
            .collect::<Result<BTreeSet<_>, _>>()?;
        if pairs.is_empty() {
            return Err(LabelsError::Empty);
        }
        Ok(Labels(pairs))
    }
}

impl TryFrom<String> for Labels {
    type Error = LabelsError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Labels> for String {
    fn from(labels: Labels) -> Self {
        labels.to_string()
    }
}

impl Display for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (key, value)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(formatter, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

/// Errors that can occur when labels or a selector are read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// There is no pair at all; a selector without one would match every agent.
    #[error("no label is given; write key=value, and a comma between two")]
    Empty,
    /// This pair has no equals sign, or no key before it.
    #[error("the label `{0}` is not of the form key=value")]
    NotKeyValue(String),
    /// There is a line break or another control character.
    #[error("a label has a control character in it")]
    ControlCharacter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_written() {
        for (text, expected) in [
            ("some=label", "some=label"),
            ("b=2,a=1", "a=1,b=2"),
            (" a=1 , b=2 ,", "a=1,b=2"),
            ("a=1,a=1", "a=1"),
            ("a=1,a=2", "a=1,a=2"),
            ("url=http://x/?a=b", "url=http://x/?a=b"),
            ("empty=", "empty="),
        ] {
            assert_eq!(text.parse::<Labels>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn labels_that_are_none_are_refused() {
        for (text, expected) in [
            ("", LabelsError::Empty),
            (" , ", LabelsError::Empty),
            ("web", LabelsError::NotKeyValue("web".into())),
            ("a=1,=2", LabelsError::NotKeyValue("=2".into())),
            ("a=1\nb=2", LabelsError::ControlCharacter),
        ] {
            assert_eq!(text.parse::<Labels>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn labels_satisfy_a_selector_that_is_a_subset() {
        for (labels, selector, expected) in [
            ("some=label", "some=label", true),
            ("some=label,heroku=true", "some=label", true),
            ("some=label,heroku=true", "heroku=true,some=label", true),
            ("some=label", "some=label,heroku=true", false),
            ("some=label", "some=other", false),
            ("some=label", "label=some", false),
            ("some=label", "Some=label", false),
            ("some=one,some=two", "some=two", true),
        ] {
            let (labels, selector): (Labels, Labels) =
                (labels.parse().unwrap(), selector.parse().unwrap());
            assert_eq!(
                labels.satisfy(&selector),
                expected,
                "{labels} for {selector}"
            );
        }
    }
}
