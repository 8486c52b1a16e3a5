//! The files that the buildpack has for an agent whose release does not have them: a program by the
//! name of the agent, which starts the release's program, and what that program needs.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::{self, AGENT};
use crate::files::{self, FILE_MODE, Links, PROGRAM_MODE};
use crate::release::Release;

/// The directory with a directory for each agent, in a package of the buildpack.
const AGENTS: &str = "agents";

/// The file that the launch program reads. It is not beside the agent's program.
const VARIABLES: &str = "variables";

/// The most bytes of a file here.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The files for one agent.
#[derive(Debug)]
pub(crate) struct Wrapper {
    directory: PathBuf,
}

impl Wrapper {
    /// Finds the files for the agent of `release` in a `package` of the buildpack. `None` if the
    /// release has them.
    pub(crate) fn find(package: &Path, release: &Release) -> io::Result<Option<Self>> {
        if release.program == AGENT {
            return Ok(None);
        }
        let directory = package.join(AGENTS).join(&release.agent);
        fs_err::metadata(directory.join(AGENT))?;
        Ok(Some(Self { directory }))
    }

    /// Copies the files beside the agent's program.
    pub(crate) fn install(&self, agent_files: &Path) -> io::Result<()> {
        for entry in fs_err::read_dir(&self.directory)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            if name == VARIABLES {
                continue;
            }
            let installed = agent_files.join(name);
            files::replace(&installed, &read(&path)?)?;
            let is_program = archive::kind_of(&path)?.is_program();
            let mode = if is_program { PROGRAM_MODE } else { FILE_MODE };
            files::set_mode(&installed, mode)?;
        }
        Ok(())
    }

    /// The variables that the agent requires, and the defaults of others, for the launch program.
    pub(crate) fn variables(&self) -> io::Result<Vec<u8>> {
        match read(&self.directory.join(VARIABLES)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result,
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    files::read_small(path, MAX_FILE_BYTES, Links::Follow)
}
