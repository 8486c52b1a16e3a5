//! `backplane-status`: how the agent is, asked of its supervisor.
//!
//! The question is a connection to the supervisor's lock socket, the answer a [`Report`]; nothing is sent to the supervisor, so no
//! client can hold it up.

mod report;

pub(crate) use report::{Condition, Report};

use crate::environment::Environment;
use crate::limits::Limits;
use crate::lock;
use crate::log;
use crate::settings::Settings;
use crate::signals;
use crate::target::Target;
use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use rustix::process::{self, Uid};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

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
    // Standard output may be a file that may not grow: the exit status still counts.
    signals::block(&SigSet::from(Signal::SIGXFSZ));
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
    let places = places_to_ask(place_of(&environment), || {
        // Names of sockets are bytes. One that is not UTF-8 is no supervisor's.
        let table = fs::read("/proc/net/unix").unwrap_or_default();
        places_in(&String::from_utf8_lossy(&table))
    });
    let answers = ask_all(&places, Limits::default().status_answer);
    render(&answers, json)
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

/// What there is at a place.
#[derive(Debug)]
enum Answer {
    /// A supervisor that answers, or at least one that should.
    Report(Report),
    /// A process of this user, which this one does not believe, or which does not answer this one.
    OfUser { place: String, user: Uid },
}

/// Asks one after the other, within one timeout in all. Each has an equal share of the time that is left, so that one that lets
/// this process wait leaves time for the others.
fn ask_all(places: &[String], timeout: Duration) -> Vec<Answer> {
    let end = Instant::now() + timeout;
    let mut left = u32::try_from(places.len()).unwrap_or(u32::MAX);
    let mut answers = Vec::new();
    for place in places {
        let share = end.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        answers.extend(ask(place, share));
    }
    answers
}

/// The answer at this place. `None` if there is no supervisor, but perhaps something else.
fn ask(place: &str, timeout: Duration) -> Option<Answer> {
    let end = Instant::now() + timeout;
    // The kernel takes zero for no timeout at all.
    let timeout = timeout.max(Duration::from_micros(1));
    // It is there, but stopped or out of time: an agent that nobody looks after does not count as running.
    let unanswered = || Some(Answer::Report(Report::unanswered(place)));
    let socket = match lock::connect(place, timeout) {
        Ok(socket) => socket,
        Err(Errno::AGAIN) => return unanswered(),
        Err(_) => return None,
    };
    let user = lock::peer(&socket)?;
    let of_user = || {
        let place = place.to_owned();
        Some(Answer::OfUser { place, user })
    };
    if !lock::is_trusted(user) {
        return of_user();
    }
    let mut socket = UnixStream::from(socket);
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return unanswered();
        }
        socket.set_read_timeout(Some(left)).ok()?;
        match socket.read(&mut buffer) {
            // Root's supervisor tells other users nothing.
            Ok(0) if text.is_empty() && user != process::geteuid() => return of_user(),
            Ok(0) => return Report::from_lines(str::from_utf8(&text).ok()?).map(Answer::Report),
            Ok(count) => text.extend(buffer.get(..count)?),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return unanswered(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if text.len() > report::LONGEST {
            return None;
        }
    }
}

fn render(answers: &[Answer], json: bool) -> (String, u8) {
    let reports = || {
        answers.iter().filter_map(|answer| match answer {
            Answer::Report(report) => Some(report),
            Answer::OfUser { .. } => None,
        })
    };
    let lines = answers.iter().filter_map(|answer| match answer {
        Answer::Report(report) if json => Some(format!("{}\n", report.to_json())),
        Answer::Report(report) => Some(format!("{report}\n")),
        Answer::OfUser { .. } if json => None,
        Answer::OfUser { place, user } => Some(format!(
            "The lock of {} is held by a process of user ID {user}. Run backplane-status as that user.\n",
            log::plain(place)
        )),
    });
    let text: String = lines.collect();
    let status = if reports().count() == 0 {
        NO_SUPERVISOR
    } else if reports().all(|report| report.condition.is_running()) {
        RUNNING
    } else {
        NOT_RUNNING
    };
    if answers.is_empty() && !json {
        return (format!("{NOTHING}\n"), status);
    }
    (text, status)
}

const NOTHING: &str = "Nothing supervises a Backplane agent here. The app's log says why; set BACKPLANE_LOG=debug for more.";

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
        let answer = |condition| {
            Answer::Report(Report {
                condition,
                ..Report::unanswered("localhost:1")
            })
        };
        let status = |conditions: &[Condition]| {
            let answers: Vec<Answer> = conditions.iter().copied().map(answer).collect();
            let (text, status) = render(&answers, true);
            assert_eq!(text.lines().count(), conditions.len());
            status
        };
        assert_eq!(status(&[]), 2);
        assert_eq!(status(&[Running]), 0);
        assert_eq!(status(&[Waiting]), 1);
        assert_eq!(status(&[Running, Waiting]), 1);
        assert!(render(&[], false).0.starts_with("Nothing supervises"));
    }

    #[test]
    fn what_another_user_says_counts_for_nothing() {
        let of_user = || Answer::OfUser {
            place: "a\n\u{1b}[2J:1".to_owned(),
            user: Uid::from_raw(1_000),
        };
        assert_eq!(render(&[of_user()], true), (String::new(), NO_SUPERVISOR));
        let (text, status) = render(&[of_user()], false);
        assert_eq!(status, NO_SUPERVISOR);
        assert!(text.contains("of user ID 1000"), "{text}");
        assert!(text.contains("a\\n\\u{1b}[2J:1 "), "{text}");
        let running = Answer::Report(Report {
            condition: Condition::Running,
            ..Report::unanswered("localhost:1")
        });
        assert_eq!(render(&[of_user(), running], true).1, RUNNING);
    }

    #[test]
    fn place_that_lets_us_wait_leaves_time_for_the_others() {
        use Condition::{Running, Unknown};
        use std::os::unix::net::UnixListener;
        let places: Vec<String> = (0..4)
            .map(|number| format!("test-{}-ask:{number}", process::getpid()))
            .collect();
        // Nobody accepts: the kernel does it, and no answer comes.
        let _locks: Vec<UnixListener> = places[..3]
            .iter()
            .map(|place| UnixListener::from(lock::acquire(place).unwrap()))
            .collect();
        let answering = UnixListener::from(lock::acquire(&places[3]).unwrap());
        let report = Report {
            condition: Running,
            ..Report::unanswered("port 1")
        };
        let server = std::thread::spawn(move || {
            let (mut client, _) = answering.accept().unwrap();
            client.write_all(report.to_lines().as_bytes()).unwrap();
        });
        let started = Instant::now();
        let answers = ask_all(&places, Duration::from_secs(4));
        assert!(started.elapsed() < Duration::from_secs(5));
        server.join().unwrap();
        let conditions: Vec<Condition> = answers
            .iter()
            .map(|answer| match answer {
                Answer::Report(report) => report.condition,
                Answer::OfUser { .. } => panic!("{answer:?}"),
            })
            .collect();
        assert_eq!(conditions, [Unknown, Unknown, Unknown, Running]);
    }
}
