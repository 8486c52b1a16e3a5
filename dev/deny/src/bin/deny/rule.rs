//! What is to be refused, in words.

use std::path::PathBuf;

use serde_json::{Value, json};

/// Something that is to be refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Call(Call),
    /// Everything below this directory, to readers.
    Unreadable(PathBuf),
}

/// A system call that is to fail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    name: String,
    /// If it is to fail only with this first argument.
    first_argument: Option<u32>,
    error: u32,
}

/// Errors that a system call may be refused with, by errno(3).
const ERRORS: [(&str, u32); 8] = [
    ("EPERM", 1),
    ("EAGAIN", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EINVAL", 22),
    ("EMFILE", 24),
    ("ENOSYS", 38),
    ("EAFNOSUPPORT", 97),
];

impl Rule {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (what, how) = text.split_once('=').ok_or("it has no '='")?;
        if what == "unreadable" {
            return Ok(Self::Unreadable(how.into()));
        }
        let (_, error) = ERRORS
            .iter()
            .find(|(name, _)| *name == how)
            .ok_or_else(|| {
                format!(
                    "{how} is none of {}",
                    ERRORS.map(|(name, _)| name).join(" ")
                )
            })?;
        let (name, first_argument) = match what.split_once('(') {
            None => (what, None),
            Some((name, rest)) => {
                let number = rest.strip_suffix(')').and_then(|rest| rest.parse().ok());
                (name, Some(number.ok_or("no number is in the parentheses")?))
            }
        };
        Ok(Self::Call(Call {
            name: name.to_owned(),
            first_argument,
            error: *error,
        }))
    }
}

impl Call {
    /// The filter as seccompiler wants it.
    pub(crate) fn to_filter(&self) -> Value {
        let mut call = json!({ "syscall": self.name });
        if let Some(argument) = self.first_argument {
            call["args"] = json!([{ "index": 0, "type": "dword", "op": "eq", "val": argument }]);
        }
        json!({
            "refused": {
                "mismatch_action": "allow",
                "match_action": { "errno": self.error },
                "filter": [call],
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let call = |name: &str, first_argument, error| {
            Ok(Rule::Call(Call {
                name: name.to_owned(),
                first_argument,
                error,
            }))
        };
        for (text, expected) in [
            ("clone3=ENOSYS", call("clone3", None, 38)),
            ("socket(16)=EPERM", call("socket", Some(16), 1)),
            ("unreadable=/proc", Ok(Rule::Unreadable("/proc".into()))),
        ] {
            assert_eq!(Rule::parse(text), expected);
        }
        for text in [
            "clone3",
            "clone3=",
            "clone3=NO",
            "socket(=EPERM",
            "socket(x)=EPERM",
        ] {
            assert!(Rule::parse(text).is_err(), "{text}");
        }
    }
}
