//! Commands of the test program itself: bounded in time, with all their output at hand when they fail.

use std::io::Read as _;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Runs `command` to its end and gives its exit status and what it wrote, stdout and stderr in the order of their writing.
///
/// # Panics
///
/// When it does not end within `deadline`; it is killed then.
#[track_caller]
pub(super) fn run(command: &mut Command, deadline: Duration) -> (ExitStatus, String) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap_or_else(|error| panic!("unable to start {command:?}: {error}"));
    // The command holds the writing ends too, and with them the reader would never come to the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let output = thread::spawn(move || {
        let mut output = Vec::new();
        reader.read_to_end(&mut output).unwrap();
        String::from_utf8_lossy(&output).into_owned()
    });

    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} was still running after {deadline:?}");
        }
        thread::sleep(Duration::from_millis(5));
    };
    (status, output.join().unwrap())
}
