//! Commands that take turns, so that all of them share what else the machine does meanwhile.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::measure::{self, MeasureError, Measurement};
use crate::statistics::Series;

/// A command to measure, with what comes before and after it.
pub(crate) trait Subject {
    /// What it is, in a few words; a progress line or an error begins with it.
    fn name(&self) -> &str;

    /// Makes all as it has to be before a run.
    fn prepare(&mut self) -> Result<(), SubjectError>;

    /// The command for one run.
    fn command(&self) -> Command;

    /// Whether the run did what it says; `output` is what it wrote.
    fn check(&mut self, output: &str) -> Result<(), SubjectError>;
}

/// Errors that can occur before or after a measured run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubjectError {
    /// The words name the file.
    #[error(transparent)]
    File(#[from] io::Error),
    /// What is prepared or restored by a run of its own.
    #[error(transparent)]
    Preparation(#[from] MeasureError),
    /// What it did, which is not what it says.
    #[error("{0}")]
    Broken(String),
}

/// Errors that can occur when commands take turns.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoundsError {
    #[error("{subject}: {error}")]
    Subject {
        subject: String,
        error: SubjectError,
    },
    #[error("{subject}: {error}")]
    Measure {
        subject: String,
        error: MeasureError,
    },
    #[error("{subject} did not do what it says: {claim}; it wrote:\n{output}")]
    Claim {
        subject: String,
        claim: String,
        output: String,
    },
}

/// What all runs of a subject took, in their order; there is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Measurements(Vec<Measurement>);

impl Measurements {
    /// In milliseconds.
    pub(crate) fn wall(&self) -> Series {
        self.series(|measurement| milliseconds(measurement.wall))
    }

    /// In milliseconds.
    pub(crate) fn cpu(&self) -> Series {
        self.series(|measurement| milliseconds(measurement.cpu))
    }

    /// The highest peak of all runs, in bytes; none if any of them is not known.
    pub(crate) fn peak(&self) -> Option<u64> {
        let peaks: Option<Vec<u64>> = self.0.iter().map(|run| run.peak).collect();
        peaks?.into_iter().max()
    }

    /// Of runs that took these times, wall and CPU, in milliseconds.
    #[cfg(test)]
    pub(crate) fn of_milliseconds(runs: &[(u64, u64)]) -> Self {
        let run = |(wall, cpu): &(u64, u64)| Measurement {
            wall: Duration::from_millis(*wall),
            cpu: Duration::from_millis(*cpu),
            peak: None,
        };
        Self(runs.iter().map(run).collect())
    }

    fn series(&self, figure: impl Fn(&Measurement) -> f64) -> Series {
        Series::of(self.0.iter().map(figure)).expect("take_turns runs everything at least once")
    }
}

/// As a number with a fraction, for statistics.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// How many lines tell of the progress, at most.
const PROGRESS_LINES: usize = 50;

/// Runs the subjects in turn, `warm_ups` + `runs` times, and gives what each took in the last `runs` of them. What a run
/// writes goes to the file `log`.
pub(crate) fn take_turns<const N: usize>(
    mut subjects: [&mut dyn Subject; N],
    warm_ups: usize,
    runs: NonZeroUsize,
    log: &Path,
    limit: Duration,
) -> Result<[Measurements; N], RoundsError> {
    let mut taken = [(); N].map(|()| Vec::with_capacity(runs.get()));
    for round in 0..warm_ups + runs.get() {
        match round.checked_sub(warm_ups) {
            None => eprintln!("Warming up"),
            Some(counted) if counted.is_multiple_of(runs.get().div_ceil(PROGRESS_LINES)) => {
                eprintln!("Run {} of {runs}", counted + 1);
            }
            Some(_) => {}
        }
        for (subject, taken) in subjects.iter_mut().zip(&mut taken) {
            let measurement = take_turn(*subject, log, limit)?;
            if round >= warm_ups {
                taken.push(measurement);
            }
        }
    }
    Ok(taken.map(Measurements))
}

fn take_turn(
    subject: &mut dyn Subject,
    log: &Path,
    limit: Duration,
) -> Result<Measurement, RoundsError> {
    let name = subject.name().to_owned();
    let failed = |error| RoundsError::Subject {
        subject: name.clone(),
        error,
    };
    subject.prepare().map_err(failed)?;
    let measurement =
        measure::run(&mut subject.command(), log, limit).map_err(|error| RoundsError::Measure {
            subject: name.clone(),
            error,
        })?;
    let output = fs_err::read(log).map_err(|error| failed(error.into()))?;
    let output = String::from_utf8_lossy(&output);
    match subject.check(&output) {
        Err(SubjectError::Broken(claim)) => Err(RoundsError::Claim {
            subject: name,
            claim,
            output: output.trim_end().to_owned(),
        }),
        outcome => outcome.map_err(failed).map(|()| measurement),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Writes its name into a diary whenever it is asked for something.
    struct Diarist<'a> {
        name: &'static str,
        diary: &'a RefCell<String>,
        breaks: bool,
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

        fn prepare(&mut self) -> Result<(), SubjectError> {
            self.write("-");
            Ok(())
        }

        fn command(&self) -> Command {
            self.write("");
            let mut command = Command::new("/bin/echo");
            command.arg("hello");
            command
        }

        fn check(&mut self, output: &str) -> Result<(), SubjectError> {
            self.write("+");
            if self.breaks || output != "hello\n" {
                return Err(SubjectError::Broken("it only says hello".to_owned()));
            }
            Ok(())
        }
    }

    fn turns(breaks: bool) -> (Result<[Measurements; 2], RoundsError>, String) {
        let diary = RefCell::default();
        let log = tempfile::NamedTempFile::new().unwrap();
        let diarist = |name, breaks| Diarist {
            name,
            diary: &diary,
            breaks,
        };
        let outcome = take_turns(
            [&mut diarist("a", false), &mut diarist("b", breaks)],
            1,
            NonZeroUsize::MIN,
            log.path(),
            Duration::from_mins(1),
        );
        (outcome, diary.into_inner())
    }

    #[test]
    fn subjects_take_turns_and_warm_ups_do_not_count() {
        let (outcome, diary) = turns(false);
        assert_eq!(diary, "-a a +a -b b +b -a a +a -b b +b ");
        assert_eq!(outcome.unwrap().map(|taken| taken.0.len()), [1, 1]);
    }

    #[test]
    fn broken_claim_ends_it_with_the_output() {
        let (outcome, diary) = turns(true);
        assert_eq!(diary, "-a a +a -b b +b ");
        assert_eq!(
            outcome.unwrap_err().to_string(),
            "b did not do what it says: it only says hello; it wrote:\nhello"
        );
    }

    #[test]
    fn peak_is_the_highest_and_only_where_all_are_known() {
        let taken = |peaks: &[Option<u64>]| {
            let run = |peak: &Option<u64>| Measurement {
                wall: Duration::ZERO,
                cpu: Duration::ZERO,
                peak: *peak,
            };
            Measurements(peaks.iter().map(run).collect())
        };
        assert_eq!(taken(&[Some(1), Some(3), Some(2)]).peak(), Some(3));
        assert_eq!(taken(&[Some(1), None]).peak(), None);
    }
}
