//! `backplane-status`: how the agent is, asked of its supervisor.
//!
//! The question is a connection to the supervisor's lock socket, the answer a [`Report`]; nothing is sent to the supervisor, so no
//! client can hold it up.

mod report;

pub(crate) use report::{Condition, Report};

use crate::environment::Environment;
use crate::limits::Limits;
use crate::lock;
use crate::settings::Settings;
use crate::target::Target;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

/// The name by which the launch program is called for this role.
pub(crate) const NAME: &str = "backplane-status";

const HELP: &str = "\
Usage: backplane-status [--json]

Tells how the Backplane agent of this container is. With --json, one JSON object a line for each supervisor.

Exit status: 0 the agent runs, 1 it does not, 2 nothing supervises one here.
";

/// Exit statuses, which scripts and health checks go by.
const RUNNING: u8 = 0;
const NOT_RUNNING: u8 = 1;
const NO_SUPERVISOR: u8 = 2;

/// Plays the role.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let (text, status) = match arguments {
        [] => answer(false),
        [option] if option == "--json" => answer(true),
        [option] if option == "--help" => (HELP.to_owned(), RUNNING),
        _ => (HELP.to_owned(), NO_SUPERVISOR),
    };
    // Whoever closed standard output wants the exit status only.
    let _written = io::stdout().write_all(text.as_bytes());
    ExitCode::from(status)
}

fn answer(json: bool) -> (String, u8) {
    let environment = Environment::of_process();
    let listening = || places_in(&fs::read_to_string("/proc/net/unix").unwrap_or_default());
    let reports: Vec<Report> = places_to_ask(place_of(&environment), listening)
        .iter()
        .filter_map(|place| ask(place, Limits::default().status_answer))
        .collect();
    render(&reports, json)
}

/// The place of the process that these variables are for, if they tell.
fn place_of(environment: &Environment) -> Option<String> {
    let (settings, _) = Settings::read(environment);
    let target = match (settings.proxy_url, settings.port) {
        (Some(url), _) => Target::from_url(&url).ok(),
        (None, Some(port)) => Target::from_port(&port).ok(),
        (None, None) => None,
    };
    target.map(|target| target.place())
}

/// The places of all supervisors in this network namespace, by the table in `/proc/net/unix` (`unix(7)`): names of abstract
/// sockets are shown with `@` for the zero byte.
fn places_in(table: &str) -> Vec<String> {
    let mark = format!("@{}", lock::PREFIX);
    let mut places: Vec<String> = table
        .lines()
        .filter_map(|line| {
            Some(
                line.split_ascii_whitespace()
                    .nth(7)?
                    .strip_prefix(&mark)?
                    .to_owned(),
            )
        })
        .collect();
    places.sort();
    places.dedup();
    places
}

/// This process's own place, else all: containers that share a network namespace have a supervisor each, and a health check
/// means its own.
fn places_to_ask(own: Option<String>, listening: impl FnOnce() -> Vec<String>) -> Vec<String> {
    own.map_or_else(listening, |own| vec![own])
}

/// The report of the supervisor at this place. None where there is no supervisor, but perhaps something else.
fn ask(place: &str, patience: Duration) -> Option<Report> {
    let socket = lock::connect(place).ok()?;
    socket.set_read_timeout(Some(patience)).ok()?;
    let mut text = String::new();
    let ended = socket.take(report::LONGEST).read_to_string(&mut text);
    match ended {
        Ok(_) => Report::from_lines(&text),
        // It is there, but stopped or out of time: an agent that nobody looks after does not count as running.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(Report::unanswered(place)),
        Err(_) => None,
    }
}

fn render(reports: &[Report], json: bool) -> (String, u8) {
    if reports.is_empty() {
        let text = if json {
            String::new()
        } else {
            "Nothing supervises a Backplane agent here. The app's log says why; set BACKPLANE_LOG=debug for more.\n".to_owned()
        };
        return (text, NO_SUPERVISOR);
    }
    let lines = reports.iter().map(|report| {
        if json {
            format!("{}\n", report.to_json())
        } else {
            format!("{report}\n")
        }
    });
    let all_run = reports.iter().all(|report| report.condition.is_running());
    (lines.collect(), if all_run { RUNNING } else { NOT_RUNNING })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_the_kernels_table() {
        let table = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 15 @backplane/localhost:8080
0000000000000000: 00000003 00000000 00000000 0001 03 16 @backplane/localhost:8080
0000000000000000: 00000002 00000000 00010000 0001 01 17 @backplane/app:80
0000000000000000: 00000002 00000000 00010000 0001 01 18 /run/backplane/x
0000000000000000: 00000002 00000000 00010000 0001 01 19 @other
0000000000000000: 00000002 00000000 00010000 0001 01 20
";
        assert_eq!(places_in(table), ["app:80", "localhost:8080"]);
        assert_eq!(places_in(""), [""; 0]);
    }

    #[test]
    fn own_supervisor_is_asked_else_all() {
        let of = |variables: &[(&str, &str)]| place_of(&Environment::of(variables));
        assert_eq!(of(&[("PORT", "80")]).as_deref(), Some("localhost:80"));
        assert_eq!(
            of(&[("PORT", "80"), ("BACKPLANE_PROXY_URL", "http://app")]).as_deref(),
            Some("app:80")
        );
        assert_eq!(of(&[("PORT", "eighty")]), None);
        assert_eq!(of(&[]), None);

        let all = || vec!["a:1".to_owned(), "b:1".to_owned()];
        assert_eq!(places_to_ask(Some("a:1".to_owned()), all), ["a:1"]);
        assert_eq!(places_to_ask(Some("c:1".to_owned()), all), ["c:1"]);
        assert_eq!(places_to_ask(None, all), ["a:1", "b:1"]);
    }

    #[test]
    fn exit_status_tells_whether_all_agents_run() {
        use Condition::{Running, Waiting};
        let report = |condition| Report {
            condition,
            ..Report::unanswered("localhost:1")
        };
        let status = |conditions: &[Condition]| {
            let reports: Vec<Report> = conditions.iter().copied().map(report).collect();
            let (text, status) = render(&reports, true);
            assert_eq!(text.lines().count(), conditions.len());
            status
        };
        assert_eq!(status(&[]), 2);
        assert_eq!(status(&[Running]), 0);
        assert_eq!(status(&[Waiting]), 1);
        assert_eq!(status(&[Running, Waiting]), 1);
        assert!(render(&[], false).0.starts_with("Nothing supervises"));
    }
}
