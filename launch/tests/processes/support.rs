//! What the tests have in common: an installed layer, an app that is launched with it, and patience with a deadline.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

/// How long any condition may take to come true. Far more than it takes, as machines may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `probe` finds something, or fails the test with `what`.
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// The same, for what takes longer by design.
pub(crate) fn within<T>(time: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Fails the test if `condition` does not hold all this time.
#[track_caller]
pub(crate) fn holds_for(time: Duration, condition: impl Fn() -> bool) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(condition(), "it does not hold for {time:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An agent that notes how it was started (its pid comes last), and stays.
pub(crate) const PATIENT_AGENT: &str = "#!/bin/sh
echo \"argv $*\" >>\"$0.notes\"
echo \"pid $$\" >>\"$0.notes\"
exec sleep 1000
";

/// An installed layer in a directory of its own, and the variables of the app that is to be launched with it.
pub(crate) struct Layer {
    directory: TempDir,
    variables: Vec<(String, String)>,
    /// What the shell does before it runs the exec.d program.
    pub(crate) prelude: String,
    /// A program that runs the exec.d program.
    pub(crate) runner: String,
    pub(crate) redirections: String,
}

impl Layer {
    /// A layer with this agent, and an app of type `web` on this port.
    pub(crate) fn new(agent: &str, port: u16) -> Self {
        // On the file system of the program, which is linked: a copy that another thread's child still has open for writing could
        // not be run (ETXTBSY).
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir_all(directory.path().join("exec.d")).unwrap();
        fs::create_dir_all(directory.path().join("libexec")).unwrap();
        fs::hard_link(
            env!("CARGO_BIN_EXE_backplane-launch-test-program"),
            directory.path().join("exec.d/launch"),
        )
        .unwrap();
        let layer = Self {
            variables: [
                ("PATH", std::env::var("PATH").unwrap().as_str()),
                ("BACKPLANE_TOKEN", "sesame"),
                ("BACKPLANE_LABELS", "app=shop"),
                ("BACKPLANE_PROCESS_TYPE", "web"),
                ("BACKPLANE_LOG", "debug"),
                ("PORT", &port.to_string()),
                ("DATABASE_URL", "postgres://secret"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
            directory,
            prelude: String::new(),
            runner: String::new(),
            redirections: String::new(),
        };
        layer.install(agent, 0o755);
        layer
    }

    pub(crate) fn install(&self, agent: impl AsRef<[u8]>, mode: u32) {
        // Renamed into place, as an agent may be running.
        let path = self.agent();
        fs::write(path.with_extension("new"), agent).unwrap();
        fs::set_permissions(path.with_extension("new"), Permissions::from_mode(mode)).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.path().join("exec.d/launch")
    }

    /// `backplane-status`, as a process of the same container would call it.
    pub(crate) fn status(&self) -> Command {
        let link = self.path().join("libexec/backplane-status");
        if !link.is_symlink() {
            symlink("../exec.d/launch", &link).unwrap();
        }
        self.beside_app(&link)
    }

    /// A program with the environment of the app.
    pub(crate) fn beside_app(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn agent(&self) -> PathBuf {
        self.path().join("libexec/backplane")
    }

    /// Everything that the agents noted, start after start.
    pub(crate) fn notes(&self) -> String {
        fs::read_to_string(self.agent().with_extension("notes")).unwrap_or_default()
    }

    /// The pids of the agents that were started, in their order.
    pub(crate) fn agents(&self) -> Vec<u32> {
        self.notes()
            .split_inclusive('\n')
            .filter_map(|line| line.strip_prefix("pid ")?.strip_suffix('\n')?.parse().ok())
            .collect()
    }

    /// A file of the layer's directory to write to the end of. Not a pipe: its reader would wait for its last writer, and who that is,
    /// is for the tests to find out.
    fn file(&self, name: &str) -> File {
        let path = self.path().join(name);
        File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap()
    }

    /// What the app wrote to standard output so far, over all launches.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.path().join("stdout")).unwrap_or_default()
    }

    /// What the supervisor, the agent and the app wrote to standard error so far, over all launches.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path().join("stderr")).unwrap_or_default()
    }

    /// The command of a shell that does what the launcher does: runs the exec.d program, then becomes `app`.
    pub(crate) fn command(&self, app: &str) -> Command {
        // Under nohup or in the background of a script, tests begin with SIGINT ignored, and an app would ignore it, too.
        self.command_under(&["env", "--default-signal=INT", "/bin/sh"], app)
    }

    /// The same for a shell that other words start, which come before its arguments.
    fn command_under(&self, words: &[&str], app: &str) -> Command {
        let Self {
            prelude,
            runner,
            redirections,
            ..
        } = self;
        let (program, arguments) = words.split_first().unwrap();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg("-c")
            .arg(format!(
                "{prelude}\n{runner} \"$1\" {redirections} || echo \"exec.d failed: $?\" >&2\nexec {app}"
            ))
            .arg("launcher")
            .arg(self.program())
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(self.file("stdout"))
            .stderr(self.file("stderr"));
        command
    }

    /// Launches an app that ends when [`App::finish`] says so.
    pub(crate) fn launch(&self) -> App<'_> {
        self.launch_app("cat")
    }

    pub(crate) fn launch_app(&self, app: &str) -> App<'_> {
        let child = self.command(app).spawn().unwrap();
        App::of(self, child)
    }

    /// Launches an app that is process 1 of a PID namespace, and returns its pid as this process sees it.
    pub(crate) fn launch_as_process_1(&self, app: &str) -> (App<'_>, u32) {
        let words = [
            "unshare",
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "/bin/sh",
        ];
        let child = self.command_under(&words, app).spawn();
        let app = App::of(self, child.expect("unshare(1) is needed"));
        let process_1 = eventually("user and PID namespaces can be made", || {
            children(app.pid()).first().copied()
        });
        (app, process_1)
    }

    /// All processes that have this layer's directory in their arguments or environment: the supervisor, the agent, and whatever that
    /// started. Never taken from pids that were noted earlier: they may be others' by now, and these are killed if a test fails.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let directory = self.path().to_str().unwrap();
        let names_directory = |path: String| {
            fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(directory))
        };
        processes()
            .into_iter()
            .filter(|pid| {
                names_directory(format!("/proc/{pid}/cmdline"))
                    || names_directory(format!("/proc/{pid}/environ"))
            })
            .collect()
    }

    pub(crate) fn supervisors(&self) -> Vec<u32> {
        let is_supervisor = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|arguments| {
                arguments.split(|byte| *byte == 0).nth(1) == Some(b"supervise")
            })
        };
        self.processes().into_iter().filter(is_supervisor).collect()
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        // Only after a failed test is anything left.
        if std::thread::panicking() {
            for pid in self.processes() {
                let _ended_meanwhile = Command::new("/bin/kill")
                    .args(["-s", "KILL", &pid.to_string()])
                    .status();
            }
            eprintln!(
                "--- standard error ---\n{}--- notes ---\n{}",
                self.log(),
                self.notes()
            );
        }
    }
}

/// A launched app.
pub(crate) struct App<'layer> {
    layer: &'layer Layer,
    pub(crate) child: Child,
}

impl<'layer> App<'layer> {
    pub(crate) fn of(layer: &'layer Layer, child: Child) -> Self {
        Self { layer, child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the `count`th agent runs as what it is, and gives its pid.
    pub(crate) fn agent(&self, count: usize) -> u32 {
        eventually("an agent is started", || {
            self.layer.agents().get(count - 1).copied()
        })
    }

    /// The supervisor's pid.
    pub(crate) fn supervisor(&self) -> u32 {
        eventually("a supervisor is there", || {
            self.layer.supervisors().first().copied()
        })
    }

    pub(crate) fn log_has(&self, text: &str) {
        eventually(text, || self.layer.log().contains(text).then_some(()));
    }

    /// Ends the app by the end of its standard input.
    pub(crate) fn finish(mut self) {
        drop(self.child.stdin.take());
        let status = self.wait();
        assert!(status.success(), "{status}");
        self.nothing_is_left();
    }

    /// Waits for the app's end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the app ends", || self.child.try_wait().unwrap())
    }

    /// Waits until supervisor and agents are gone.
    pub(crate) fn nothing_is_left(&self) {
        eventually("supervisor and agents are gone", || {
            self.layer.processes().is_empty().then_some(())
        });
    }
}

impl Drop for App<'_> {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ended_meanwhile = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

/// A listener on a free port of the address, and its port.
pub(crate) fn listen(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, 0))
        .unwrap_or_else(|error| panic!("these tests need {address}: {error}"));
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A pseudoterminal: what its reader reads from, and the terminal, as a program opens it that has none of its own yet.
pub(crate) fn terminal() -> (File, File) {
    use rustix::pty::{self, OpenptFlags};
    let reader = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
    let reader = reader.unwrap();
    pty::grantpt(&reader).unwrap();
    pty::unlockpt(&reader).unwrap();
    let path = pty::ptsname(&reader, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(path, flags, Mode::empty()).unwrap();
    (reader.into(), terminal.into())
}

/// Whether the open file description behind a descriptor is in non-blocking mode.
pub(crate) fn is_nonblocking(descriptor: impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(descriptor)
        .unwrap()
        .contains(OFlags::NONBLOCK)
}

/// Fills a pipe or a terminal, through a description of its own, as `O_NONBLOCK` is not the descriptor's but the description's.
pub(crate) fn fill(writer: impl AsFd) {
    use std::io::Write as _;
    let path = format!("/proc/self/fd/{}", writer.as_fd().as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).unwrap());
    for size in [4096, 1] {
        while file.write(&vec![b'x'; size]).is_ok() {}
    }
}

/// A port on which nothing listens.
pub(crate) fn free_port() -> u16 {
    listen("127.0.0.1").1
}

pub(crate) fn processes() -> Vec<u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// The children that the process's first thread has made or adopted.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Whether the process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    field(pid, "State").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// A field of `/proc/PID/status`.
pub(crate) fn field(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// The process's parent, process group and session.
pub(crate) fn family(pid: u32) -> [u32; 3] {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let mut numbers = fields
        .split_ascii_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap());
    [(); 3].map(|()| numbers.next().unwrap())
}

/// What the process's descriptors refer to, by their numbers; none while they change.
pub(crate) fn descriptors(pid: u32) -> Option<Vec<(u32, String)>> {
    let mut descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((
                number,
                fs::read_link(entry.path()).ok()?.display().to_string(),
            ))
        })
        .collect::<Option<Vec<(u32, String)>>>()?;
    descriptors.sort();
    Some(descriptors)
}

/// The process's environment.
pub(crate) fn environment(pid: u32) -> Vec<String> {
    fs::read(format!("/proc/{pid}/environ"))
        .unwrap()
        .split(|byte| *byte == 0)
        .filter(|variable| !variable.is_empty())
        .map(|variable| String::from_utf8_lossy(variable).into_owned())
        .collect()
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("/bin/kill")
        .args(["-s", name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success() || !is_alive(pid), "SIG{name} to {pid}");
}
