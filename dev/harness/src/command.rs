//! Commands of the test program itself, bounded in time.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Runs `command` to its end, and returns its exit status and its output, stdout and stderr in the
/// order of their writing.
///
/// # Panics
///
/// When it does not end within `deadline`; it is killed then.
#[track_caller]
pub(crate) fn run(command: &mut Command, deadline: Duration) -> (ExitStatus, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap_or_else(|error| panic!("unable to start {command:?}: {error}"));
    // The command holds the writing ends too, and with them the reader would never come to the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let output = read(reader);
    let status = wait(command, &mut child, deadline);
    (status, output.join().unwrap())
}

/// Runs `command` to its end, and returns its exit status, stdout and stderr.
///
/// # Panics
///
/// When it does not end within `deadline`; it is killed then.
#[track_caller]
pub(crate) fn run_apart(command: &mut Command, deadline: Duration) -> (ExitStatus, String, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("unable to start {command:?}: {error}"));
    let stdout = read(child.stdout.take().unwrap());
    let stderr = read(child.stderr.take().unwrap());
    let status = wait(command, &mut child, deadline);
    (status, stdout.join().unwrap(), stderr.join().unwrap())
}

fn read(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut output = Vec::new();
        stream.read_to_end(&mut output).unwrap();
        String::from_utf8_lossy(&output).into_owned()
    })
}

#[track_caller]
fn wait(command: &Command, child: &mut Child, deadline: Duration) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} was still running after {deadline:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
