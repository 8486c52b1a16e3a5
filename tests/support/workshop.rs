//! What all tests of a run share: the programs under test, the CNB tools, and a folder for everything that the tests make.

use super::preparation::make;
use super::process::MARK;
use nix::unistd::{Gid, Uid, chown, geteuid, setgroups, setresgid, setresuid};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The user that the tests run as where they are started by root: nobody, or whoever has that number.
const ORDINARY_ID: u32 = 65534;

/// The programs of this repository that tests run beside an app: of the stand-in, `as-process-1` and `refuse`.
const PROGRAMS: [&str; 5] = [
    "as-process-1",
    "backplane",
    "backplane-edge",
    "refuse",
    "sample-app",
];

/// What tools/ pins beside the lifecycle, and tests run beside an app.
const TOOLS: [&str; 2] = ["frpc", "frps"];

/// The archive of the classic buildpack, as `script/package classic` makes it for this machine.
const CLASSIC_ARCHIVE: &str = if cfg!(target_arch = "aarch64") {
    "backplane-buildpack-classic-arm64.tgz"
} else {
    "backplane-buildpack-classic.tgz"
};

/// The folder below which everything is, readable by every user.
pub(crate) struct Workshop {
    folder: PathBuf,
    order: Vec<Buildpack>,
    /// The janitor cleans up when this is closed: when the test program ends, by whatever means.
    _janitor: ChildStdin,
}

/// The workshop of this run, made by the first test that asks for it.
///
/// Where root runs the tests, the whole test program turns into an ordinary user here: the lifecycle refuses root, and users' apps are
/// not root either. So nothing can be written to the source tree from then on, snapshots of failed tests included.
pub(crate) fn workshop() -> &'static Workshop {
    static WORKSHOP: OnceLock<Result<Workshop, String>> = OnceLock::new();
    match WORKSHOP.get_or_init(Workshop::set_up) {
        Ok(workshop) => workshop,
        Err(problem) => panic!("{problem}"),
    }
}

impl Workshop {
    /// A program of the CNB lifecycle.
    pub(super) fn lifecycle(&self, program: &str) -> PathBuf {
        self.folder.join("lifecycle").join(program)
    }

    /// All buildpacks that there are, as the lifecycle wants them: `ID/VERSION/`.
    pub(super) fn buildpacks(&self) -> PathBuf {
        self.folder.join("buildpacks")
    }

    /// The folder of the buildpack under test.
    pub(super) fn buildpack_under_test(&self) -> PathBuf {
        self.buildpack_under_test_in(&self.buildpacks())
    }

    /// Copies them all to a folder of a test's own, and gives that of the buildpack under test.
    pub(super) fn copy_buildpacks(&self, to: &Path) -> PathBuf {
        copy(&self.buildpacks(), to).expect("the folder is the test's own");
        self.buildpack_under_test_in(to)
    }

    fn buildpack_under_test_in(&self, buildpacks: &Path) -> PathBuf {
        let buildpack = self.order.last().expect("it is the last of the order");
        buildpacks
            .join(buildpack.id.replace('/', "_"))
            .join(&buildpack.version)
    }

    /// The folder that the archive of the classic buildpack was unpacked into.
    pub(crate) fn classic_buildpack(&self) -> PathBuf {
        self.folder.join("classic buildpack")
    }

    /// That archive.
    pub(crate) fn classic_archive(&self) -> PathBuf {
        self.folder.join("classic.tgz")
    }

    /// The buildpacks in the order of a builder that has them all.
    pub(super) fn order(&self) -> &[Buildpack] {
        &self.order
    }

    /// One of [`PROGRAMS`] or [`TOOLS`].
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("programs").join(name)
    }

    /// A run of one of [`PROGRAMS`] or [`TOOLS`], which the janitor ends if nobody else does.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        command.env(MARK, self.mark(name));
        command
    }

    /// The value of [`MARK`] for the processes of this name: one that the janitor finds too.
    pub(super) fn mark(&self, name: &str) -> OsString {
        self.folder.join(name).into()
    }

    /// A folder of a test's own, gone with its handle.
    pub(crate) fn new_folder(&self) -> TempDir {
        TempDir::new_in(self.folder.join("work")).expect("the workshop's folder is writable")
    }

    fn set_up() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tools = root.join("target/tools/lifecycle");
        if !tools.join("launcher").exists() {
            return Err("the CNB lifecycle is missing; run script/bootstrap".to_owned());
        }
        let bin = root.join("target/tools/bin");
        if !TOOLS.iter().all(|tool| bin.join(tool).exists()) {
            return Err("frp is missing; run script/bootstrap".to_owned());
        }
        make(Command::new(root.join("script/package")).arg("classic"))?;
        let programs = build_programs(root)?;

        let folder = tempfile::Builder::new()
            .prefix("backplane-test-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .map_err(|error| format!("unable to make a folder in /tmp: {error}"))?
            .keep();
        let mut workshop = Self {
            _janitor: start_janitor(&folder),
            folder,
            order: Vec::new(),
        };

        copy(&tools, &workshop.folder.join("lifecycle"))?;
        for source in [
            "tests/fixtures/buildpacks/processes",
            "target/package/backplane_agent",
        ] {
            let source = root.join(source);
            let buildpack = Buildpack::of(&source);
            let folder = workshop.buildpacks().join(buildpack.id.replace('/', "_"));
            copy(&source, &folder.join(&buildpack.version))?;
            workshop.order.push(buildpack);
        }
        copy(
            &root.join("target/package").join(CLASSIC_ARCHIVE),
            &workshop.classic_archive(),
        )?;
        unpack(&workshop.classic_archive(), &workshop.classic_buildpack())?;
        for name in PROGRAMS {
            copy(&programs.join(name), &workshop.program(name))?;
        }
        for name in TOOLS {
            copy(&bin.join(name), &workshop.program(name))?;
        }

        let work = workshop.folder.join("work");
        fs::create_dir(&work)
            .map_err(|error| format!("unable to make {}: {error}", work.display()))?;
        become_ordinary_user(&work);
        Ok(workshop)
    }
}

/// A buildpack as the lifecycle names it.
pub(super) struct Buildpack {
    pub(super) id: String,
    pub(super) version: String,
}

impl Buildpack {
    /// Reads the `buildpack.toml` in `folder`.
    pub(super) fn of(folder: &Path) -> Self {
        let descriptor: toml::Table =
            toml::from_str(&fs::read_to_string(folder.join("buildpack.toml")).unwrap()).unwrap();
        let field = |name: &str| descriptor["buildpack"][name].as_str().unwrap().to_owned();
        Self {
            id: field("id"),
            version: field("version"),
        }
    }
}

/// Builds [`PROGRAMS`] in the folder that this test program was built in, and gives the folder that they are in.
fn build_programs(root: &Path) -> Result<PathBuf, String> {
    // The test program is TARGET/debug/deps/NAME.
    let program =
        env::current_exe().map_err(|error| format!("unable to find the test program: {error}"))?;
    let profile = program
        .ancestors()
        .nth(2)
        .expect("cargo puts tests into deps/");
    let target = profile
        .parent()
        .expect("cargo puts profiles into its target folder");
    make(
        Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--locked",
                "--package",
                "backplane-standin",
                "--package",
                "as-process-1",
                "--package",
                "refuse",
                "--bins",
            ])
            .arg("--target-dir")
            .arg(target)
            .current_dir(root),
    )?;
    Ok(profile.to_owned())
}

/// Copies a file or folder to a place where every user can read it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    make(
        Command::new("mkdir")
            .arg("-p")
            .arg(to.parent().expect("it is below the workshop")),
    )?;
    make(
        Command::new("cp")
            .args(["--recursive", "--no-dereference", "--preserve=mode,links"])
            .args([from, to]),
    )?;
    make(Command::new("chmod").args(["--recursive", "a+rX"]).arg(to))
}

/// Unpacks an archive into a folder of its own.
fn unpack(archive: &Path, folder: &Path) -> Result<(), String> {
    make(Command::new("mkdir").arg(folder))?;
    make(
        Command::new("tar")
            .args(["--extract", "--no-same-owner", "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(folder),
    )
}

fn become_ordinary_user(work: &Path) {
    if !geteuid().is_root() {
        return;
    }
    let (user, group) = (Uid::from_raw(ORDINARY_ID), Gid::from_raw(ORDINARY_ID));
    chown(work, Some(user), Some(group)).expect("root may");
    setgroups(&[]).expect("root may");
    setresgid(group, group, group).expect("root may");
    setresuid(user, user, user).expect("root may");
}

/// Starts a process that waits for the end of the test program, and then ends what a test that was cut short (Ctrl-C, a kill) left
/// running, and removes the folder.
fn start_janitor(folder: &Path) -> ChildStdin {
    const SCRIPT: &str = r#"
        trap '' INT TERM HUP
        while read -r _; do :; done
        for environment in /proc/[0-9]*/environ; do
            if grep -qsF "$1=$2/" "$environment"; then
                pid=${environment#/proc/}
                kill -KILL "${pid%/environ}"
            fi
        done
        rm -rf "$2"
    "#;
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "janitor", MARK])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C on the terminal is for the test program's group.
        .process_group(0)
        .spawn()
        .expect("every machine has a shell")
        .stdin
        .expect("it is piped")
}
