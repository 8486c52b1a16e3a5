//! What an image has for the launcher: layers, processes, and a link for each of them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::{AGENT, Kit};

/// The process type that every image has.
const PROCESS_TYPE: &str = "web";

/// An image with one buildpack, which has one layer, as a folder.
#[derive(Clone, Debug)]
pub(super) struct Image {
    folder: PathBuf,
}

/// What an exec.d program is.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExecD<'a> {
    /// A copy of this file.
    Program(&'a Path),
    /// A script, which this program runs.
    Script(&'a Path, &'a str),
}

impl Image {
    /// Makes an image whose one process is `process`, and whose layer has the agent of the benchmarks and perhaps an exec.d program.
    pub(super) fn new(
        kit: &Kit,
        name: &str,
        process: &Path,
        exec_d: Option<ExecD>,
    ) -> io::Result<Self> {
        let image = Self {
            folder: kit.work("images").join(name),
        };
        let layer = image.layers().join("backplane_agent/agent");
        for folder in ["app", "layers/config", "cnb/process"] {
            fs_err::create_dir_all(image.folder.join(folder))?;
        }
        install(&layer.join("libexec").join(AGENT), |path| {
            fs_err::copy(kit.program("bench-agent"), path).map(drop)
        })?;
        match exec_d {
            None => {}
            Some(ExecD::Program(program)) => install(&layer.join("exec.d/launch"), |path| {
                fs_err::copy(program, path).map(drop)
            })?,
            Some(ExecD::Script(interpreter, script)) => {
                install(&layer.join("exec.d/launch"), |path| {
                    fs_err::write(path, format!("#!{}\n{script}", interpreter.display()))
                })?;
            }
        }
        fs_err::write(
            image.layers().join("config/metadata.toml"),
            format!(
                "[[buildpacks]]\napi = \"0.10\"\nid = \"backplane/agent\"\nversion = \"0.1.0\"\n\n\
                 [[processes]]\ntype = \"{PROCESS_TYPE}\"\ncommand = [{:?}]\nargs = []\ndirect = true\n\
                 buildpack-id = \"backplane/agent\"\n",
                process.display().to_string()
            ),
        )?;
        symlink(kit.lifecycle("launcher"), image.link())?;
        Ok(image)
    }

    /// A launch of the image's process, with all that it takes to get an agent for this port.
    pub(super) fn launch(&self, port: u16) -> Command {
        let mut command = Command::new(self.link());
        command.env_clear().envs([
            ("PATH", OsStr::new("/usr/local/bin:/usr/bin:/bin")),
            ("HOME", OsStr::new("/")),
            ("CNB_PLATFORM_API", OsStr::new("0.12")),
            ("CNB_LAYERS_DIR", self.layers().as_os_str()),
            ("CNB_APP_DIR", self.folder.join("app").as_os_str()),
            ("PORT", OsStr::new(&port.to_string())),
            ("BACKPLANE_TOKEN", OsStr::new("token")),
            ("BACKPLANE_LABELS", OsStr::new("some=label")),
            // So that there are lists to compare with.
            ("BACKPLANE_IGNORE_PROCESS_TYPE", OsStr::new("worker, clock")),
            ("BACKPLANE_PROCESS_ALLOW", OsStr::new("www, web")),
        ]);
        command
    }

    /// The same with the process type among those that get no agent.
    pub(super) fn launch_skipped(&self, port: u16) -> Command {
        let mut command = self.launch(port);
        command.env("BACKPLANE_IGNORE_PROCESS_TYPE", "worker, web");
        command
    }

    fn layers(&self) -> PathBuf {
        self.folder.join("layers")
    }

    /// The launcher runs the process that it is called by the name of.
    fn link(&self) -> PathBuf {
        self.folder.join("cnb/process").join(PROCESS_TYPE)
    }
}

/// Makes a file and the folders above it, and makes it executable.
fn install(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    fs_err::create_dir_all(path.parent().expect("it is below the image's folder"))?;
    write(path)?;
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o755))
}
