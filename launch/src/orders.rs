//! What exec.d tells the supervisor, as its arguments: they can be read in `ps`, so nothing secret is among them.

use crate::log::Verbosity;
use crate::settings::Drain;
use crate::target::Target;
use rustix::process::Pid;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroI32;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// What the supervisor has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Orders {
    /// This very program, to start the agent through.
    pub(crate) program: PathBuf,
    pub(crate) agent: PathBuf,
    pub(crate) labels: String,
    pub(crate) target: Target,
    pub(crate) process_type: String,
    /// Whether this is a type of process whose user waits for the agent.
    pub(crate) is_expected: bool,
    pub(crate) wait_for_app: bool,
    pub(crate) drain: Drain,
    pub(crate) verbosity: Verbosity,
    pub(crate) app: AppReference,
    /// What standard input is.
    pub(crate) lock: Lock,
}

/// The part of a supervisor among those of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Standard input is the lock.
    Held,
    /// Another supervisor has it, and this one stands by. Standard input is its mark.
    StandBy,
    /// The kernel refuses to make one.
    Refused,
}

/// How the supervisor knows the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppReference {
    /// Standard output is its pidfd.
    Pidfd { pid: NonZeroI32 },
    /// The kernel gives no pidfd: its pid, and when it was started, in clock ticks since boot, where `/proc` tells.
    Pid {
        pid: NonZeroI32,
        started: Option<u64>,
    },
}

impl AppReference {
    pub(crate) fn pid(self) -> Option<Pid> {
        let (Self::Pidfd { pid } | Self::Pid { pid, .. }) = self;
        Pid::from_raw(pid.get())
    }
}

/// An argument that the supervisor does not understand. Only a mix of two versions of this program can be the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrdersError {
    pub(crate) name: &'static str,
}

impl Orders {
    /// The arguments, each `name=value`.
    pub(crate) fn to_arguments(&self) -> Vec<OsString> {
        let target = match &self.target {
            Target::Port(port) => port.to_string(),
            url @ Target::Url(_) => url.url(crate::target::Loopback::V4),
        };
        let app = match self.app {
            AppReference::Pidfd { pid } => format!("pidfd@{pid}"),
            AppReference::Pid { pid, started: None } => pid.to_string(),
            AppReference::Pid {
                pid,
                started: Some(started),
            } => format!("{pid}@{started}"),
        };
        [
            ("program", self.program.as_os_str()),
            ("agent", self.agent.as_os_str()),
            ("labels", OsStr::new(&self.labels)),
            ("target", OsStr::new(&target)),
            ("process-type", OsStr::new(&self.process_type)),
            (
                "expected",
                OsStr::new(word_of(&YES_OR_NO, self.is_expected)),
            ),
            (
                "wait-for-app",
                OsStr::new(word_of(&YES_OR_NO, self.wait_for_app)),
            ),
            ("drain", OsStr::new(word_of(&DRAINS, self.drain))),
            ("log", OsStr::new(word_of(&VERBOSITIES, self.verbosity))),
            ("app", OsStr::new(&app)),
            ("lock", OsStr::new(word_of(&LOCKS, self.lock))),
        ]
        .into_iter()
        .map(|(name, value)| {
            let mut argument = OsString::from(name);
            argument.push("=");
            argument.push(value);
            argument
        })
        .collect()
    }

    /// Reads the arguments that [`Orders::to_arguments`] wrote.
    pub(crate) fn from_arguments(arguments: &[OsString]) -> Result<Self, OrdersError> {
        let value = |name: &'static str| {
            arguments
                .iter()
                .find_map(|argument| {
                    argument
                        .as_bytes()
                        .strip_prefix(name.as_bytes())?
                        .strip_prefix(b"=")
                })
                .map(OsStr::from_bytes)
                .ok_or(OrdersError { name })
        };
        let text = |name| value(name)?.to_str().ok_or(OrdersError { name });
        Ok(Self {
            program: PathBuf::from(value("program")?),
            agent: PathBuf::from(value("agent")?),
            labels: text("labels")?.to_owned(),
            target: Target::from_port(value("target")?).or_else(|_| {
                Target::from_url(value("target")?).map_err(|_| OrdersError { name: "target" })
            })?,
            process_type: text("process-type")?.to_owned(),
            is_expected: choice(&YES_OR_NO, "expected", text("expected")?)?,
            wait_for_app: choice(&YES_OR_NO, "wait-for-app", text("wait-for-app")?)?,
            drain: choice(&DRAINS, "drain", text("drain")?)?,
            verbosity: choice(&VERBOSITIES, "log", text("log")?)?,
            app: app_reference(text("app")?).ok_or(OrdersError { name: "app" })?,
            lock: choice(&LOCKS, "lock", text("lock")?)?,
        })
    }
}

const YES_OR_NO: [(&str, bool); 2] = [("yes", true), ("no", false)];

const LOCKS: [(&str, Lock); 3] = [
    ("held", Lock::Held),
    ("stand-by", Lock::StandBy),
    ("refused", Lock::Refused),
];

const DRAINS: [(&str, Drain); 2] = [("keep", Drain::Keep), ("stop", Drain::Stop)];

const VERBOSITIES: [(&str, Verbosity); 3] = [
    ("quiet", Verbosity::Quiet),
    ("info", Verbosity::Info),
    ("debug", Verbosity::Debug),
];

fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words
        .iter()
        .find(|(_, other)| *other == value)
        .map(|(word, _)| *word)
        .expect("each value has its word in the table")
}

fn choice<T: Copy>(words: &[(&str, T)], name: &'static str, word: &str) -> Result<T, OrdersError> {
    words
        .iter()
        .find(|(other, _)| *other == word)
        .map(|(_, value)| *value)
        .ok_or(OrdersError { name })
}

fn app_reference(text: &str) -> Option<AppReference> {
    if let Some(pid) = text.strip_prefix("pidfd@") {
        let pid = pid.parse().ok()?;
        return Some(AppReference::Pidfd { pid });
    }
    let (pid, started) = match text.split_once('@') {
        Some((pid, started)) => (pid, Some(started.parse().ok()?)),
        None => (text, None),
    };
    let pid = pid.parse().ok()?;
    Some(AppReference::Pid { pid, started })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn orders() -> Orders {
        Orders {
            program: PathBuf::from("/layers/agent/exec.d/launch"),
            agent: PathBuf::from(OsString::from_vec(b"/odd\xff/=/backplane".to_vec())),
            labels: "a=b,c=d".to_owned(),
            target: Target::from_port(OsStr::new("8080")).unwrap(),
            process_type: "web".to_owned(),
            is_expected: true,
            wait_for_app: true,
            drain: Drain::Keep,
            verbosity: Verbosity::Info,
            app: AppReference::Pidfd {
                pid: NonZeroI32::new(4711).unwrap(),
            },
            lock: Lock::Held,
        }
    }

    #[test]
    fn arguments_are_read_back_as_they_were_meant() {
        let pid = NonZeroI32::new(4711).unwrap();
        let url = |url: &str| Target::from_url(OsStr::new(url)).unwrap();
        for orders in [
            orders(),
            Orders {
                target: url("http://[::1]:3000/a=b?c#d"),
                ..orders()
            },
            Orders {
                process_type: "an odd=type".to_owned(),
                is_expected: false,
                wait_for_app: false,
                drain: Drain::Stop,
                verbosity: Verbosity::Debug,
                app: AppReference::Pid { pid, started: None },
                lock: Lock::Refused,
                ..orders()
            },
            Orders {
                verbosity: Verbosity::Quiet,
                lock: Lock::StandBy,
                app: AppReference::Pid {
                    pid,
                    started: Some(123_456),
                },
                ..orders()
            },
        ] {
            assert_eq!(Orders::from_arguments(&orders.to_arguments()), Ok(orders));
        }
    }

    #[test]
    fn missing_or_malformed_argument_is_named() {
        let complete = orders().to_arguments();
        for missing in 0..complete.len() {
            let mut arguments = complete.clone();
            let argument = arguments.remove(missing).into_vec();
            let name = Orders::from_arguments(&arguments).unwrap_err().name;
            assert!(argument.starts_with(name.as_bytes()), "{name}");
        }
        for malformed in [
            "target=x",
            "expected=",
            "wait-for-app=maybe",
            "drain=",
            "log=loud",
            "app=0",
            "app=1@x",
            "app=pidfd",
            "app=pidfd@0",
            "lock=",
            "labels=\u{0}",
        ] {
            let name = malformed.split_once('=').unwrap().0;
            let mut arguments = vec![OsString::from(malformed)];
            if name == "labels" {
                arguments = vec![OsString::from_vec(b"labels=\xff".to_vec())];
            }
            arguments.extend(complete.clone());
            assert_eq!(
                Orders::from_arguments(&arguments),
                Err(OrdersError { name })
            );
        }
    }
}
