//! The configuration of a supervisor, which the exec.d program passes as arguments: they can be
//! read in `ps`, so nothing secret is among them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::app::AppId;
use crate::interface::{Arg, Drain};
use crate::log::Verbosity;
use crate::upstream::Upstream;

/// The configuration of a supervisor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SupervisorConfig {
    /// This program, through which the agent is started.
    pub(crate) program: PathBuf,
    pub(crate) agent: PathBuf,
    pub(crate) args: Vec<Arg>,
    /// Variables of the agent whose values are read from files at each start.
    pub(crate) value_files: Vec<(OsString, PathBuf)>,
    pub(crate) upstream: Upstream,
    /// The name of the agent in the log.
    pub(crate) title: String,
    /// Whether the user most likely expects an agent for this process.
    pub(crate) is_expected: bool,
    /// Whether the agent starts only when the app listens, which can be seen on this host only.
    pub(crate) wait_for_app: bool,
    /// The path of the app that has to be answered before the agent starts.
    pub(crate) ready_path: Option<String>,
    /// Where to ask the agent for its health.
    pub(crate) health_url: Option<Upstream>,
    pub(crate) drain: Drain,
    /// How long the agent may take to exit after SIGTERM.
    pub(crate) stop_timeout: Duration,
    /// Whether the agent is started so that SIGTERM does not end it.
    pub(crate) outlives_sigterm: bool,
    /// The most memory that the agent may occupy, in bytes.
    pub(crate) memory_limit: Option<u64>,
    pub(crate) verbosity: Verbosity,
    pub(crate) app: AppId,
    /// What standard input is.
    pub(crate) lock: Lock,
    /// Further fields of the status report.
    pub(crate) info: Vec<(String, Option<String>)>,
}

/// The part of a supervisor among those with the same upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lock {
    /// Standard input is the lock.
    Held,
    /// Another supervisor holds it, and this one stands by. Standard input is its mark.
    StandBy,
    /// The kernel refuses to make one.
    Unavailable,
}

/// An argument that the supervisor does not understand. Only a mix of two versions of this program
/// can be the cause.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ConfigError {
    pub(crate) name: &'static str,
}

const AGENT_ARG: &str = "agent-arg";
/// The agent's argument that is the URL of the app.
const AGENT_URL: &str = "agent-url";
/// A variable of the agent and the file of its value.
const VALUE_FILE: &str = "value-file";
const READY_PATH: &str = "ready-path";
const HEALTH_URL: &str = "health-url";
const MEMORY_LIMIT: &str = "memory-limit";
const INFO: &str = "info";
/// A field of the status report without a value.
const INFO_NULL: &str = "info-null";

impl SupervisorConfig {
    /// The arguments, each `name=value`.
    pub(crate) fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let mut push = |name: &str, value: &OsStr| {
            let mut argument = OsString::from(name);
            argument.push("=");
            argument.push(value);
            arguments.push(argument);
        };
        push("program", self.program.as_ref());
        push("agent", self.agent.as_ref());
        push("upstream", self.upstream.to_setting().as_ref());
        push("title", self.title.as_ref());
        push("expected", keyword(&YES_OR_NO, self.is_expected).as_ref());
        push(
            "wait-for-app",
            keyword(&YES_OR_NO, self.wait_for_app).as_ref(),
        );
        push("drain", keyword(&DRAINS, self.drain).as_ref());
        let stop_timeout = self.stop_timeout.as_millis().to_string();
        push("stop-timeout", stop_timeout.as_ref());
        let outlives_sigterm = keyword(&YES_OR_NO, self.outlives_sigterm);
        push("outlives-sigterm", outlives_sigterm.as_ref());
        push("log", keyword(&VERBOSITIES, self.verbosity).as_ref());
        push("app", self.app.to_string().as_ref());
        push("lock", keyword(&LOCKS, self.lock).as_ref());
        for arg in &self.args {
            match arg {
                Arg::Text(text) => push(AGENT_ARG, text),
                Arg::AppUrl => push(AGENT_URL, "".as_ref()),
            }
        }
        for (name, path) in &self.value_files {
            let mut value = name.clone();
            value.push("=");
            value.push(path);
            push(VALUE_FILE, &value);
        }
        if let Some(path) = &self.ready_path {
            push(READY_PATH, path.as_ref());
        }
        if let Some(bytes) = self.memory_limit {
            push(MEMORY_LIMIT, bytes.to_string().as_ref());
        }
        if let Some(url) = &self.health_url {
            push(HEALTH_URL, url.to_setting().as_ref());
        }
        for (name, value) in &self.info {
            match value {
                Some(value) => push(INFO, format!("{name}={value}").as_ref()),
                None => push(INFO_NULL, name.as_ref()),
            }
        }
        arguments
    }

    /// Reads the arguments that [`SupervisorConfig::to_arguments`] wrote.
    pub(crate) fn from_arguments(arguments: &[OsString]) -> Result<Self, ConfigError> {
        let pairs: Vec<(&str, &OsStr)> = arguments
            .iter()
            .filter_map(|argument| {
                let (name, value) = split(argument)?;
                Some((name.to_str()?, value))
            })
            .collect();
        let value = |name: &'static str| {
            pairs
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| *value)
                .ok_or(ConfigError { name })
        };
        let text = |name| value(name)?.to_str().ok_or(ConfigError { name });
        let args = pairs.iter().filter_map(|(name, value)| match *name {
            AGENT_ARG => Some(Arg::Text((*value).to_owned())),
            AGENT_URL => Some(Arg::AppUrl),
            _ => None,
        });
        let value_files = pairs.iter().filter_map(|(name, value)| {
            let (variable, path) = split(value).filter(|_| *name == VALUE_FILE)?;
            Some((variable.to_owned(), PathBuf::from(path)))
        });
        let info = pairs.iter().filter_map(|(name, value)| match *name {
            INFO => {
                let (name, value) = value.to_str()?.split_once('=')?;
                Some((name.to_owned(), Some(value.to_owned())))
            }
            INFO_NULL => Some((value.to_str()?.to_owned(), None)),
            _ => None,
        });
        Ok(Self {
            program: PathBuf::from(value("program")?),
            agent: PathBuf::from(value("agent")?),
            args: args.collect(),
            value_files: value_files.collect(),
            upstream: Upstream::from_setting(value("upstream")?)
                .ok_or(ConfigError { name: "upstream" })?,
            title: text("title")?.to_owned(),
            is_expected: choice(&YES_OR_NO, "expected", text("expected")?)?,
            wait_for_app: choice(&YES_OR_NO, "wait-for-app", text("wait-for-app")?)?,
            ready_path: text(READY_PATH).ok().map(str::to_owned),
            health_url: value(HEALTH_URL).ok().and_then(Upstream::from_setting),
            drain: choice(&DRAINS, "drain", text("drain")?)?,
            stop_timeout: text("stop-timeout")?
                .parse()
                .map(Duration::from_millis)
                .map_err(|_| ConfigError {
                    name: "stop-timeout",
                })?,
            outlives_sigterm: choice(&YES_OR_NO, "outlives-sigterm", text("outlives-sigterm")?)?,
            memory_limit: text(MEMORY_LIMIT).ok().and_then(|bytes| bytes.parse().ok()),
            verbosity: choice(&VERBOSITIES, "log", text("log")?)?,
            app: AppId::parse(text("app")?).ok_or(ConfigError { name: "app" })?,
            lock: choice(&LOCKS, "lock", text("lock")?)?,
            info: info.collect(),
        })
    }
}

/// The text before and after the first `=`.
fn split(argument: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = argument.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    Some((OsStr::from_bytes(name), OsStr::from_bytes(value)))
}

const YES_OR_NO: [(&str, bool); 2] = [("yes", true), ("no", false)];

const LOCKS: [(&str, Lock); 3] = [
    ("held", Lock::Held),
    ("stand-by", Lock::StandBy),
    ("unavailable", Lock::Unavailable),
];

const DRAINS: [(&str, Drain); 2] = [("keep", Drain::Keep), ("stop", Drain::Stop)];

const VERBOSITIES: [(&str, Verbosity); 3] = [
    ("quiet", Verbosity::Quiet),
    ("info", Verbosity::Info),
    ("debug", Verbosity::Debug),
];

fn keyword<T: Copy + PartialEq>(keywords: &[(&'static str, T)], value: T) -> &'static str {
    keywords
        .iter()
        .find(|(_, other)| *other == value)
        .map(|(keyword, _)| *keyword)
        .expect("each value has its keyword in the table")
}

fn choice<T: Copy>(
    keywords: &[(&str, T)],
    name: &'static str,
    keyword: &str,
) -> Result<T, ConfigError> {
    keywords
        .iter()
        .find(|(other, _)| *other == keyword)
        .map(|(_, value)| *value)
        .ok_or(ConfigError { name })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use rustix::process::Pid;

    use super::*;

    pub(crate) fn config() -> SupervisorConfig {
        SupervisorConfig {
            program: PathBuf::from("/layers/agent/exec.d/launch"),
            agent: PathBuf::from(OsString::from_vec(b"/odd\xff/=/agent".to_vec())),
            args: vec![
                Arg::Text("connect".into()),
                Arg::Text(OsString::from_vec(b"a=\xff".to_vec())),
                Arg::AppUrl,
                Arg::Text(OsString::new()),
            ],
            value_files: vec![("TOKEN".into(), "/run/secrets/a=b".into())],
            upstream: Upstream::from_port(OsStr::new("8080")).unwrap(),
            title: "app=shop".to_owned(),
            is_expected: true,
            wait_for_app: true,
            ready_path: Some("/ready?a=b".to_owned()),
            health_url: Upstream::from_url(OsStr::new("http://127.0.0.1:7400/healthz")).ok(),
            drain: Drain::Keep,
            stop_timeout: Duration::from_secs(5),
            outlives_sigterm: true,
            memory_limit: Some(1 << 30),
            verbosity: Verbosity::Info,
            app: AppId {
                pid: Pid::INIT,
                start_time: None,
            },
            lock: Lock::Held,
            info: vec![
                ("process_type".to_owned(), Some("an odd=type".to_owned())),
                ("checksum".to_owned(), None),
            ],
        }
    }

    #[test]
    fn arguments_are_read_back() {
        let url = |url: &str| Upstream::from_url(OsStr::new(url)).unwrap();
        for config in [
            config(),
            SupervisorConfig {
                upstream: url("http://[::1]:3000/a=b?c#d"),
                is_expected: false,
                wait_for_app: false,
                drain: Drain::Stop,
                verbosity: Verbosity::Debug,
                lock: Lock::Unavailable,
                args: Vec::new(),
                value_files: Vec::new(),
                ready_path: None,
                health_url: None,
                outlives_sigterm: false,
                memory_limit: None,
                info: Vec::new(),
                ..config()
            },
            SupervisorConfig {
                verbosity: Verbosity::Quiet,
                lock: Lock::StandBy,
                app: AppId {
                    pid: Pid::INIT,
                    start_time: Some(123_456),
                },
                ..config()
            },
        ] {
            let arguments = config.to_arguments();
            assert_eq!(SupervisorConfig::from_arguments(&arguments), Ok(config));
        }
    }

    #[test]
    fn missing_or_malformed_argument_is_named() {
        let complete = SupervisorConfig {
            args: Vec::new(),
            value_files: Vec::new(),
            ready_path: None,
            health_url: None,
            memory_limit: None,
            info: Vec::new(),
            ..config()
        }
        .to_arguments();
        for missing in 0..complete.len() {
            let mut arguments = complete.clone();
            let argument = arguments.remove(missing).into_vec();
            let error = SupervisorConfig::from_arguments(&arguments).unwrap_err();
            assert!(argument.starts_with(error.name.as_bytes()), "{error:?}");
        }
        for malformed in [
            &b"upstream=x"[..],
            b"expected=",
            b"wait-for-app=maybe",
            b"drain=",
            b"stop-timeout=-1",
            b"outlives-sigterm=",
            b"log=loud",
            b"app=0",
            b"app=1@x",
            b"app=1",
            b"app=pidfd",
            b"app=pidfd@0",
            b"lock=",
            b"title=\xff",
        ] {
            let malformed = OsString::from_vec(malformed.to_vec());
            let text = malformed.to_string_lossy().into_owned();
            let mut arguments = vec![malformed];
            arguments.extend(complete.clone());
            let error = SupervisorConfig::from_arguments(&arguments).unwrap_err();
            assert_eq!(Some(error.name), text.split('=').next(), "{text}");
        }
    }
}
