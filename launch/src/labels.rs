//! The agent's labels: the ones that all processes share, the process type's own, and a mark on
//! Heroku.

use std::ffi::OsStr;

/// Labels as the agent takes them, and what is odd about them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Labels {
    /// `key=value`, joined by commas.
    pub(crate) joined: String,
    /// Labels without `=`, which may be what an agent other than Backplane's wants.
    pub(crate) without_value: Vec<String>,
}

/// Why labels cannot be handed to an agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum LabelsError {
    /// It would be taken for an option by the agent.
    StartsWithDash(String),
    ControlCharacter(String),
    NotUtf8(String),
}

/// The variable that holds further labels of a process type: `BACKPLANE_LABELS_MY_WEB` for
/// `my-web`.
pub(crate) fn variable_of_type(process_type: &str) -> String {
    format!(
        "BACKPLANE_LABELS_{}",
        process_type.to_ascii_uppercase().replace('-', "_")
    )
}

/// Joins the labels of these sources, each a list separated by commas; none where no source has
/// any. On Heroku they are marked with `heroku=true`.
pub(crate) fn join(
    sources: &[Option<&OsStr>],
    on_heroku: bool,
) -> Result<Option<Labels>, LabelsError> {
    let mut labels: Vec<&str> = Vec::new();
    for source in sources.iter().flatten() {
        let list = source
            .to_str()
            .ok_or_else(|| LabelsError::NotUtf8(source.to_string_lossy().into_owned()))?;
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
        if label.starts_with('-') {
            return Err(LabelsError::StartsWithDash((*label).to_owned()));
        }
        if label.contains(char::is_control) {
            return Err(LabelsError::ControlCharacter((*label).to_owned()));
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

    fn joined(sources: &[&str], on_heroku: bool) -> Option<String> {
        let sources: Vec<Option<&OsStr>> = sources
            .iter()
            .map(|source| Some(OsStr::new(*source)))
            .collect();
        join(&sources, on_heroku)
            .unwrap()
            .map(|labels| labels.joined)
    }

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
            assert_eq!(
                joined(sources, on_heroku).as_deref(),
                expected,
                "{sources:?}"
            );
        }
        assert_eq!(join(&[None, None], true), Ok(None));
    }

    #[test]
    fn labels_that_an_agent_could_misread_are_refused() {
        for (source, expected) in [
            ("a=b,-x", LabelsError::StartsWithDash("-x".to_owned())),
            (
                "--token=x",
                LabelsError::StartsWithDash("--token=x".to_owned()),
            ),
            ("a=b\nc", LabelsError::ControlCharacter("a=b\nc".to_owned())),
            (
                "a=\u{1b}[2J",
                LabelsError::ControlCharacter("a=\u{1b}[2J".to_owned()),
            ),
            (
                "a=\u{9b}x",
                LabelsError::ControlCharacter("a=\u{9b}x".to_owned()),
            ),
        ] {
            assert_eq!(join(&[Some(OsStr::new(source))], false), Err(expected));
        }
        let not_utf8 = Some(OsStr::from_bytes(b"a=\xff"));
        assert_eq!(
            join(&[not_utf8], false),
            Err(LabelsError::NotUtf8("a=\u{fffd}".to_owned()))
        );
    }

    #[test]
    fn labels_without_a_value_are_kept_and_named() {
        let labels = join(&[Some(OsStr::new("web,a=b,blue"))], false)
            .unwrap()
            .unwrap();
        assert_eq!(labels.joined, "web,a=b,blue");
        assert_eq!(labels.without_value, ["web", "blue"]);
    }

    #[test]
    fn variable_of_type_is_upper_case_with_underscores() {
        for (process_type, expected) in [
            ("web", "BACKPLANE_LABELS_WEB"),
            ("my-web-2", "BACKPLANE_LABELS_MY_WEB_2"),
        ] {
            assert_eq!(variable_of_type(process_type), expected);
        }
    }
}
