//! The supervisor's one thread: it waits for what happens, tells the state machine, and does what that answers.

use crate::agent::Agent;
use crate::agent_file;
use crate::app;
use crate::backoff::Jitter;
use crate::clients::Clients;
use crate::deadlock;
use crate::descendants::{self, Descendant};
use crate::limits::Limits;
use crate::lock;
use crate::log::Log;
use crate::messages::{Exit, Message, Note};
use crate::orders::{AppReference, Lock, Orders};
use crate::ownership;
use crate::readiness::{Sight, connect};
use crate::signals::Signals;
use crate::status::Report;
use crate::supervisor::{Action, Event, Moment, Supervisor};
use crate::target::{Host, Loopback};
use nix::sys::wait::{Id, WaitPidFlag};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitOptions};
use std::time::{Duration, Instant};

/// A supervisor at work.
pub(crate) struct EventLoop {
    orders: Orders,
    limits: Limits,
    log: Log,
    mind: Supervisor,
    started: Instant,
    signals: Signals,
    /// How this host's listeners are seen; none where the target is another host.
    sight: Option<Sight>,
    last_look: Option<Moment>,
    connection: Option<Connection>,
    agent: Option<Agent>,
    /// The pid that an earlier agent had, as long as processes of it may live.
    leftovers_of: Option<Pid>,
    told_to_end: bool,
    app_has_ended: bool,
    clients: Clients,
    agent_sha256: Option<String>,
    is_finished: bool,
}

/// A running attempt to connect to another host.
struct Connection {
    pid: Pid,
    since: Moment,
}

impl Connection {
    /// Looks after an attempt that is overdue: kills it, after which it is reaped like any other child, or finds that it has ended
    /// and the kernel does not say how, as SIGCHLD is ignored. It is then taken to have succeeded.
    fn is_over(&self) -> bool {
        match process::waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => status.exit_status() == Some(0),
            Ok(None) => {
                let _gone = process::kill_process(self.pid, Signal::KILL);
                false
            }
            Err(error) => error == Errno::CHILD,
        }
    }
}

/// Whether these sockets are certainly of no process of the app.
fn is_anothers(inodes: &[u64], app: AppReference) -> bool {
    app.pid().and_then(|app| ownership::has_any(app, inodes)) == Some(false)
}

impl EventLoop {
    pub(crate) fn new(orders: Orders, limits: Limits, log: Log) -> Self {
        let (signals, problem) = Signals::take();
        if let Some(problem) = problem {
            log.note(&Note::debug(problem));
        }
        let sight = match orders.target.host() {
            Host::Foreign(_) => None,
            Host::Local(_) | Host::Localhost => {
                let (sight, problem) = Sight::open();
                if let Some(problem) = problem {
                    log.note(&Note::debug(problem));
                }
                Some(sight)
            }
        };
        let mind = Supervisor::new(
            limits.clone(),
            orders.labels.clone(),
            orders.target.clone(),
            orders.wait_for_app,
            orders.drain,
            orders.verbosity,
            orders.is_expected,
        );
        Self {
            mind: match orders.lock {
                Lock::StandBy => mind.standing_by(),
                Lock::Held | Lock::Refused => mind,
            },
            clients: Clients::of_lock(orders.lock == Lock::Held),
            agent_sha256: agent_file::noted_checksum(&orders.agent),
            orders,
            limits,
            log,
            started: Instant::now(),
            signals,
            sight,
            last_look: None,
            connection: None,
            agent: None,
            leftovers_of: None,
            told_to_end: false,
            app_has_ended: false,
            is_finished: false,
        }
    }

    /// Runs until the app has ended and the agent with it.
    pub(crate) fn run(mut self) -> Result<(), Errno> {
        if self.orders.wait_for_app && self.orders.lock != Lock::StandBy {
            let target = self.orders.target.to_string();
            self.log.note(&Note::debug(Message::Waiting { target }));
        }
        let result = self.work();
        if result.is_err() {
            self.signal(Signal::KILL);
        }
        self.cancel_connection();
        self.reap_agent();
        self.leftovers_of.get_or_insert_with(process::getpid);
        self.end_leftovers();
        result
    }

    fn work(&mut self) -> Result<(), Errno> {
        while !self.is_finished {
            self.wait()?;
            self.read_signals();
            self.notice_app();
            self.keep_time();
            // Last, as anyone can come, and as often as they like.
            self.answer_clients();
        }
        Ok(())
    }

    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    /// Tells the state machine of an event, and does what it answers.
    fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.mind.handle(event, self.now()) {
                match action {
                    Action::Say(note) => self.log.note(&note),
                    Action::TryLock => events.push(self.try_lock()),
                    Action::ReleaseLock => {
                        let mark = lock::mark(&self.orders.target.place());
                        self.clients.release_lock(mark);
                    }
                    Action::Start(loopback) => events.push(self.start(loopback)),
                    Action::Terminate => self.signal(Signal::TERM),
                    Action::Kill => self.signal(Signal::KILL),
                    Action::Reap => self.reap_agent(),
                    Action::Finish => self.is_finished = true,
                }
            }
        }
    }

    fn try_lock(&mut self) -> Event {
        let lock = lock::acquire(&self.orders.target.place());
        let is_taken = lock.is_ok_and(|lock| self.clients.take_lock(&lock));
        Event::LockTried { is_taken }
    }

    fn start(&mut self, loopback: Loopback) -> Event {
        self.end_leftovers();
        let url = self.orders.target.url(loopback);
        match Agent::start(&self.orders, &url) {
            Ok(agent) => {
                self.agent = Some(agent);
                Event::AgentStarted { url }
            }
            Err(error) => Event::AgentExited {
                exit: Exit::NotStarted(error.to_string()),
                others_live: false,
                jitter: Jitter::draw(),
            },
        }
    }

    /// Signals the agent and all that is below it, each process once.
    fn signal(&self, signal: Signal) {
        let Some(agent) = &self.agent else {
            return;
        };
        // Listed first, as some may lose their parents by the signal.
        let mut others = self.descendants();
        others.retain(|other| other.group != agent.leader().as_raw_pid());
        agent.signal(signal);
        for other in others {
            let _gone = process::kill_process(other.pid, signal);
        }
    }

    /// The living processes below the supervisor, except an attempt to connect.
    fn descendants(&self) -> Vec<Descendant> {
        let connection = self.connection.as_ref().map(|connection| connection.pid);
        let mut descendants = descendants::living();
        descendants.retain(|descendant| Some(descendant.pid) != connection);
        descendants
    }

    /// Whether a process lives below the supervisor besides an attempt to connect. For use while the agent does not.
    fn others_live(&self) -> bool {
        match self.connection {
            None => descendants::has_living_child(),
            Some(_) => !self.descendants().is_empty(),
        }
    }

    fn reap_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.leftovers_of = Some(agent.leader());
            agent.reap();
            self.kill_leftovers();
        }
    }

    /// Kills what an earlier agent left behind. Those that have lost their parents by that are children of the supervisor next time.
    fn kill_leftovers(&mut self) {
        let Some(agent) = self.leftovers_of else {
            return;
        };
        if !self.others_live() {
            self.leftovers_of = None;
            return;
        }
        let connection = self.connection.as_ref().map(|connection| connection.pid);
        for leftover in descendants::living_or_guessed(agent) {
            if Some(leftover) != connection {
                let _gone = process::kill_process(leftover, Signal::KILL);
            }
        }
    }

    /// Waits until nothing of an earlier agent is left, zombies included, but not for what the kernel does not let go of.
    fn end_leftovers(&mut self) {
        const PAUSE: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 10_000_000,
        };
        let deadline = Instant::now() + self.limits.farewell;
        loop {
            self.kill_leftovers();
            let _next_look_comes_soon = self.reap_others();
            if self.leftovers_of.is_none() || Instant::now() >= deadline {
                return;
            }
            let mut descriptors: Vec<PollFd<'_>> = self
                .signals
                .descriptor()
                .into_iter()
                .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
                .collect();
            let _until_a_child_ends = rustix::event::poll(&mut descriptors, Some(&PAUSE));
            self.told_to_end |= self.signals.read();
        }
    }

    /// Sleeps until something happens or the time of the next look or timer has come.
    fn wait(&mut self) -> Result<(), Errno> {
        let timeout = self.next_wake().map(|moment| {
            let left = moment.saturating_sub(self.now());
            Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: 60,
                tv_nsec: 0,
            })
        });
        let app = (!self.app_has_ended && self.app_has_pidfd()).then(rustix::stdio::stdout);
        let mut descriptors: Vec<PollFd<'_>> =
            [self.signals.descriptor(), self.clients.descriptor(), app]
                .into_iter()
                .flatten()
                .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
                .collect();
        match rustix::event::poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn next_wake(&self) -> Option<Moment> {
        let wake = self.mind.wake();
        let look_at = wake.look_at.map(|at| self.earliest_look(at));
        let app_has_to_be_asked = !self.app_has_ended && !self.app_has_pidfd();
        let poll_at = (app_has_to_be_asked || self.signals.descriptor().is_none())
            .then(|| self.now() + self.limits.poll);
        // Until exec.d has ended, the supervisor is still its child.
        let may_be_child_of_app =
            self.app_as_parent().is_some() || self.now() < self.limits.probe_app;
        let probe_at = wake.next_probe.filter(|_| may_be_child_of_app);
        [
            look_at,
            wake.timer_at,
            probe_at,
            self.clients.wake(),
            poll_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn app_has_pidfd(&self) -> bool {
        matches!(self.orders.app, AppReference::Pidfd { .. })
    }

    /// The app, if the supervisor is its child: the kernel hands it on when exec.d ends, to process 1 or whoever else adopts orphans.
    fn app_as_parent(&self) -> Option<Pid> {
        process::getppid().filter(|parent| self.orders.app.pid() == Some(*parent))
    }

    /// When a look that is wanted at a moment can be taken: dear ones are not taken as often as cheap ones.
    fn earliest_look(&self, wanted: Moment) -> Moment {
        let pause = match (&self.sight, &self.connection) {
            // Its end is a signal; only its time limit needs a wake.
            (_, Some(connection)) => return connection.since + self.limits.connect_timeout * 2,
            (None, None) => self.limits.pause_of_connect,
            (Some(Sight::ProcNet), None) => self.limits.pause_of_proc_net,
            (Some(Sight::SockDiag(_) | Sight::Blind), None) => Duration::ZERO,
        };
        self.last_look
            .map_or(wanted, |last| wanted.max(last + pause))
    }

    fn keep_time(&mut self) {
        if self.is_finished {
            return;
        }
        let wake = self.mind.wake();
        if wake.timer_at.is_some_and(|at| self.now() >= at) {
            self.tell(Event::TimeIsUp);
        }
        if wake
            .look_at
            .is_some_and(|at| self.now() >= self.earliest_look(at))
        {
            self.look();
        }
        self.probe_app();
    }

    /// Probes whether the app waits for the supervisor, together with a look where both are due.
    fn probe_app(&mut self) {
        const SLACK: Duration = Duration::from_millis(20);
        let due = self.mind.wake().next_probe;
        if due.is_some_and(|at| self.now() + SLACK >= at)
            && let Some(app) = self.app_as_parent()
        {
            self.tell(Event::AppProbed(deadlock::probe(app)));
        }
    }

    fn look(&mut self) {
        self.last_look = Some(self.now());
        let port = self.orders.target.port();
        let may_yield = self.mind.may_yield();
        match (&mut self.sight, self.orders.target.host()) {
            (Some(sight), host) => {
                let found = sight.look(host, port);
                for problem in found.problems {
                    self.log.note(&match problem {
                        Message::Blind { .. } => Note::warning(problem),
                        _ => Note::debug(problem),
                    });
                }
                let another_listens = may_yield
                    && found.loopback.is_some_and(|loopback| {
                        self.orders.lock != Lock::Refused
                            && lock::is_marked(&self.orders.target.place())
                            && is_anothers(&sight.inodes(host, loopback, port), self.orders.app)
                    });
                self.tell(if another_listens {
                    Event::AnotherListens
                } else {
                    Event::Looked(found.loopback)
                });
            }
            (None, Host::Foreign(host)) => {
                if let Some(connection) = self.connection.take()
                    && connection.is_over()
                {
                    self.tell(Event::Looked(Some(Loopback::V4)));
                    return;
                }
                let limit = self.limits.connect_timeout;
                match connect::start(&self.orders.program, host, port, limit) {
                    Ok(child) => {
                        self.connection = Some(Connection {
                            pid: Pid::from_child(&child),
                            since: self.now(),
                        });
                    }
                    Err(_) => self.tell(Event::Looked(None)),
                }
            }
            (None, Host::Local(_) | Host::Localhost) => {}
        }
    }

    fn read_signals(&mut self) {
        self.told_to_end |= self.signals.read();
        if std::mem::take(&mut self.told_to_end) {
            self.tell(Event::ToldToEnd);
        }
        // Asked at every wake, not only after SIGCHLD, which is not sent where it was ignored before we were started.
        self.notice_agent();
        if let Some(connected) = self.reap_others() {
            self.tell(Event::Looked(connected.then_some(Loopback::V4)));
        }
        self.kill_leftovers();
    }

    fn notice_agent(&mut self) {
        let Some(agent) = &self.agent else {
            return;
        };
        if let Some(exit) = agent.exit(&self.orders.agent) {
            let others_live = self.others_live();
            self.tell(Event::AgentExited {
                exit,
                others_live,
                jitter: Jitter::draw(),
            });
        }
    }

    /// Reaps the children that are not the agent: its orphans, and an attempt to connect, of which it returns whether it succeeded.
    fn reap_others(&mut self) -> Option<bool> {
        let mut connected = None;
        while let Some(pid) = self.ended_child()
            && let Ok(Some((_, status))) = process::waitpid(Some(pid), WaitOptions::NOHANG)
        {
            if self
                .connection
                .as_ref()
                .is_some_and(|connection| connection.pid == pid)
            {
                self.connection = None;
                connected = Some(status.exit_status() == Some(0));
            }
        }
        connected
    }

    /// A child that has ended and is not the agent, which is reaped only when the state machine says so. While the agent is
    /// unreaped, others may hide behind it; they are found afterwards.
    fn ended_child(&self) -> Option<Pid> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = nix::sys::wait::waitid(Id::All, flags).ok()?;
        let pid = Pid::from_raw(status.pid()?.as_raw())?;
        let is_agent = self
            .agent
            .as_ref()
            .is_some_and(|agent| agent.leader() == pid);
        (!is_agent).then_some(pid)
    }

    fn notice_app(&mut self) {
        if self.app_has_ended {
            return;
        }
        self.app_has_ended = app::has_ended(self.orders.app);
        if self.app_has_ended {
            // The lock is kept until the agent has ended: who stands by would start another one beside it.
            self.cancel_connection();
            self.tell(Event::AppEnded);
        }
    }

    /// Reports to a bounded number of clients. The next turn comes after signals, the app and timers have had theirs.
    fn answer_clients(&mut self) {
        if self.is_finished {
            return;
        }
        let pause = self.limits.poll;
        let mut report = None;
        for _ in 0..self.limits.clients_per_turn {
            let Some(client) = self.clients.next(self.now(), pause) else {
                return;
            };
            if lock::peer(&client).is_some_and(lock::is_trusted) {
                let report = report.get_or_insert_with(|| self.report().to_lines());
                let _gone = rustix::io::write(client, report.as_bytes());
            }
        }
        let next_turn = self.now() + self.limits.clients_interval;
        self.clients.pause_until(next_turn);
    }

    fn report(&self) -> Report {
        Report {
            process_type: self.orders.process_type.clone(),
            agent_sha256: self.agent_sha256.clone(),
            supervisor_pid: Some(std::process::id()),
            agent_pid: self
                .agent
                .as_ref()
                .map(|agent| agent.leader().as_raw_pid().unsigned_abs()),
            ..self.mind.report(self.now())
        }
    }

    fn cancel_connection(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _gone = process::kill_process(connection.pid, Signal::KILL);
        }
    }
}
