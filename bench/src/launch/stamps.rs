//! What the processes of a launch write: stamps, and words between them.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use backplane_bench_probe::{Stamp, Who};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The reader of a launch's output.
#[derive(Debug)]
pub(super) struct Stamps {
    output: PipeReader,
    /// The start of a line whose end is yet to come.
    line: Vec<u8>,
    /// Stamps that nobody has asked for yet.
    unread: VecDeque<Stamp>,
    /// All lines that are no stamps, for errors.
    words: String,
}

impl Stamps {
    pub(super) fn of(output: PipeReader) -> Self {
        Self {
            output,
            line: Vec::new(),
            unread: VecDeque::new(),
            words: String::new(),
        }
    }

    /// Waits for the next stamp of the app, or of an agent.
    pub(super) fn next(&mut self, who: Who, limit: Duration) -> io::Result<Stamp> {
        let deadline = Instant::now() + limit;
        loop {
            let found = self.unread.iter().position(|stamp| stamp.who == who);
            if let Some(stamp) = found.and_then(|at| self.unread.remove(at)) {
                return Ok(stamp);
            }
            if !wait_for_input(&self.output, deadline)? || !self.read()? {
                let (who, words) = (format!("{who:?}").to_lowercase(), self.words.trim_end());
                let message = format!("the {who} did not start; what was written is:\n{words}");
                return Err(io::Error::other(message));
            }
        }
    }

    /// Whether there was something to read.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let length = self.output.read(&mut buffer)?;
        for byte in &buffer[..length] {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.line.clear();
            match line.parse() {
                Ok(stamp) => self.unread.push_back(stamp),
                Err(_) => self.words += &(line + "\n"),
            }
        }
        Ok(length > 0)
    }
}

/// Whether there is something to read before the deadline; for a pidfd, whether its process has ended.
pub(super) fn wait_for_input(source: &impl AsFd, deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&left))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn stamps_are_told_apart_in_their_order() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut stamps = Stamps::of(reader);
        writer
            .write_all(b"words\nstamp agent 1 9 5\nstamp agent 2 9 7\nstamp app 3 0 6\nstamp ag")
            .unwrap();
        assert_eq!(stamps.next(Who::App, LIMIT).unwrap().pid, 3);
        assert_eq!(stamps.next(Who::Agent, LIMIT).unwrap().pid, 1);
        assert_eq!(stamps.next(Who::Agent, LIMIT).unwrap().pid, 2);
        writer.write_all(b"ent 4 9 8\n").unwrap();
        assert_eq!(stamps.next(Who::Agent, LIMIT).unwrap().pid, 4);
    }

    #[test]
    fn stamp_that_does_not_come_is_an_error_with_the_words() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut stamps = Stamps::of(reader);
        writer.write_all(b"why\nstamp app 3 0 6\n").unwrap();
        let expected = "the agent did not start; what was written is:\nwhy";
        let late = stamps
            .next(Who::Agent, Duration::ZERO)
            .and_then(|_| stamps.next(Who::Agent, Duration::ZERO));
        assert_eq!(late.unwrap_err().to_string(), expected);
        drop(writer);
        let before = Instant::now();
        assert_eq!(
            stamps.next(Who::Agent, LIMIT).unwrap_err().to_string(),
            expected
        );
        assert!(before.elapsed() < LIMIT, "it waits for nobody");
        assert_eq!(stamps.next(Who::App, LIMIT).unwrap().pid, 3);
    }
}
