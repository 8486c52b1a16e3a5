//! What an image has for the launcher: layers, processes, and a link for each of them.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::bundle::{AGENT, Bundle};

/// The process type that every image has.
const PROCESS_TYPE: &str = "web";

/// The directory of the agent, and the exec.d program beside it.
const LIBEXEC: &str = "layers/backplane_agent/agent/libexec";
const EXEC_D: &str = "layers/backplane_agent/agent/exec.d";

/// An image with one buildpack, which has one layer, as a directory.
#[derive(Debug)]
pub(super) struct Image(PathBuf);

/// Runs its arguments as process 1 of a PID namespace. It needs a user namespace, because the benchmark is an ordinary user.
pub(super) fn container() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-current-user", "--mount-proc", "--pid"]);
    command.args(["--fork", "--kill-child"]);
    command
}

/// An exec.d program.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExecD<'a> {
    /// A copy of this file.
    Program(&'a Path),
    /// An interpreter and its script.
    Script(&'a Path, &'a str),
}

impl Image {
    /// Makes an image whose one process is `process`, and whose layer has the agent of the benchmarks and perhaps an exec.d program.
    pub(super) fn new(
        bundle: &Bundle,
        name: &str,
        process: &Path,
        exec_d: Option<ExecD>,
    ) -> Result<Self> {
        let directories = ["app", "layers/config", "cnb/process", LIBEXEC, EXEC_D];
        let image = Self(bundle.make_work(&format!("images/{name}"), &directories)?);
        fs_err::copy(
            bundle.program("bench-probe"),
            image.0.join(LIBEXEC).join(AGENT),
        )?;
        let launch = image.0.join(EXEC_D).join("launch");
        match exec_d {
            None => {}
            Some(ExecD::Program(program)) => drop(fs_err::copy(program, &launch)?),
            Some(ExecD::Script(interpreter, script)) => {
                fs_err::write(&launch, format!("#!{}\n{script}", interpreter.display()))?;
                fs_err::set_permissions(&launch, PermissionsExt::from_mode(0o755))?;
            }
        }
        image.write_command(&[process])?;
        symlink(bundle.lifecycle("launcher"), image.link())?;
        Ok(image)
    }

    /// The image with another agent.
    pub(super) fn with_agent(self, agent: &Path) -> Result<Self> {
        fs_err::copy(agent, self.0.join(LIBEXEC).join(AGENT))?;
        Ok(self)
    }

    /// The image with `backplane-run`, a link to the exec.d program, in front of its process.
    pub(super) fn below_run(self, process: &Path) -> Result<Self> {
        let run = self.0.join(LIBEXEC).join("backplane-run");
        symlink("../exec.d/launch", &run)?;
        self.write_command(&[&run, process])?;
        Ok(self)
    }

    fn write_command(&self, command: &[&Path]) -> Result<()> {
        fs_err::write(
            self.0.join("layers/config/metadata.toml"),
            format!(
                "[[buildpacks]]\napi = \"0.10\"\nid = \"backplane/agent\"\nversion = \"0.1.0\"\n\n\
                 [[processes]]\ntype = \"{PROCESS_TYPE}\"\ncommand = {command:?}\nargs = []\ndirect = true\n\
                 buildpack-id = \"backplane/agent\"\n"
            ),
        )?;
        Ok(())
    }

    /// A launch of the image's process, with all that it takes to get an agent for this port.
    pub(super) fn launch(&self, port: u16) -> Command {
        self.launch_by(Command::new(self.link()), port)
    }

    /// The same below a command that has the process as process 1 of its own PID namespace: when that exits, the kernel kills all
    /// others of the namespace.
    pub(super) fn launch_in_container(&self, port: u16) -> Command {
        let mut command = container();
        command.arg(self.link());
        self.launch_by(command, port)
    }

    fn launch_by(&self, mut command: Command, port: u16) -> Command {
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/")
            .env("CNB_PLATFORM_API", "0.12")
            .env("CNB_LAYERS_DIR", self.0.join("layers"))
            .env("CNB_APP_DIR", self.0.join("app"))
            .env("PORT", port.to_string())
            .env("BACKPLANE_TOKEN", "token")
            .env("BACKPLANE_LABELS", "some=label")
            // So that there are lists to compare with.
            .env("BACKPLANE_IGNORE_PROCESS_TYPE", "worker, clock")
            .env("BACKPLANE_PROCESS_ALLOW", "www, web");
        command
    }

    /// The launcher runs the process that it is called by the name of.
    fn link(&self) -> PathBuf {
        self.0.join("cnb/process").join(PROCESS_TYPE)
    }
}
