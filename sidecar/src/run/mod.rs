//! The role `NAME-run`: runs the app's command as its child, is a good process 1, and orders the
//! end of the command and the agent, so that no request is lost between them.
//!
//! As the exec.d program's supervisor cannot outlive process 1, an app that is process 1 takes the
//! agent with it. This program is process 1 instead. It passes on all signals but SIGCHLD and
//! real-time ones, reaps orphans, and exits with the command's status.

mod ending;

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{self, Pid, PidfdFlags, WaitId, WaitIdOptions, WaitOptions};

use self::ending::{Action, Ending, Event, Timeouts};
use crate::drain::{self, Request};
use crate::interface::{Connection, Definition, Sidecar};
use crate::limits;
use crate::lock::Purpose;
use crate::log::{Level, Log, Verbosity};
use crate::messages::Message;
use crate::own_program;
use crate::status::program;

/// The role's name on the command line of the child.
pub(crate) const ROLE: &str = "start-command";

/// The exit statuses of a command that cannot be run, as shells have them.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
const USAGE: u8 = 2;

/// What is added to the number of the signal that ended the command.
const SIGNAL_OFFSET: i32 = 128;

/// `si_code` of a signal that the kernel sent, such as for a key of the terminal: then it went to
/// the command too, which is in the same process group (sigaction(2)).
const SI_KERNEL: i32 = 0x80;

/// What a terminal stops a job by.
const STOPS: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// The name of the program.
pub(crate) fn program(definition: Definition) -> String {
    format!("{}-run", definition.name)
}

/// Plays the role.
pub(crate) fn run<S: Sidecar>(sidecar: &S, command: &[OsString]) -> ExitCode {
    let definition = Definition::of::<S>();
    let command = match command.split_first() {
        Some((separator, command)) if separator == "--" => command,
        _ => command,
    };
    let log = Log::new(definition.name, Verbosity::Info);
    if command.is_empty() {
        let program = program(definition);
        log.log(Level::Warning, &Message::RunWithoutCommand { program });
        return ExitCode::from(USAGE);
    }
    // Without signals or a process, nothing can be ordered: the app runs as without this program.
    let Some((signals, child)) = Signals::take().ok().and_then(|signals| {
        let child = spawn(command, signals.shares_group).ok()?;
        Some((signals, child))
    }) else {
        return become_command(definition, command);
    };
    let connection = own_program::connection(sidecar);
    let status = Supervision::new(definition, connection, signals, &child).run();
    ExitCode::from(status)
}

/// Starts the command in a process group of its own, because a signal to that group is not for this
/// process. On a terminal it stays in the group that the terminal's keys are for.
fn spawn(command: &[OsString], shares_group: bool) -> io::Result<Child> {
    // For a process that is not the first of its container.
    let _ = process::set_child_subreaper(Some(process::getpid()));
    let mut child = Command::new(env::current_exe()?);
    // The kernel's path has this role's name if the program is a copy instead of a link. Called by
    // that name, the child would play this role again, and so would each child of it.
    child.arg0(ROLE).arg(ROLE).args(command);
    if !shares_group {
        child.process_group(0);
    }
    child.spawn()
}

/// Plays the role of the child: undoes what this program did to itself, and becomes the command.
pub(crate) fn become_command(definition: Definition, command: &[OsString]) -> ExitCode {
    let Some((name, arguments)) = command.split_first() else {
        return ExitCode::FAILURE;
    };
    let _ = SigSet::empty().thread_set_mask();
    let error = Command::new(name).args(arguments).exec();
    Log::new(definition.name, Verbosity::Info).log(
        Level::Warning,
        &Message::CommandNotRun {
            command: name.to_string_lossy().into_owned(),
            error: error.to_string(),
        },
    );
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    })
}

/// The signals that are passed on.
struct Signals {
    descriptor: SignalFd,
    /// Whether the command is in this process group, and so gets the signals of the terminal's keys
    /// itself.
    shares_group: bool,
}

impl Signals {
    /// Takes all signals. The kernel ends this process for a fault of its own all the same.
    fn take() -> nix::Result<Self> {
        let signals = SigSet::all();
        signals.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self {
            descriptor: SignalFd::with_flags(&signals, flags)?,
            shares_group: rustix::termios::isatty(rustix::stdio::stdin()),
        })
    }

    /// The next signal for the command, by its number.
    fn next(&self) -> Option<i32> {
        loop {
            let signal = self.descriptor.read_signal().ok()??;
            let number = i32::try_from(signal.ssi_signo).ok()?;
            // A terminal that closes tells the first process of its session only.
            let is_of_key = self.shares_group
                && signal.ssi_code == SI_KERNEL
                && number != Signal::SIGHUP as i32;
            if let Some(stop) = STOPS.into_iter().find(|stop| *stop as i32 == number)
                && is_of_key
            {
                stop_as_a_job(stop);
            }
            if number != Signal::SIGCHLD as i32 && !is_of_key {
                return Some(number);
            }
        }
    }
}

/// Stops with the command, because the shell that both are a job of waits for this process. Without
/// such a shell, the kernel stops neither (POSIX, signal concepts: orphaned process groups).
fn stop_as_a_job(stop: Signal) {
    let signals = SigSet::from(stop);
    let _ = signals.thread_unblock();
    let _ = nix::sys::signal::raise(stop);
    let _ = signals.thread_block();
}

/// The command, its signals, and the agent's end.
struct Supervision {
    definition: Definition,
    connection: Option<Connection>,
    signals: Signals,
    /// `None` once it has exited.
    command: Option<Pid>,
    /// Readable once the command has exited, also where SIGCHLD is ignored. `None` if the kernel
    /// refuses it.
    pidfd: Option<OwnedFd>,
    started: Instant,
    ending: Ending,
    request: Option<Request>,
}

impl Supervision {
    fn new(
        definition: Definition,
        connection: Option<Connection>,
        signals: Signals,
        child: &Child,
    ) -> Self {
        let timeouts = Timeouts {
            stop: connection
                .as_ref()
                .map_or(limits::STOP_TIMEOUT, |connection| connection.stop_timeout),
            linger: limits::LINGER,
        };
        let drain = connection
            .as_ref()
            .map_or_else(Default::default, |connection| connection.drain);
        Self {
            definition,
            connection,
            signals,
            command: Some(Pid::from_child(child)),
            pidfd: process::pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok(),
            started: Instant::now(),
            ending: Ending::new(drain, timeouts),
            request: None,
        }
    }

    /// Runs until the command and the agent have ended, and returns the status to exit with.
    fn run(mut self) -> u8 {
        loop {
            self.wait();
            // Everything that there is to reap first: the command may have exited before a signal
            // came that was meant for it.
            while let Some(event) = self.exited_command().or_else(|| self.next_event()) {
                if let Some(status) = self.dispatch(event) {
                    return status;
                }
            }
        }
    }

    /// Sleeps until a signal comes, the agent has ended, or the time is up.
    fn wait(&self) {
        let timeout = self.ending.timer().map(|at| {
            let left = at.saturating_sub(self.started.elapsed());
            Timespec::try_from(left).unwrap_or_default()
        });
        let request = self.request.as_ref().map(Request::descriptor);
        let mut descriptors: Vec<PollFd<'_>> = [
            Some(self.signals.descriptor.as_fd()),
            self.pidfd.as_ref().map(AsFd::as_fd),
            request,
        ]
        .into_iter()
        .flatten()
        .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
        .collect();
        let _ = rustix::event::poll(&mut descriptors, timeout.as_ref()); // EINTR: then there is nothing.
    }

    fn next_event(&mut self) -> Option<Event> {
        if let Some(signal) = self.signals.next() {
            return Some(Event::Signal(signal));
        }
        if self.request.as_mut().is_some_and(Request::has_ended) {
            self.request = None;
            return Some(Event::AgentEnded);
        }
        let is_due = |at| self.started.elapsed() >= at;
        self.ending
            .timer()
            .is_some_and(is_due)
            .then_some(Event::TimerExpired)
    }

    /// Reaps what has exited, and returns the command's end if that is among it.
    fn exited_command(&mut self) -> Option<Event> {
        self.command?;
        // Where SIGCHLD is ignored, the kernel reaps the command by itself, and its status is lost.
        let is_reaped = |pidfd: &OwnedFd| {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let result = process::waitid(WaitId::PidFd(pidfd.as_fd()), options);
            matches!(result, Err(Errno::CHILD))
        };
        let status = loop {
            if self.pidfd.as_ref().is_some_and(is_reaped) {
                break u8::MAX;
            }
            match process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if Some(pid) == self.command => {
                    break exit_status(ExitStatus::from_raw(status.as_raw()));
                }
                Ok(Some(_)) => {}
                Err(Errno::CHILD) => break u8::MAX,
                Ok(None) | Err(_) => return None,
            }
        };
        self.command = None;
        self.pidfd = None;
        Some(Event::CommandExited {
            status,
            agent_runs: self.agent_lives(),
        })
    }

    fn agent_lives(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| program::agent_lives(&connection.lock_name(self.definition)))
    }

    /// Passes an event on and does what it asks for. Returns the status to exit with.
    fn dispatch(&mut self, event: Event) -> Option<u8> {
        match self.ending.handle(event, self.started.elapsed())? {
            Action::Forward(signal) => {
                // Not for real-time signals, which no crate sends safely.
                if let (Some(command), Some(signal)) =
                    (self.command, process::Signal::from_named_raw(signal))
                {
                    let _ = process::kill_process(command, signal); // EPERM: it has another user by now.
                }
                None
            }
            Action::Drain => {
                self.request = self.connection.as_ref().and_then(|connection| {
                    drain::send(
                        &connection.lock_name(self.definition),
                        Purpose::Run,
                        limits::STATUS_TIMEOUT,
                    )
                    .ok()
                });
                if self.request.is_none() {
                    return self.dispatch(Event::AgentEnded);
                }
                None
            }
            Action::Exit(status) => Some(status),
        }
    }
}

/// The status as a shell has it.
fn exit_status(status: ExitStatus) -> u8 {
    let status = status
        .code()
        .or_else(|| Some(SIGNAL_OFFSET + status.signal()?));
    status
        .and_then(|status| u8::try_from(status).ok())
        .unwrap_or(u8::MAX)
}
