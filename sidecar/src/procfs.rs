//! What `/proc` shows of a process (`proc_pid_stat(5)`, `proc_pid_status(5)`, `proc_pid_comm(5)`).

use std::fs;
use std::io;

use rustix::process::Pid;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stat {
    /// Of its main thread.
    state: char,
    /// Zero for a process whose parent is outside its PID namespace.
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) threads: u32,
    /// In clock ticks since boot.
    pub(crate) start_time: u64,
    /// The resident set, in pages.
    pub(crate) resident_pages: u64,
}

impl Stat {
    pub(crate) fn of(pid: Pid) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&String::from_utf8_lossy(&stat))
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Fields 3, 4, 5, 20, 22 and 24. The second one is the program's name in parentheses, which may
    /// itself hold spaces and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        Some(Self {
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            threads: fields.nth(14)?.parse().ok()?,
            start_time: fields.nth(1)?.parse().ok()?,
            resident_pages: fields.nth(1)?.parse().ok()?,
        })
    }

    /// Whether its main thread sleeps and can be woken by a signal.
    pub(crate) fn is_asleep(self) -> bool {
        self.state == 'S'
    }

    /// Whether the process has ended and only waits to be reaped.
    ///
    /// A main thread that has ended before others is a zombie too, and the process goes on: so it
    /// is for a moment while the launcher, a program of many threads, becomes the app. Any number
    /// of threads but one is a process on its way from one state to another.
    pub(crate) fn is_zombie(self) -> bool {
        self.state == 'Z' && self.threads == 1
    }
}

/// The name of the program that a process runs, also of one that has exited and is not reaped yet.
pub(crate) fn program_name(pid: Pid) -> Option<Vec<u8>> {
    let mut name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    name.pop_if(|byte| *byte == b'\n');
    Some(name)
}

/// How often the main thread has gone to sleep.
pub(crate) fn voluntary_switches(pid: Pid) -> Option<u64> {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_parsed_with_any_program_name() {
        let tail = "S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 3 21 987654 23 1234 25";
        let expected = Stat {
            state: 'S',
            parent: 4,
            group: 5,
            threads: 3,
            start_time: 987_654,
            resident_pages: 1_234,
        };
        for name in ["cat", "a b", "x) S 1 (y", ""] {
            let stat = format!("4711 ({name}) {tail}");
            assert_eq!(Stat::parse(&stat), Some(expected), "{stat}");
        }
        assert_eq!(Stat::parse("4711 (cat) S 1 2"), None);
        assert_eq!(Stat::parse("nonsense"), None);
    }

    #[test]
    fn zombie_is_one_only_without_other_threads() {
        for (state, threads, expected) in [
            ('Z', 1, true),
            ('Z', 2, false),
            ('Z', 0, false),
            ('S', 1, false),
            // Gone at the next read.
            ('X', 0, false),
        ] {
            let stat = Stat {
                state,
                parent: 1,
                group: 1,
                threads,
                start_time: 1,
                resident_pages: 1,
            };
            assert_eq!(stat.is_zombie(), expected, "{stat:?}");
        }
    }
}
