//! The programs that tests run beside an app: the stand-in's, those of `dev/deny`, and what `dev/tools` pins.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::MARK;

/// The directories that they are in, and how their processes are marked.
#[derive(Clone)]
pub(crate) struct Programs {
    /// The first of them that has a program is the one that is run.
    pub(crate) directories: Vec<PathBuf>,
    /// What the marks of all processes begin with.
    pub(crate) mark: PathBuf,
}

impl Programs {
    /// The file of a program.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let candidates = self
            .directories
            .iter()
            .map(|directory| directory.join(name));
        candidates
            .into_iter()
            .find(|path| Path::exists(path))
            .unwrap_or_else(|| panic!("{name} is missing; run script/bootstrap"))
    }

    /// A run of a program, which the reaper ends if nobody else does.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command.env(MARK, self.mark(name));
        command
    }

    /// The value of [`MARK`] for the processes of this name.
    pub(crate) fn mark(&self, name: &str) -> OsString {
        self.mark.join(name).into()
    }
}
