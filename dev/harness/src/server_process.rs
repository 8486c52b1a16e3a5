//! Servers as child processes.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use crate::DEADLINE;

/// A server. It is killed when this is dropped.
pub(crate) struct ServerProcess {
    child: Child,
    stdout: Receiver<String>,
}

impl ServerProcess {
    /// Starts it, and calls `on_stderr` for each line of its standard error.
    pub(crate) fn start(
        command: &mut Command,
        on_stderr: impl Fn(String) + Send + 'static,
    ) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, stdout) = mpsc::channel();
        let on_stdout = move |line| drop(sender.send(line));
        for_each_line(child.stdout.take().unwrap(), on_stdout);
        for_each_line(child.stderr.take().unwrap(), on_stderr);
        Self { child, stdout }
    }

    /// Waits for a line of its standard output that `find` accepts. `None` if the server ends
    /// before.
    #[track_caller]
    pub(crate) fn wait_for_line<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        loop {
            match self.stdout.recv_timeout(DEADLINE) {
                Ok(line) => {
                    if let Some(found) = find(&line) {
                        return Some(found);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("a server did not start in {DEADLINE:?}"),
            }
        }
    }
}

/// Reads up to the end, so that the server never waits for a reader.
fn for_each_line(output: impl Read + Send + 'static, handle: impl Fn(String) + Send + 'static) {
    thread::spawn(move || {
        let lines = BufReader::new(output).lines();
        lines.map_while(Result::ok).for_each(handle);
    });
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
