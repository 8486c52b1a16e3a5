//! The agent's labels: the ones that all processes share, the process type's own, and a mark on
//! Heroku.

use std::ffi::OsStr;

use crate::messages::Message;

/// Labels as the agent takes them, and what is wrong with some of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Labels {
    /// `key=value`, joined by commas.
    pub(crate) joined: String,
    /// Labels without `=`, which agents other than Backplane's may accept.
    pub(crate) without_value: Vec<String>,
    /// Labels that are not among the joined ones, each with the variable that their value lacks.
    pub(crate) left_out: Vec<(String, String)>,
}

/// The variable that holds further labels of a process type: `BACKPLANE_LABELS_MY_WEB` for
/// `my-web`.
pub(crate) fn variable_of_type(process_type: &str) -> String {
    format!(
        "BACKPLANE_LABELS_{}",
        process_type.to_ascii_uppercase().replace('-', "_")
    )
}

/// Joins the labels of these sources, each a list separated by commas. `None` if no source has any.
/// `{NAME}` in the value of a label becomes what `value` returns for that variable. On Heroku the
/// labels are marked with `heroku=true`.
///
/// # Errors
///
/// Why they cannot be passed to an agent.
pub(crate) fn join<'a>(
    sources: &[Option<&OsStr>],
    on_heroku: bool,
    value: &dyn Fn(&str) -> Option<&'a str>,
) -> Result<Option<Labels>, Message> {
    let mut labels: Vec<&str> = Vec::new();
    for source in sources.iter().flatten() {
        let list = source.to_str().ok_or_else(|| Message::LabelNotUtf8 {
            label: source.to_string_lossy().into_owned(),
        })?;
        labels.extend(
            list.split(',')
                .map(str::trim)
                .filter(|label| !label.is_empty()),
        );
    }
    if labels.is_empty() {
        return Ok(None);
    }
    for label in &labels {
        let owned = || (*label).to_owned();
        if label.starts_with('-') {
            return Err(Message::LabelStartsWithDash { label: owned() });
        }
        if label.contains(char::is_control) {
            return Err(Message::LabelWithControlCharacter { label: owned() });
        }
    }
    let without_value = labels.iter().filter(|label| !label.contains('='));
    let without_value = without_value.map(|label| (*label).to_owned()).collect();
    let mut expanded = Vec::new();
    let mut left_out = Vec::new();
    for label in labels {
        match expand(label, value) {
            Ok(label) => expanded.push(label),
            Err(variable) => left_out.push((label.to_owned(), variable.to_owned())),
        }
    }
    let mark = "heroku=true".to_owned();
    if on_heroku && !expanded.is_empty() && !expanded.contains(&mark) {
        expanded.push(mark);
    }
    Ok(Some(Labels {
        joined: expanded.join(","),
        without_value,
        left_out,
    }))
}

/// Replaces the placeholders in the value of a label. A brace that begins none stays as it is.
///
/// # Errors
///
/// The first variable that has no value, or one that cannot be part of a label.
fn expand<'l, 'a>(
    label: &'l str,
    value: &dyn Fn(&str) -> Option<&'a str>,
) -> Result<String, &'l str> {
    let Some((key, mut rest)) = label.split_once('=') else {
        return Ok(label.to_owned());
    };
    let mut expanded = format!("{key}=");
    while let Some((before, after)) = rest.split_once('{') {
        expanded.push_str(before);
        rest = after;
        if let Some((name, after)) = after.split_once('}')
            && is_name(name)
        {
            let found = value(name).filter(|value| is_part_of_label(value));
            expanded.push_str(found.ok_or(name)?);
            rest = after;
        } else {
            expanded.push('{');
        }
    }
    Ok(expanded + rest)
}

/// Whether this is the name of a variable as shells know them.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_part)
        && text
            .bytes()
            .next()
            .is_some_and(|first| !first.is_ascii_digit())
}

fn is_part_of_label(value: &str) -> bool {
    let is_odd = |character: char| character == ',' || character.is_control();
    !value.trim().is_empty() && !value.contains(is_odd)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use harness::documented;

    use super::*;

    #[test]
    fn labels_are_joined_in_order() {
        for (sources, on_heroku, expected) in [
            (&["a=b"][..], false, Some("a=b")),
            (&["a=b", "c=d"], false, Some("a=b,c=d")),
            (&["a=b", "c=d"], true, Some("a=b,c=d,heroku=true")),
            (&[" a=b , c=d,, ", "e=f\n"], false, Some("a=b,c=d,e=f")),
            (&["a=b c"], false, Some("a=b c")),
            (&["heroku=true", "a=b"], true, Some("heroku=true,a=b")),
            (&["heroku=false"], true, Some("heroku=false,heroku=true")),
            (&[], false, None),
            (&[" ,", ""], true, None),
        ] {
            let sources: Vec<_> = sources
                .iter()
                .map(|source| Some(OsStr::new(*source)))
                .collect();
            let joined = join(&sources, on_heroku, &|_| None)
                .unwrap()
                .map(|labels| labels.joined);
            assert_eq!(joined.as_deref(), expected, "{sources:?}");
        }
        assert_eq!(join(&[None, None], true, &|_| None), Ok(None));
    }

    #[test]
    fn labels_that_an_agent_could_misread_are_refused() {
        let dash = |label| Message::LabelStartsWithDash { label };
        let control = |label| Message::LabelWithControlCharacter { label };
        let not_utf8 = |label| Message::LabelNotUtf8 { label };
        for (source, label, error) in [
            (&b"a=b,-x"[..], "-x", dash as fn(String) -> Message),
            (b"--token=x", "--token=x", dash),
            (b"a=b\nc", "a=b\nc", control),
            (b"a=\x1b[2J", "a=\u{1b}[2J", control),
            ("a=\u{9b}x".as_bytes(), "a=\u{9b}x", control),
            (b"a=\xff", "a=\u{fffd}", not_utf8),
        ] {
            let found = join(&[Some(OsStr::from_bytes(source))], false, &|_| None);
            assert_eq!(found, Err(error(label.to_owned())));
        }
    }

    #[test]
    fn example_of_the_document_becomes_a_label() {
        let example = documented("docs/processes.md", "BACKPLANE_LABELS=");
        let (_, labels) = example.trim_end().split_once('=').unwrap();
        let value = |name: &str| (name == "HEROKU_RELEASE_VERSION").then_some("v7");
        let labels = join(&[Some(OsStr::new(labels))], false, &value);
        assert_eq!(labels.unwrap().unwrap().joined, "app=shop,release=v7");
    }

    #[test]
    fn placeholders_become_the_values_of_variables() {
        let value = |name: &str| match name {
            "POD" => Some("shop-1"),
            "V_2" => Some("{POD} \u{fc}"),
            "LIST" => Some("a,b"),
            "LINES" => Some("a\nb"),
            "BLANK" => Some(" "),
            _ => None,
        };
        let unusable = [("a={LIST}", "LIST"), ("b={BLANK}", "BLANK")];
        for (label, expected, left_out) in [
            ("pod={POD}", "pod=shop-1", &[][..]),
            ("a=x{POD}y{POD}", "a=xshop-1yshop-1", &[]),
            ("a={V_2}", "a={POD} \u{fc}", &[]),
            ("a={}", "a={}", &[]),
            ("a={2X},b={ POD},c={POD", "a={2X},b={ POD},c={POD", &[]),
            ("a={{POD}}", "a={shop-1}", &[]),
            ("{POD}=a,{POD}", "{POD}=a,{POD}", &[]),
            ("a={NONE},b=c", "b=c", &[("a={NONE}", "NONE")]),
            ("a={POD}-{NONE}", "", &[("a={POD}-{NONE}", "NONE")]),
            ("a={LINES}-{LIST}", "", &[("a={LINES}-{LIST}", "LINES")]),
            ("a={LIST},b={BLANK}", "", &unusable),
        ] {
            let labels = join(&[Some(OsStr::new(label))], false, &value)
                .unwrap()
                .unwrap();
            assert_eq!(labels.joined, expected, "{label}");
            let found: Vec<(&str, &str)> = labels
                .left_out
                .iter()
                .map(|(label, variable)| (label.as_str(), variable.as_str()))
                .collect();
            assert_eq!(found, left_out, "{label}");
        }
        let labels = join(&[Some(OsStr::new("a={NONE}"))], true, &value)
            .unwrap()
            .unwrap();
        assert_eq!(labels.joined, "", "a mark alone is no label");
    }
}
