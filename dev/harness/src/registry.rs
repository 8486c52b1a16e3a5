//! A registry of images on loopback, and packages to publish in it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::prebuild::{copy, make};
use crate::server_process::ServerProcess;
use crate::{ARCHITECTURE, command, documented, root};

/// How long a push or a request may take.
const DEADLINE: Duration = Duration::from_mins(2);

/// The architecture that is not this machine's.
pub const OTHER_ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "amd64"
} else {
    "arm64"
};

/// `EM_X86_64` or `EM_AARCH64`, as the header of an ELF file for [`OTHER_ARCHITECTURE`] has it.
const OTHER_MACHINE: [u8; 2] = if cfg!(target_arch = "aarch64") {
    [62, 0]
} else {
    [183, 0]
};

/// The real registry of the project distribution. It is killed when this is dropped.
pub struct Registry {
    _process: ServerProcess,
    /// Its host and port.
    pub address: String,
    /// Its storage and its configuration.
    _directory: TempDir,
}

impl Registry {
    /// Starts it on a port that the kernel chooses.
    #[track_caller]
    pub fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let configuration = directory.path().join("registry.yml");
        let storage = directory.path().join("storage");
        let content = format!(
            "version: 0.1\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\n\
             http: {{addr: 127.0.0.1:0}}\n",
            storage.display()
        );
        fs::write(&configuration, content).unwrap();
        // Its log is on standard error.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", r#"exec "$0" serve "$1" 2>&1"#])
            .arg(root().join("target/tools/bin/registry"))
            .arg(configuration);
        let process = ServerProcess::start(&mut command, drop);
        let address = process.wait_for_line(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split('"').next()?.to_owned())
        });
        Self {
            address: address.expect("the registry listens; run script/bootstrap if it is missing"),
            _process: process,
            _directory: directory,
        }
    }

    /// Publishes the packages of a directory under names in this registry, by the document's
    /// command. Returns the name with a digest that it prints.
    #[track_caller]
    pub fn publish(&self, packages: &Path, names: &[&str]) -> String {
        let command = documented("docs/installing.md", "script/publish --from DIRECTORY ");
        let (command, _name) = command.rsplit_once(' ').unwrap();
        let command = command.replace("DIRECTORY", r#""$0""#);
        let mut script = Command::new("/bin/sh");
        script.args(["-c", &format!(r#"{command} "$@""#)]);
        script.arg(packages).current_dir(root());
        script.args(names.iter().map(|name| format!("{}/{name}", self.address)));
        let (status, stdout, stderr) = command::run_apart(&mut script, DEADLINE);
        assert!(status.success(), "{stdout}{stderr}");
        stdout.lines().last().expect("it prints a name").to_owned()
    }

    /// The manifest or the index of this name.
    #[track_caller]
    pub fn manifest(&self, name: &str) -> String {
        let mut crane = Command::new(root().join("target/tools/bin/crane"));
        crane.args(["manifest", &format!("{}/{name}", self.address)]);
        let (status, stdout, stderr) = command::run_apart(&mut crane, DEADLINE);
        assert!(status.success(), "{stderr}");
        stdout
    }
}

/// A directory with the packages of both architectures, as `script/package --cnb` makes them.
///
/// The one for [`OTHER_ARCHITECTURE`] is a stand-in for these tests: the package of this machine,
/// with the other machine in the headers of its programs. Neither machine can run them. So a build
/// that takes the wrong image of an index fails.
pub fn packages_of_both_architectures() -> TempDir {
    let made = make(Command::new(root().join("script/package")).arg("--cnb"));
    made.unwrap_or_else(|problem| panic!("{problem}"));
    let packages = root().join("target/package");
    let directory = TempDir::new().unwrap();
    let file = |architecture: &str| {
        let version = env!("CARGO_PKG_VERSION");
        format!("backplane_agent-{version}-linux-{architecture}.cnb")
    };
    let own = file(ARCHITECTURE);
    fs::copy(packages.join(&own), directory.path().join(&own)).unwrap();

    let stand_in = directory.path().join("stand-in");
    copy(&packages.join("backplane_agent"), &stand_in).unwrap();
    for program in [".libcnb-cargo/additional-bin/launch", "bin/build"] {
        let path = stand_in.join(program);
        let mut content = fs::read(&path).unwrap();
        // e_machine.
        content[18..20].copy_from_slice(&OTHER_MACHINE);
        fs::write(&path, content).unwrap();
    }
    let mut pack = Command::new(root().join("target/tools/bin/pack"));
    pack.args(["buildpack", "package", "--format", "file", "--target"])
        .arg(format!("linux/{OTHER_ARCHITECTURE}"))
        .arg("--path")
        .arg(&stand_in)
        .arg(directory.path().join(file(OTHER_ARCHITECTURE)))
        .env("PACK_HOME", directory.path().join("pack"));
    let (status, output) = command::run(&mut pack, DEADLINE);
    assert!(status.success(), "{output}");
    directory
}
