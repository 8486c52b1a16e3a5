//! Launches by the real launcher, or by the shell of a dyno.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::build::Image;
use super::front_end::FrontEnd;
use super::output::Output;
use super::test_env::test_env;
use crate::process::{MARK, Process, processes_marked};
use crate::terminal::Terminal;
use crate::{DEADLINE, HOSTILE_AT_LAUNCH, TOKEN, eventually, our_lines};

/// A launch before its start.
///
/// Apps under test end when their stdin does, so none outlives a test program that was killed.
pub struct Launch {
    program: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
    variables: BTreeMap<OsString, OsString>,
    starter: Starter,
    in_own_group: bool,
}

/// The program that becomes the launcher.
enum Starter {
    None,
    /// A shell in a terminal, of which the launcher is the job in the foreground.
    Terminal {
        /// The terminal, as the shell opens it.
        slave: OwnedFd,
        /// Words before the launcher's command.
        prefix: &'static str,
    },
    /// A program that sets something up and then runs the name and program after these words.
    Under {
        words: Vec<OsString>,
    },
}

impl Image {
    /// A launch of a process type: as by its link in `/cnb/process`, or on a dyno of that type.
    pub fn launch(&self, process_type: &str) -> Launch {
        match self.build.front_end {
            FrontEnd::Cnb => self.launch_with(process_type, &[]),
            FrontEnd::Classic => {
                let command = self.build.heroku().command_of(process_type);
                self.launch_on_dyno(&format!("{process_type}.1"), &command)
            }
        }
    }

    /// A launch of a process type with other arguments, as by `docker run IMAGE ARGUMENT…` for the
    /// default process.
    pub fn launch_with(&self, process_type: &str, arguments: &[&str]) -> Launch {
        self.launcher(&format!("/cnb/process/{process_type}"), arguments)
    }

    /// A launch of a one-off command, as by `docker run IMAGE -- sh -c COMMAND`, or by `heroku run
    /// COMMAND`.
    pub fn launch_once(&self, command: &str) -> Launch {
        match self.build.front_end {
            FrontEnd::Cnb => self.launcher("/cnb/lifecycle/launcher", &["--", "sh", "-c", command]),
            FrontEnd::Classic => self.launch_on_dyno("run.1234", command),
        }
    }

    /// A launch of the launcher by this name, its argv\[0\].
    fn launcher(&self, name: &str, arguments: &[&str]) -> Launch {
        Launch::of(
            test_env().lifecycle("launcher"),
            name.into(),
            arguments.iter().map(Into::into).collect(),
            [
                ("CNB_PLATFORM_API", "0.12".into()),
                ("CNB_LAYERS_DIR", self.layers().into()),
                ("CNB_APP_DIR", self.app_directory().into()),
                (
                    "PATH",
                    "/cnb/process:/cnb/lifecycle:/usr/local/bin:/usr/bin:/bin".into(),
                ),
                ("HOME", "/home/app".into()),
            ],
        )
    }
}

impl Launch {
    /// A launch of a program, by a name and with the variables of its platform.
    pub(super) fn of<const N: usize>(
        program: PathBuf,
        name: OsString,
        arguments: Vec<OsString>,
        of_platform: [(&str, OsString); N],
    ) -> Self {
        Self {
            program,
            name,
            arguments,
            variables: of_platform
                .into_iter()
                .chain(HOSTILE_AT_LAUNCH.map(|(name, value)| (name, value.into())))
                .map(|(name, value)| (name.into(), value))
                .collect(),
            starter: Starter::None,
            in_own_group: true,
        }
    }

    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Sets what an agent needs: a token, labels, and the port that the app listens on.
    pub fn connect(self, port: u16) -> Self {
        self.env("BACKPLANE_TOKEN", TOKEN)
            .env("BACKPLANE_LABELS", "some=label")
            .env("PORT", port.to_string())
    }

    /// Starts it as the parent of all orphans below it, as a container's process 1 is.
    pub fn like_process_1(self) -> Self {
        self.under([test_env().program("as-process-1")])
    }

    /// Starts it where the kernel refuses this, in the rules of `dev/deny`.
    pub fn denying(self, rules: &[&str]) -> Self {
        let words = [test_env().program("deny").into()]
            .into_iter()
            .chain(rules.iter().map(OsString::from));
        self.under(words.chain(["--".into()]))
    }

    /// Starts it by these words, after which come its name and its program.
    pub fn under(mut self, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        self.starter = Starter::Under { words };
        self
    }

    /// Starts it as the job in the foreground of a terminal's shell, behind words such as `nohup`.
    /// [`Running::id`] is the pid of the shell.
    pub fn start_in_terminal(mut self, prefix: &'static str) -> (Running, Terminal) {
        let (terminal, slave) = Terminal::open();
        self.starter = Starter::Terminal { slave, prefix };
        // The leader of a group could not lead a session: setsid would start another process for
        // that.
        self.in_own_group = false;
        (self.start(), terminal)
    }

    pub fn start(self) -> Running {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let mark = test_env()
            .programs
            .mark(&NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
        let (stdout_reader, stdout_writer) = std::io::pipe().unwrap();
        let (stderr_reader, stderr_writer) = std::io::pipe().unwrap();

        let mut stdin = Stdio::piped();
        let mut command = match self.starter {
            Starter::None => {
                let mut launcher = Command::new(&self.program);
                launcher.arg0(&self.name);
                launcher
            }
            Starter::Under { words } => {
                let mut wrapper = Command::new(&words[0]);
                wrapper.args(&words[1..]).arg(&self.name).arg(&self.program);
                wrapper
            }
            Starter::Terminal { slave, prefix } => {
                stdin = slave.into();
                let mut shell = Command::new("env");
                // Interactive, as only then bash puts its job into the terminal's foreground. It
                // stays while it has a stopped job, as for a user.
                let script = format!(
                    r#"{prefix} bash -c 'exec -a "$1" "$2" "${{@:3}}"' bash "$@"
                    while [[ -n $(jobs) ]]; do read -r _ || exit; done"#
                );
                // A shell started with `&` ignores SIGINT, and so would the app.
                shell.args(["--default-signal", "setsid"]);
                shell.args(["--ctty", "bash", "--norc", "-ic", &script, "bash"]);
                shell.arg(&self.name).arg(&self.program);
                shell
            }
        };
        if self.in_own_group {
            // As in a container or a dyno: a signal to the test program is not one to the app.
            command.process_group(0);
        }
        let mut child = command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.variables)
            .env(MARK, &mark)
            .stdin(stdin)
            .stdout(stdout_writer)
            .stderr(stderr_writer)
            .spawn()
            .unwrap();
        drop(command);

        Running {
            stdin: child.stdin.take(),
            child,
            ended: None,
            output: Output::of(stdout_reader, stderr_reader),
            mark,
        }
    }
}

/// A launched app with its supervisor and agent. All of it is killed when this is dropped.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    ended: Option<ExitStatus>,
    output: Output,
    mark: OsString,
}

impl Running {
    /// The app's pid, which was the launcher's.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The app's output so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.output.stdout()
    }

    /// The standard error of the app, the supervisor and the agent so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr()).into_owned()
    }

    /// The lines of our programs so far.
    pub fn our_lines(&self) -> Vec<String> {
        our_lines(&self.stderr())
    }

    /// Waits until the app has written `text` to stdout.
    #[track_caller]
    pub fn wait_for_stdout(&self, text: &str) {
        self.eventually(&format!("{text:?} on stdout"), || {
            String::from_utf8_lossy(&self.stdout())
                .contains(text)
                .then_some(())
        });
    }

    /// Waits for a line on stderr that has `text` in it.
    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str) {
        self.eventually(&format!("{text:?} on stderr"), || {
            self.stderr().contains(text).then_some(())
        });
    }

    /// Asks `question` until it has an answer; a failure shows the processes and the log.
    #[track_caller]
    fn eventually<T>(&self, what: &str, question: impl FnMut() -> Option<T>) -> T {
        let what = fmt::from_fn(|f| {
            let processes: Vec<_> = self.processes().iter().map(Process::arguments).collect();
            write!(
                f,
                "{what} (processes: {processes:?}; stderr: {})",
                self.stderr()
            )
        });
        eventually(DEADLINE, what, question)
    }

    /// The live processes of this launch, the app's own among them.
    pub fn processes(&self) -> Vec<Process> {
        processes_marked(&self.mark)
    }

    /// The app's own process.
    #[track_caller]
    pub fn app(&self) -> Process {
        let mut processes = self.processes();
        processes.retain(|process| process.id() == self.id());
        processes.pop().expect("the app is alive")
    }

    pub fn supervisors(&self) -> Vec<Process> {
        let mut supervisors = self.processes();
        supervisors.retain(|process| {
            let arguments = process.arguments();
            is_ours(process) && arguments.get(1).is_some_and(|role| role == "supervise")
        });
        // A child that a supervisor has just made looks like it until its execve(2).
        let pids: Vec<i32> = supervisors.iter().map(Process::pid).collect();
        supervisors.retain(|process| {
            let parent = process.parent();
            parent.is_none_or(|parent| !pids.contains(&parent))
        });
        supervisors
    }

    /// The live agents: the children of the supervisor that are past the trampoline.
    pub fn agents(&self) -> Vec<Process> {
        let supervisors: Vec<i32> = self.supervisors().iter().map(Process::pid).collect();
        let mut agents = self.processes();
        agents.retain(|process| {
            let parent = process.parent();
            parent.is_some_and(|parent| supervisors.contains(&parent)) && !is_ours(process)
        });
        agents
    }

    #[track_caller]
    pub fn wait_for_supervisor(&self) -> Process {
        self.eventually("a supervisor", || self.supervisors().pop())
    }

    #[track_caller]
    pub fn wait_for_agent(&self) -> Process {
        self.eventually("an agent", || self.agents().pop())
    }

    /// Waits for an agent that is not this one.
    #[track_caller]
    pub fn wait_for_agent_after(&self, earlier: &Process) -> Process {
        self.eventually("another agent", || {
            let mut agents = self.agents();
            agents.retain(|agent| agent.id() != earlier.id());
            agents.pop()
        })
    }

    /// Ends an app that waits for the end of its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal to the app alone, as `docker stop` does.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .unwrap();
        // Its number is its own for as long as it is not waited for.
        assert!(self.ended.is_none(), "the app has ended");
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the app's end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let Self { child, ended, .. } = self;
        *ended.get_or_insert_with(|| {
            eventually(DEADLINE, "the app's end", || child.try_wait().unwrap())
        })
    }

    /// Waits until no process of this launch is left and all output is read; returns the time.
    #[track_caller]
    pub fn wait_for_nothing_left(&self) -> Duration {
        let start = Instant::now();
        self.eventually("the end of all processes", || {
            self.processes().is_empty().then_some(())
        });
        let time = start.elapsed();
        self.eventually("the end of the output", || {
            self.output.is_complete().then_some(())
        });
        time
    }
}

/// Whether a process executes our launch program.
fn is_ours(process: &Process) -> bool {
    process.executable().ends_with("exec.d/launch")
}

impl Drop for Running {
    fn drop(&mut self) {
        let start = Instant::now();
        // Repeatedly, as one may be starting another at this moment.
        loop {
            let left = self.processes();
            if left.is_empty() || start.elapsed() > DEADLINE {
                break;
            }
            for process in left {
                process.signal(Signal::KILL);
            }
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.wait();
    }
}
