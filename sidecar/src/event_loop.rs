//! The supervisor's one thread: it waits for events, passes them to the state machine, and does the
//! actions that this returns.

use std::ffi::OsString;
use std::io::Write as _;
use std::mem;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{self, Pid, Signal};

use crate::agent::AgentTree;
use crate::app;
use crate::checks::Checks;
use crate::children;
use crate::config::{Lock, SupervisorConfig};
use crate::deadlock::{self, Activity};
use crate::drain;
use crate::exit::Exit;
use crate::file;
use crate::interface::Definition;
use crate::limits::{self, Moment};
use crate::lock::{self, LockName, Peer, Purpose};
use crate::log::{Level, Log};
use crate::messages::{Message, NoticeText};
use crate::ownership;
use crate::probe::PortProbe;
use crate::signals::Signals;
use crate::state_machine::{Action, Event, Jitter, Options, StartWhen, StateMachine};
use crate::status::Report;
use crate::status::server::Clients;
use crate::upstream::Loopback;

/// A running supervisor.
pub(crate) struct EventLoop {
    definition: Definition,
    config: SupervisorConfig,
    log: Log,
    state: StateMachine,
    started: Instant,
    signals: Signals,
    probe: PortProbe,
    last_probe: Option<Moment>,
    last_memory_check: Moment,
    agent: AgentTree,
    checks: Checks,
    /// SIGTERM came while the agent was started.
    shutdown_is_pending: bool,
    app_has_exited: bool,
    clients: Clients,
    /// Those that wait for the end of the agent.
    drain_clients: Vec<UnixStream>,
    is_finished: bool,
}

impl EventLoop {
    /// # Errors
    ///
    /// The error of signalfd(2).
    pub(crate) fn new(
        definition: Definition,
        config: SupervisorConfig,
        log: Log,
    ) -> Result<Self, Errno> {
        let signals = Signals::take().map_err(|error| Errno::from_raw_os_error(error as i32))?;
        let probe = if config.wait_for_app {
            PortProbe::open(log)
        } else {
            PortProbe::Unavailable
        };
        let state = StateMachine::new(Options {
            start: match (config.wait_for_app, &config.ready_path) {
                (false, _) => StartWhen::Now,
                (true, None) => StartWhen::AppListens,
                (true, Some(_)) => StartWhen::AppIsReady,
            },
            checks_health: config.health_url.is_some(),
            drain: config.drain,
            stop_timeout: config.stop_timeout,
            outlives_sigterm: config.outlives_sigterm,
            is_expected: config.is_expected,
        });
        Ok(Self {
            state: match config.lock {
                Lock::StandBy => state.standing_by(),
                Lock::Held | Lock::Unavailable => state,
            },
            clients: Clients::of_lock(config.lock == Lock::Held),
            definition,
            config,
            log,
            started: Instant::now(),
            signals,
            probe,
            last_probe: None,
            last_memory_check: Moment::ZERO,
            agent: AgentTree::default(),
            checks: Checks::default(),
            shutdown_is_pending: false,
            app_has_exited: false,
            drain_clients: Vec::new(),
            is_finished: false,
        })
    }

    /// Runs until the app has exited and the agent with it.
    ///
    /// # Errors
    ///
    /// The error of poll(2).
    pub(crate) fn run(mut self) -> Result<(), Errno> {
        if let Some(notice) = self.state.first_notice() {
            self.dispatch_action(Action::Log(Level::Debug, notice));
        }
        let result = self.run_turns();
        if result.is_err() {
            self.agent.signal(Signal::KILL);
        }
        self.agent.reap();
        self.agent.adopt_all();
        self.end_orphans();
        result
    }

    fn run_turns(&mut self) -> Result<(), Errno> {
        while !self.is_finished {
            self.wait()?;
            if self.signals.read() || mem::take(&mut self.shutdown_is_pending) {
                self.dispatch(Event::ShutdownRequested);
            }
            // At every wake, not only after SIGCHLD, which is not sent if it was ignored before this
            // process was started.
            self.check_agent();
            self.check_app();
            self.run_timers();
            while let Some(event) = self.checks.next(self.now()) {
                self.dispatch(event);
            }
            // Last, because any process can connect as often as it wants.
            self.serve_clients();
        }
        Ok(())
    }

    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    /// Passes an event to the state machine, and does the actions that it returns.
    fn dispatch(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for action in self.state.handle(event, self.now()) {
                next = self.dispatch_action(action).or(next);
            }
        }
        if self.state.has_ended() {
            for mut client in self.drain_clients.drain(..) {
                let _ = client.write(drain::ENDED); // It may have left.
            }
        }
    }

    /// Does one action, and returns the event that follows from it. No list has two actions that
    /// an event follows from.
    fn dispatch_action(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Log(level, notice) => {
                let text = NoticeText {
                    notice: &notice,
                    config: &self.config,
                    hints: self.definition.hints,
                };
                self.log.log(level, &text);
            }
            Action::TryLock => return Some(self.try_lock()),
            Action::ReleaseLock => self.clients.release_lock(lock::mark(&self.lock_name())),
            Action::Start(loopback) => return Some(self.start(loopback)),
            Action::CheckReady(loopback) => {
                let path = self.config.ready_path.as_deref();
                let target = self.config.upstream.http_target(Some(loopback), path);
                self.checks.start_ready(&target, loopback, self.now());
            }
            Action::CheckHealth => {
                if let Some(url) = &self.config.health_url {
                    self.checks
                        .start_health(&url.http_target(None, None), self.now());
                }
            }
            Action::Terminate => self.agent.signal(Signal::TERM),
            Action::Kill => self.agent.signal(Signal::KILL),
            Action::Reap => self.agent.reap(),
            Action::Finish => self.is_finished = true,
        }
        None
    }

    fn lock_name(&self) -> LockName {
        LockName::new(self.definition.name, &self.config.upstream)
    }

    fn try_lock(&mut self) -> Event {
        let lock = lock::acquire(&self.lock_name());
        let is_taken = lock.is_ok_and(|lock| self.clients.take_lock(&lock));
        Event::LockTried { is_taken }
    }

    fn start(&mut self, loopback: Loopback) -> Event {
        self.end_orphans();
        self.checks.forget_health();
        let url = self.config.upstream.url(loopback);
        let values = self.read_values();
        match self.agent.start(&self.config, &url, values) {
            Ok(()) => Event::AgentStarted(loopback),
            Err(error) => Event::AgentExited {
                exit: Exit::NotStarted(error.to_string()),
                others_live: false,
                jitter: Jitter::draw(),
            },
        }
    }

    /// Reads the values that may have changed since the last start. One that cannot be read stays as
    /// it was when the app started.
    fn read_values(&self) -> Vec<(OsString, OsString)> {
        let mut values = Vec::new();
        for (name, path) in &self.config.value_files {
            match file::read_nonempty_value(path) {
                Ok(value) => values.push((name.clone(), value)),
                Err(error) => self.log.log(
                    Level::Warning,
                    &Message::ValueUnreadable {
                        name: name.to_string_lossy().into_owned(),
                        path: path.clone(),
                        error: error.to_string(),
                    },
                ),
            }
        }
        values
    }

    /// Waits until nothing of an earlier agent is left, zombies included, but no longer than the
    /// kernel may take.
    fn end_orphans(&mut self) {
        const INTERVAL: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 10_000_000,
        };
        let deadline = Instant::now() + limits::KILL_TIMEOUT;
        while self.agent.kill_orphans() && Instant::now() < deadline {
            let mut descriptors = [PollFd::from_borrowed_fd(
                self.signals.as_fd(),
                PollFlags::IN,
            )];
            // Until a child exits, or a moment later: processes that lost their parents by the kill
            // become children of this process.
            let _ = rustix::event::poll(&mut descriptors, Some(&INTERVAL));
            self.shutdown_is_pending |= self.signals.read();
        }
    }

    /// Sleeps until something happens or the time of the next probe or timer has come.
    fn wait(&mut self) -> Result<(), Errno> {
        let timeout = self.next_wake().map(|moment| {
            let left = moment.saturating_sub(self.now());
            Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: 60,
                tv_nsec: 0,
            })
        });
        let app = (!self.app_has_exited && self.has_pidfd()).then(rustix::stdio::stdout);
        let mut descriptors: Vec<PollFd<'_>> =
            [Some(self.signals.as_fd()), self.clients.descriptor(), app]
                .into_iter()
                .flatten()
                .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
                .chain(self.checks.poll())
                .collect();
        match rustix::event::poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn next_wake(&self) -> Option<Moment> {
        let wake = self.state.wake();
        let probe_at = wake.probe.map(|at| self.earliest_probe(at));
        let poll_at =
            (!self.app_has_exited && !self.has_pidfd()).then(|| self.now() + limits::POLL_INTERVAL);
        // Until exec.d has exited, the supervisor is still its child.
        let may_be_child_of_app =
            self.app_as_parent().is_some() || self.now() < limits::APP_CHECK_INTERVAL;
        let check_at = wake.check.filter(|_| may_be_child_of_app);
        let memory_at = self.next_memory_check();
        let others = [self.clients.wake(), self.checks.wake(), poll_at, memory_at];
        [probe_at, wake.timer, check_at]
            .into_iter()
            .chain(others)
            .flatten()
            .min()
    }

    fn has_pidfd(&self) -> bool {
        self.config.app.start_time.is_none()
    }

    /// The app, if the supervisor is its child: when exec.d exits, the kernel makes process 1 or
    /// another process that adopts orphans the parent.
    fn app_as_parent(&self) -> Option<Pid> {
        process::getppid().filter(|parent| self.config.app.pid == *parent)
    }

    /// Earliest time for the next probe; expensive probes are rate-limited.
    fn earliest_probe(&self, wanted: Moment) -> Moment {
        let interval = match self.probe {
            PortProbe::ProcNet => limits::PROC_NET_INTERVAL,
            PortProbe::Netlink(_) | PortProbe::Unavailable => Duration::ZERO,
        };
        self.last_probe
            .map_or(wanted, |last| wanted.max(last + interval))
    }

    fn run_timers(&mut self) {
        if self.is_finished {
            return;
        }
        let wake = self.state.wake();
        if wake.timer.is_some_and(|at| self.now() >= at) {
            self.dispatch(Event::TimerExpired);
        }
        if wake
            .probe
            .is_some_and(|at| self.now() >= self.earliest_probe(at))
        {
            self.probe();
        }
        if self.next_memory_check().is_some_and(|at| self.now() >= at) {
            self.check_memory();
        }
        self.check_app_waits();
    }

    /// Checks whether the app waits for the supervisor, together with a probe if both are due. One that
    /// is not the parent does not.
    fn check_app_waits(&mut self) {
        const SLACK: Duration = Duration::from_millis(20);
        let due = self.state.wake().check;
        if due.is_some_and(|at| self.now() + SLACK >= at) {
            let app = self.app_as_parent();
            let activity = app.map_or(Activity::Other, deadlock::check);
            self.dispatch(Event::AppChecked(activity));
        }
    }

    fn probe(&mut self) {
        self.last_probe = Some(self.now());
        // With the probe, so that it costs no wakeup.
        self.check_memory();
        let (host, port) = (&self.config.upstream.host, self.config.upstream.port);
        let found = self.probe.probe(host, port, self.log);
        let may_yield = self.state.may_yield() && self.config.lock != Lock::Unavailable;
        let another_listens = if let Some(loopback) = found
            && may_yield
            && lock::is_marked(&self.lock_name())
        {
            let inodes = self.probe.inodes(host, loopback, port);
            ownership::has_any(self.config.app.pid, &inodes) == Some(false)
        } else {
            false
        };
        self.dispatch(if another_listens {
            Event::AnotherListens
        } else {
            Event::Probed(found)
        });
    }

    fn check_memory(&mut self) {
        if let Some(limit) = self.config.memory_limit
            && self.agent.pid().is_some()
        {
            self.last_memory_check = self.now();
            let used = AgentTree::resident_bytes();
            if used > limit {
                self.dispatch(Event::MemoryExceeded { used });
            }
        }
    }

    /// When to check the agent's memory without a probe, because there is none.
    fn next_memory_check(&self) -> Option<Moment> {
        let is_due_alone = !self.config.wait_for_app && self.config.memory_limit.is_some();
        let agent_runs = self.agent.pid().is_some();
        (is_due_alone && agent_runs)
            .then(|| self.last_memory_check + limits::RUNNING_PROBE_INTERVAL)
    }

    fn check_agent(&mut self) {
        if let Some(exit) = self.agent.exit(&self.config.agent) {
            self.dispatch(Event::AgentExited {
                exit,
                others_live: children::has_living_child(),
                jitter: Jitter::draw(),
            });
        }
        self.agent.kill_orphans();
    }

    fn check_app(&mut self) {
        if self.app_has_exited {
            return;
        }
        self.app_has_exited = app::has_exited(self.config.app);
        if self.app_has_exited {
            // The lock is kept until the agent has exited: a supervisor that stands by would start
            // another one beside it.
            self.dispatch(Event::AppExited);
        }
    }

    /// Serves a bounded number of clients. Signals, the app and timers come before the next ones.
    fn serve_clients(&mut self) {
        if self.is_finished {
            return;
        }
        for _ in 0..limits::CLIENTS_PER_TURN {
            let Some(client) = self.clients.next(self.now()) else {
                return;
            };
            if let Some(peer) = lock::peer(&client)
                && lock::is_trusted(peer.user)
            {
                self.serve(UnixStream::from(client), peer);
            }
        }
        let next_turn = self.now() + limits::CLIENTS_INTERVAL;
        self.clients.stop_accepting(next_turn);
    }

    /// Serves one client, which may have left meanwhile.
    fn serve(&mut self, mut client: UnixStream, peer: Peer) {
        let purpose = Purpose::of(&client, self.definition.name);
        if purpose == Purpose::Status {
            let _ = client.write(self.report().render().as_bytes());
            return;
        }
        // Containers of a pod share a network: the processes of another one cannot end this agent.
        let may_drain = peer.pid.is_some_and(|pid| {
            purpose == Purpose::Drain || app::is_or_is_below(pid, self.config.app)
        });
        self.drain_clients.retain(drain::is_connected);
        if may_drain
            && self.drain_clients.len() < limits::MAX_DRAIN_CLIENTS
            && client.write(drain::CONFIRMED).is_ok()
        {
            self.drain_clients.push(client);
            self.dispatch(Event::DrainRequested);
        }
    }

    fn report(&self) -> Report<'_> {
        Report {
            agent: self.state.status(self.now()),
            upstream: self.config.upstream.to_string(),
            info: &self.config.info,
            agent_pid: self.agent.pid(),
        }
    }
}
