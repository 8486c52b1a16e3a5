//! The agent's labels: the ones that all processes share, the process type's own, and a mark on
//! Heroku.

use std::ffi::OsStr;

use crate::messages::Message;

/// Labels as the agent takes them, and a suspicious part of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Labels {
    /// `key=value`, joined by commas.
    pub(crate) joined: String,
    /// Labels without `=`, which agents other than Backplane's may accept.
    pub(crate) without_value: Vec<String>,
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
/// On Heroku they are marked with `heroku=true`.
///
/// # Errors
///
/// Why they cannot be passed to an agent.
pub(crate) fn join(sources: &[Option<&OsStr>], on_heroku: bool) -> Result<Option<Labels>, Message> {
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
    if on_heroku && !labels.contains(&"heroku=true") {
        labels.push("heroku=true");
    }
    let without_value = labels.iter().filter(|label| !label.contains('='));
    Ok(Some(Labels {
        without_value: without_value.map(|label| (*label).to_owned()).collect(),
        joined: labels.join(","),
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

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
            let joined = join(&sources, on_heroku)
                .unwrap()
                .map(|labels| labels.joined);
            assert_eq!(joined.as_deref(), expected, "{sources:?}");
        }
        assert_eq!(join(&[None, None], true), Ok(None));
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
            let found = join(&[Some(OsStr::from_bytes(source))], false);
            assert_eq!(found, Err(error(label.to_owned())));
        }
    }
}
