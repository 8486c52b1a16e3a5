//! The output of a launch.

use std::io::{PipeReader, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Both streams of a launch, up to their ends.
///
/// A text on stdout is never seen without the text that was written to stderr before it.
pub(super) struct Output {
    streams: Arc<Mutex<Streams>>,
    reader: JoinHandle<()>,
}

#[derive(Default)]
struct Streams {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    /// Reads both pipes until their last writer is gone.
    pub(super) fn of(mut stdout: PipeReader, mut stderr: PipeReader) -> Self {
        for pipe in [&stdout, &stderr] {
            // Of the reading end only: nothing changes for the writers.
            fcntl_setfl(pipe, fcntl_getfl(pipe).unwrap() | OFlags::NONBLOCK).unwrap();
        }
        let streams = Arc::new(Mutex::new(Streams::default()));
        let sink = Arc::clone(&streams);
        let reader = thread::spawn(move || {
            let (mut stdout_ended, mut stderr_ended) = (false, false);
            while !(stdout_ended && stderr_ended) {
                wait_for_any(&stdout, stdout_ended, &stderr, stderr_ended);
                let mut fresh = Streams::default();
                stdout_ended = read_what_is_there(&mut stdout, &mut fresh.stdout);
                // After stdout, so that what came before it is in.
                stderr_ended = read_what_is_there(&mut stderr, &mut fresh.stderr);
                let mut streams = lock(&sink);
                streams.stdout.append(&mut fresh.stdout);
                streams.stderr.append(&mut fresh.stderr);
            }
        });
        Self { streams, reader }
    }

    pub(super) fn stdout(&self) -> Vec<u8> {
        lock(&self.streams).stdout.clone()
    }

    pub(super) fn stderr(&self) -> Vec<u8> {
        lock(&self.streams).stderr.clone()
    }

    /// Whether both pipes have ended.
    pub(super) fn is_complete(&self) -> bool {
        self.reader.is_finished()
    }
}

fn lock(streams: &Mutex<Streams>) -> MutexGuard<'_, Streams> {
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_for_any(stdout: &PipeReader, stdout_ended: bool, stderr: &PipeReader, stderr_ended: bool) {
    let mut pipes: Vec<PollFd> = [(stdout, stdout_ended), (stderr, stderr_ended)]
        .into_iter()
        .filter(|(_, ended)| !ended)
        .map(|(pipe, _)| PollFd::new(pipe, PollFlags::IN))
        .collect();
    // After EINTR there is nothing to read, and the next turn waits again.
    let _ = poll(&mut pipes, None);
}

/// Reads what is there, and returns whether the pipe has ended.
fn read_what_is_there(pipe: &mut PipeReader, sink: &mut Vec<u8>) -> bool {
    // Ends with Ok at the end of the pipe, with WouldBlock before it; what was read until then is
    // kept.
    pipe.read_to_end(sink).is_ok()
}
