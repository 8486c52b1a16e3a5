//! The boot of an app that ends at once: what an exec.d program adds to it.

use std::error::Error;
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use backplane_bench_probe::Stamp;
use rustix::process::Signal;

use super::household::Household;
use super::image::{ExecD, Image};
use super::peer;
use super::port::Port;
use super::programs::Programs;
use crate::kit::Kit;
use crate::measure::Limits;
use crate::rounds::{self, Measurements, Subject, SubjectError};

/// What the boots took.
#[derive(Clone, Debug)]
pub(super) struct Boots {
    /// Without an exec.d program.
    pub(super) none: Measurements,
    /// With one that does nothing.
    pub(super) empty: Measurements,
    pub(super) ours: Measurements,
    pub(super) bash: Measurements,
    /// Where the process type is one that gets no agent.
    pub(super) ours_skipped: Measurements,
    pub(super) bash_skipped: Measurements,
}

/// What a boot leaves behind.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Nothing,
    /// A supervisor, which ends because the app has ended.
    Supervisor,
    /// An agent, which nobody ends.
    Agent,
}

/// A launch of `true`.
struct Boot<'a> {
    name: &'static str,
    image: Image,
    port: u16,
    leaves: Leaves,
    /// Whether the process type is one that gets no agent.
    is_skipped: bool,
    household: &'a Household,
    log: PathBuf,
    limit: Duration,
}

/// Measures all boots, in turn.
pub(super) fn measure(
    kit: &Kit,
    programs: &Programs,
    household: &Household,
    runs: NonZeroUsize,
    limits: &Limits,
) -> Result<Boots, Box<dyn Error>> {
    let port = Port::take()?;
    let script = peer::start_once();
    let image = |name, exec_d| Image::new(kit, name, Path::new("/bin/true"), exec_d);
    let none = image("none", None)?;
    let empty = image("empty", Some(ExecD::Program(&programs.empty)))?;
    let ours = image("ours", Some(ExecD::Program(&programs.launch)))?;
    let bash = image("bash", Some(ExecD::Script(Path::new(peer::BASH), &script)))?;
    let log = kit.work("log");
    let boot = |name, image: &Image, leaves| Boot {
        name,
        image: image.clone(),
        port: port.number,
        leaves,
        is_skipped: false,
        household,
        log: log.clone(),
        limit: limits.start,
    };
    let skipped = |name, image| Boot {
        is_skipped: true,
        ..boot(name, image, Leaves::Nothing)
    };
    let [none, empty, ours, bash, ours_skipped, bash_skipped] = rounds::take_turns(
        [
            &mut boot("boot without exec.d", &none, Leaves::Nothing),
            &mut boot("boot with an empty exec.d program", &empty, Leaves::Nothing),
            &mut boot("boot with ours", &ours, Leaves::Supervisor),
            &mut boot("boot with a bash script", &bash, Leaves::Agent),
            &mut skipped("boot with ours, skipped", &ours),
            &mut skipped("boot with a bash script, skipped", &bash),
        ],
        WARM_UPS,
        runs,
        &log,
        limits.run,
    )?;
    Ok(Boots {
        none,
        empty,
        ours,
        bash,
        ours_skipped,
        bash_skipped,
    })
}

/// How many rounds come before those that count: the first ones read programs from the disk.
const WARM_UPS: usize = 3;

impl Boot<'_> {
    /// Waits until an agent that nobody waits for has said that it is there.
    fn wait_for_agent(&self) -> Result<(), SubjectError> {
        let deadline = Instant::now() + self.limit;
        loop {
            let output = fs_err::read_to_string(&self.log)?;
            if output.lines().any(|line| line.parse::<Stamp>().is_ok()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(SubjectError::Broken("it starts no agent".to_owned()));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Subject for Boot<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&mut self) -> Result<(), SubjectError> {
        Ok(())
    }

    fn command(&self) -> Command {
        if self.is_skipped {
            self.image.launch_skipped(self.port)
        } else {
            self.image.launch(self.port)
        }
    }

    /// What is left behind is over when this returns, so it does not disturb the next run.
    fn check(&mut self, output: &str) -> Result<(), SubjectError> {
        let left = match self.leaves {
            Leaves::Nothing | Leaves::Supervisor => self.household.wait_for_all()?,
            Leaves::Agent => {
                self.wait_for_agent()?;
                self.household.kill_all()?
            }
        };
        let was_killed = |status: &ExitStatus| status.signal() == Some(Signal::KILL.as_raw());
        let is_as_said = match (self.leaves, &left[..]) {
            (Leaves::Nothing, []) => output.is_empty(),
            (Leaves::Supervisor, [supervisor]) => output.is_empty() && supervisor.success(),
            (Leaves::Agent, [agent]) => was_killed(agent),
            _ => false,
        };
        if is_as_said {
            return Ok(());
        }
        let leaves = self.leaves;
        let claim = format!("it leaves {leaves:?}; these were left: {left:?}");
        Err(SubjectError::Broken(claim))
    }
}
