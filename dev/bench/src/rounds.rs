//! Commands that take turns, so that all of them share what else the machine does meanwhile.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::measure::{self, Measurement};
use crate::series::Series;

/// A command to measure, with what comes before and after it.
pub(crate) trait Subject {
    fn name(&self) -> &str;

    /// Restores the state that each run starts with.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// The command for one run.
    fn command(&self) -> Command;

    /// Fails if the run did not do what it says; `output` is what it wrote.
    fn check(&mut self, output: &str) -> Result<()>;
}

/// What each run of a subject took, in their order.
pub(crate) struct Measurements {
    pub(crate) name: String,
    runs: Vec<Measurement>,
}

impl Measurements {
    /// In milliseconds.
    pub(crate) fn wall(&self) -> Series {
        self.runs.iter().map(|run| milliseconds(run.wall)).collect()
    }

    /// In milliseconds.
    pub(crate) fn cpu(&self) -> Series {
        self.runs.iter().map(|run| milliseconds(run.cpu)).collect()
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// How many lines of progress there are, at most.
const PROGRESS_LINES: usize = 50;

/// Runs the subjects in turn, `warm_ups` + `runs` times, and returns what each took in the last `runs` of them. What a
/// run writes goes to the file `log`.
pub(crate) fn take_turns<const N: usize>(
    mut subjects: [&mut dyn Subject; N],
    warm_ups: usize,
    runs: usize,
    log: &Path,
) -> Result<[Measurements; N]> {
    let mut taken = subjects.each_ref().map(|subject| Measurements {
        name: subject.name().to_owned(),
        runs: Vec::new(),
    });
    for round in 0..warm_ups + runs {
        if round % runs.div_ceil(PROGRESS_LINES) == 0 {
            eprintln!("Round {round} of {}", warm_ups + runs);
        }
        for (subject, taken) in subjects.iter_mut().zip(&mut taken) {
            let measurement = take_turn(*subject, log).context(taken.name.clone())?;
            taken
                .runs
                .extend((round >= warm_ups).then_some(measurement));
        }
    }
    Ok(taken)
}

fn take_turn(subject: &mut dyn Subject, log: &Path) -> Result<Measurement> {
    subject.prepare()?;
    let measurement = measure::run(&mut subject.command(), log)?;
    let output = String::from_utf8_lossy(&fs_err::read(log)?).into_owned();
    match subject.check(&output) {
        Ok(()) => Ok(measurement),
        Err(error) => bail!("{error}; it wrote:\n{output}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::ensure;
    use std::cell::RefCell;

    /// Writes each call into a diary.
    struct Diarist<'a> {
        name: &'static str,
        diary: &'a RefCell<String>,
        is_broken: bool,
    }

    impl Diarist<'_> {
        fn write(&self, what: &str) {
            *self.diary.borrow_mut() += &[what, self.name, " "].concat();
        }
    }

    impl Subject for Diarist<'_> {
        fn name(&self) -> &str {
            self.name
        }

        fn prepare(&mut self) -> Result<()> {
            self.write("-");
            Ok(())
        }

        fn command(&self) -> Command {
            self.write("");
            let mut command = Command::new("/bin/echo");
            command.arg("hello");
            command
        }

        fn check(&mut self, output: &str) -> Result<()> {
            self.write("+");
            ensure!(!self.is_broken && output == "hello\n", "it only says hello");
            Ok(())
        }
    }

    fn turns(is_broken: bool) -> (Result<[Measurements; 2]>, String) {
        let diary = RefCell::default();
        let log = tempfile::NamedTempFile::new().unwrap();
        let diarist = |name, is_broken| Diarist {
            name,
            diary: &diary,
            is_broken,
        };
        let subjects: [&mut dyn Subject; 2] =
            [&mut diarist("a", false), &mut diarist("b", is_broken)];
        let outcome = take_turns(subjects, 1, 1, log.path());
        (outcome, diary.into_inner())
    }

    #[test]
    fn subjects_take_turns_and_warm_ups_do_not_count() {
        let (outcome, diary) = turns(false);
        assert_eq!(diary, "-a a +a -b b +b -a a +a -b b +b ");
        assert_eq!(outcome.ok().unwrap().map(|taken| taken.runs.len()), [1, 1]);
    }

    #[test]
    fn broken_claim_ends_the_run_with_the_output() {
        let (outcome, diary) = turns(true);
        assert_eq!(diary, "-a a +a -b b +b ");
        let error = format!("{:#}", outcome.err().unwrap());
        assert_eq!(error, "b: it only says hello; it wrote:\nhello\n");
    }
}
