//! The programs that tests run beside an app: of the stand-in, `dev/deny` and `dev/tools`.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::MARK;

/// Their directories, and the mark of their processes.
#[derive(Clone)]
pub(crate) struct Programs {
    /// The first directory that has a program counts.
    pub(crate) directories: Vec<PathBuf>,
    /// The beginning of the marks of all processes.
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

    /// A run of a program, which the reaper ends at the latest.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command.env(MARK, self.mark(name));
        command
    }

    /// A shell that finds the programs, for a script that runs the one of this name. The script is
    /// the next argument.
    pub(crate) fn shell(&self, name: &str) -> Command {
        let own = env::var_os("PATH").unwrap_or_default();
        let directories = self.directories.iter().cloned();
        let path = env::join_paths(directories.chain(env::split_paths(&own)));
        let mut shell = Command::new("/bin/sh");
        shell
            .arg("-c")
            .env("PATH", path.unwrap())
            .env(MARK, self.mark(name));
        shell
    }

    /// The value of [`MARK`] for the processes of this name.
    pub(crate) fn mark(&self, name: &str) -> OsString {
        self.mark.join(name).into()
    }
}
