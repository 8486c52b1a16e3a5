//! What a compile puts into the app: the agent and our launch program in `.backplane`, and the script that runs it at launch.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::archive::AGENT;
use crate::install::{self, FILES_FOLDER};
use crate::record::Record;

/// The folder of the app that is ours, with the layout of the other front end's layer.
const FOLDER: &str = ".backplane";

/// The script that the shell of a dyno reads before it runs the process
/// (<https://devcenter.heroku.com/articles/buildpack-api#profile-d-scripts>). The original buildpack's had the same name: one of both
/// is there, never two that start an agent each.
const START_SCRIPT: &str = ".profile.d/backplane.sh";

/// Where the original buildpack put the agent.
const ORIGINAL_AGENT: &str = "bin/backplane";

/// Any user must be able to enter folders and to run programs, whatever the umask of the build.
const PROGRAM_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// The app on its way to become a slug.
pub(super) struct Slug<'a> {
    app: &'a Path,
}

impl<'a> Slug<'a> {
    pub(super) fn of(app: &'a Path) -> Self {
        Self { app }
    }

    /// Puts the launch program into the app, with the script that runs it.
    pub(super) fn put_launch_program(&self, program: &Path) -> io::Result<()> {
        let folder = self.folder();
        make_folder(&folder)?;
        let exec_d = folder.join("exec.d");
        remove(&exec_d)?;
        make_folder(&exec_d)?;
        let launch = exec_d.join("launch");
        fs_err::copy(program, &launch)?;
        set_mode(&launch, PROGRAM_MODE)?;

        let script = self.app.join(START_SCRIPT);
        fs_err::create_dir_all(script.parent().unwrap_or(self.app))?;
        // Not written through: the app may bring it as a link, or read-only.
        remove(&script)?;
        fs_err::write(
            &script,
            include_str!("../../classic/profile.d/backplane.sh"),
        )?;
        set_mode(&script, FILE_MODE)
    }

    /// Copies the agent's files into the app, from the folder that it is installed in, and puts our own beside them.
    pub(super) fn put_agent(&self, installed: &Path, record: Option<&Record>) -> io::Result<()> {
        let files = self.folder().join(FILES_FOLDER);
        remove(&files)?;
        make_folder(&files)?;
        for name in record.iter().flat_map(|record| record.files.keys()) {
            // With its mode, which was set when it was installed.
            fs_err::copy(installed.join(FILES_FOLDER).join(name), files.join(name))?;
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
        let is_free = match fs_err::symlink_metadata(bin) {
            // Not by way of a link, which may lead out of the app.
            Ok(metadata) => metadata.is_dir() && fs_err::symlink_metadata(&link).is_err(),
            Err(_) => true,
        };
        if !is_free {
            return Ok(());
        }
        fs_err::create_dir_all(bin)?;
        let agent = Path::new("..").join(FOLDER).join(FILES_FOLDER).join(AGENT);
        fs_err::os::unix::fs::symlink(agent, link)
    }

    fn folder(&self) -> PathBuf {
        self.app.join(FOLDER)
    }
}

/// Makes sure that `path` is a folder that anybody may enter, and not a link to one.
fn make_folder(path: &Path) -> io::Result<()> {
    match fs_err::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_dir() => fs_err::remove_file(path)?,
        _ => {}
    }
    fs_err::create_dir_all(path)?;
    set_mode(path, PROGRAM_MODE)
}

/// Removes whatever is at `path`.
fn remove(path: &Path) -> io::Result<()> {
    match fs_err::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs_err::set_permissions(path, PermissionsExt::from_mode(mode))
}

#[cfg(test)]
mod tests;
