//! What a compile puts into the app: the agent and our launch program in `.backplane`, and the script that runs it at launch.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::AGENT;
use crate::files::{self, DIRECTORY_MODE};
use crate::install::{self, FILES_FOLDER};
use crate::output::Output;
use crate::record::Record;
use crate::warnings;

/// The folder of the app that is ours, with the layout of the other front end's layer.
const FOLDER: &str = ".backplane";

/// The directory of scripts that the shell of a dyno reads before it runs the process
/// (<https://devcenter.heroku.com/articles/buildpack-api#profile-d-scripts>).
const START_SCRIPTS: &str = ".profile.d";

/// Ours among them. The original buildpack's had the same name: one of both is there, never two that start an agent each.
const START_SCRIPT: &str = "backplane.sh";

/// Where the original buildpack put the agent.
const ORIGINAL_AGENT: &str = "bin/backplane";

/// The app on its way to become a slug.
pub(super) struct Slug<'a> {
    app: &'a Path,
    output: &'a dyn Output,
}

impl<'a> Slug<'a> {
    pub(super) fn of(app: &'a Path, output: &'a dyn Output) -> Self {
        Self { app, output }
    }

    /// Puts the launch program into the app, with the script that runs it.
    pub(super) fn put_launch_program(&self, program: &Path) -> io::Result<()> {
        let exec_d = self.folder().join("exec.d");
        files::make_directory(&self.folder())?;
        files::remove(&exec_d)?;
        files::make_directory(&exec_d)?;
        let launch = exec_d.join("launch");
        fs_err::copy(program, &launch)?;
        files::set_mode(&launch, DIRECTORY_MODE)?;
        files::replace(
            &self.start_scripts()?.join(START_SCRIPT),
            include_bytes!("../../classic/profile.d/backplane.sh"),
        )
    }

    /// The directory that a dyno reads scripts from. The app may bring it as a link to another directory of the app: then it is that one.
    fn start_scripts(&self) -> io::Result<PathBuf> {
        let path = self.app.join(START_SCRIPTS);
        let is_usable = files::is_directory(&path) || fs_err::symlink_metadata(&path).is_err();
        if let Some(real) = self.directory_behind(&path) {
            files::make_directory(&real)?;
            return Ok(real);
        }
        if !is_usable {
            self.output.warning(&warnings::start_scripts_replaced());
        }
        files::make_directory(&path)?;
        Ok(path)
    }

    /// The directory of the app that `link` leads to, if it does so wherever the app is: it runs elsewhere than it is built.
    fn directory_behind(&self, link: &Path) -> Option<PathBuf> {
        let is_relative = fs_err::read_link(link).ok()?.is_relative();
        let app = fs_err::canonicalize(self.app).ok()?;
        let real = fs_err::canonicalize(link).ok()?;
        (is_relative && real.starts_with(app) && real.is_dir()).then_some(real)
    }

    /// Copies the agent's files into the app, from the folder that it is installed in, and puts our own beside them.
    pub(super) fn put_agent(&self, installed: &Path, record: Option<&Record>) -> io::Result<()> {
        let directory = self.folder().join(FILES_FOLDER);
        files::remove(&directory)?;
        files::make_directory(&directory)?;
        for name in record.iter().flat_map(|record| record.files.keys()) {
            // With its mode, which was set when it was installed.
            fs_err::copy(
                installed.join(FILES_FOLDER).join(name),
                directory.join(name),
            )?;
        }
        install::put_own_files(&self.folder(), record)?;
        if record.is_some() {
            self.link_original_agent()?;
        }
        Ok(())
    }

    /// Makes `bin/backplane`, which scripts and people know from the original buildpack, lead to the agent; unless the app has something
    /// of that name, which is then meant.
    fn link_original_agent(&self) -> io::Result<()> {
        let link = self.app.join(ORIGINAL_AGENT);
        let bin = link.parent().unwrap_or(self.app);
        if fs_err::symlink_metadata(bin).is_err() {
            files::make_directory(bin)?;
        }
        // Not by way of a link, which may lead out of the app.
        if !files::is_directory(bin) {
            return Ok(());
        }
        let agent = Path::new("..").join(FOLDER).join(FILES_FOLDER).join(AGENT);
        match fs_err::os::unix::fs::symlink(agent, link) {
            // It is taken, or the app's directory is read-only; an app starts without it.
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

    fn folder(&self) -> PathBuf {
        self.app.join(FOLDER)
    }
}

#[cfg(test)]
mod tests;
