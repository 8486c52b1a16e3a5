//! The files that a compile puts into the app: the agent and our launch program in `.backplane`,
//! and the script that runs it at launch.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::AGENT;
use crate::files::{self, PROGRAM_MODE};
use crate::install::{self, FILES_DIRECTORY};
use crate::metadata::AgentMetadata;
use crate::wrapper::Wrapper;

/// Our directory in the app, with the layout of the other front end's layer.
const DIRECTORY: &str = ".backplane";

/// The directory of scripts that the shell of a dyno reads before it runs the process
/// (<https://devcenter.heroku.com/articles/buildpack-api#profile-d-scripts>).
const START_SCRIPTS: &str = ".profile.d";

/// Our script. It has the same name as the original buildpack's, so that only one of them exists:
/// two would start an agent each.
const START_SCRIPT: &str = "backplane.sh";

/// Where the original buildpack put the agent, and where a Procfile finds programs.
const BIN: &str = "bin";

/// The program that runs the app's command.
const RUN: &str = "backplane-run";

/// An app that becomes a slug.
pub(super) struct Slug<'a> {
    pub(super) app: &'a Path,
}

impl Slug<'_> {
    /// Puts the launch program into the app, with the script that runs it. Returns whether the
    /// directory of start scripts replaced something else in the app.
    pub(super) fn put_launch_program(&self, program: &Path) -> io::Result<bool> {
        let exec_d = self.directory().join("exec.d");
        files::make_directory(&self.directory())?;
        files::remove(&exec_d)?;
        files::make_directory(&exec_d)?;
        let launch = exec_d.join("launch");
        fs_err::copy(program, &launch)?;
        files::set_mode(&launch, PROGRAM_MODE)?;
        let (directory, is_replaced) = self.start_scripts()?;
        files::replace(
            &directory.join(START_SCRIPT),
            include_bytes!("../../../classic/profile.d/backplane.sh"),
        )?;
        Ok(is_replaced)
    }

    /// The directory that a dyno reads scripts from, and whether it replaced something else. It may
    /// be a link to another directory of the app.
    fn start_scripts(&self) -> io::Result<(PathBuf, bool)> {
        let path = self.app.join(START_SCRIPTS);
        if let Some(real) = self.directory_behind(&path) {
            files::make_directory(&real)?;
            return Ok((real, false));
        }
        let is_usable = files::is_directory(&path) || fs_err::symlink_metadata(&path).is_err();
        files::make_directory(&path)?;
        Ok((path, !is_usable))
    }

    /// The directory of the app that `link` leads to. It must also do so on a dyno, where the app
    /// has another path.
    fn directory_behind(&self, link: &Path) -> Option<PathBuf> {
        let is_relative = fs_err::read_link(link).ok()?.is_relative();
        let app = fs_err::canonicalize(self.app).ok()?;
        let real = fs_err::canonicalize(link).ok()?;
        (is_relative && real.starts_with(app) && real.is_dir()).then_some(real)
    }

    /// Copies the agent's files from the directory of the installation into the app, and adds our
    /// own.
    pub(super) fn put_agent(
        &self,
        installed: &Path,
        metadata: Option<&AgentMetadata>,
        wrapper: Option<&Wrapper>,
    ) -> io::Result<()> {
        let directory = self.directory().join(FILES_DIRECTORY);
        files::remove(&directory)?;
        files::make_directory(&directory)?;
        for name in metadata.iter().flat_map(|metadata| metadata.files.keys()) {
            // Its mode, which the installation set, is copied too.
            fs_err::copy(
                installed.join(FILES_DIRECTORY).join(name),
                directory.join(name),
            )?;
        }
        install::write_buildpack_files(&self.directory(), metadata, wrapper)?;
        // The Procfile may name it, whether or not there is an agent.
        self.link_in_bin(RUN)?;
        if metadata.is_some() {
            // For users and scripts that know it from the original buildpack.
            self.link_in_bin(AGENT)?;
        }
        Ok(())
    }

    /// Links a name in the app's `bin/` to the program of that name beside the agent, unless the app
    /// has a file by that name.
    fn link_in_bin(&self, name: &str) -> io::Result<()> {
        let bin = &self.app.join(BIN);
        if fs_err::symlink_metadata(bin).is_err() {
            files::make_directory(bin)?;
        }
        // Not through a link, which may lead out of the app.
        if !files::is_directory(bin) {
            return Ok(());
        }
        let program = Path::new("..")
            .join(DIRECTORY)
            .join(FILES_DIRECTORY)
            .join(name);
        match fs_err::os::unix::fs::symlink(program, bin.join(name)) {
            // The name is taken, or the app's directory is read-only. The app starts without the
            // link.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    fn directory(&self) -> PathBuf {
        self.app.join(DIRECTORY)
    }
}

#[cfg(test)]
mod tests;
