//! The environment that all tests of a run share: programs, CNB tools, and a directory.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use nix::unistd::{Gid, Uid, chown, geteuid, setgroups, setresgid, setresuid};
use tempfile::TempDir;

use crate::prebuild::{copy, make};
use crate::process::MARK;
use crate::programs::Programs;
use crate::{Edge, Tunnel, TunnelServer, root};

/// The user of the tests if root starts them: nobody, on most machines.
const ORDINARY_ID: u32 = 65534;

/// The programs of this repository that tests run beside an app.
const PROGRAMS: [&str; 5] = [
    "as-process-1",
    "backplane",
    "backplane-edge",
    "deny",
    "sample-app",
];

/// The programs of dev/tools that tests run beside an app.
const TOOLS: [&str; 3] = ["chisel", "frpc", "frps"];

/// The directory of the buildpack under test among all buildpacks, `ID/VERSION`.
const BUILDPACK: &str = concat!("backplane_agent/", env!("CARGO_PKG_VERSION"));

/// The archive of the classic buildpack and the repository with its branch, as `script/package
/// classic` makes them for this machine.
const CLASSIC_ARCHIVE: &str = if cfg!(target_arch = "aarch64") {
    "backplane-buildpack-classic-arm64.tgz"
} else {
    "backplane-buildpack-classic.tgz"
};
const CLASSIC_REPOSITORY: &str = if cfg!(target_arch = "aarch64") {
    "classic-arm64.git"
} else {
    "classic.git"
};

/// A directory with everything that tests need, readable by every user.
pub struct TestEnv {
    directory: PathBuf,
    pub(super) programs: Programs,
    /// The reaper cleans up when this is closed, at any end of the test program.
    _reaper: ChildStdin,
}

/// The test environment of this run, made by the first test that asks for it.
///
/// If root runs the tests, the whole test program turns into an ordinary user here: the lifecycle
/// refuses root, and users' apps are not root either. So nothing can be written to the source tree
/// from then on, snapshots of failed tests included.
pub fn test_env() -> &'static TestEnv {
    static TEST_ENV: OnceLock<Result<TestEnv, String>> = OnceLock::new();
    match TEST_ENV.get_or_init(TestEnv::set_up) {
        Ok(test_env) => test_env,
        Err(problem) => panic!("{problem}"),
    }
}

impl TestEnv {
    /// A program of the CNB lifecycle.
    pub(super) fn lifecycle(&self, program: &str) -> PathBuf {
        self.directory.join("lifecycle").join(program)
    }

    /// All buildpacks in the layout of the lifecycle: `ID/VERSION/`.
    pub(super) fn buildpacks(&self) -> PathBuf {
        self.directory.join("buildpacks")
    }

    /// The directory of the buildpack under test.
    pub(super) fn buildpack_under_test(&self) -> PathBuf {
        self.buildpacks().join(BUILDPACK)
    }

    /// A clone of the branch of the classic buildpack, as Heroku makes it.
    pub fn classic_buildpack(&self) -> PathBuf {
        self.directory.join("classic buildpack")
    }

    /// The archive of the classic buildpack.
    pub fn classic_archive(&self) -> PathBuf {
        self.directory.join("classic.tgz")
    }

    /// One of [`PROGRAMS`] or [`TOOLS`].
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.path(name)
    }

    /// Starts an edge that knows one token.
    pub fn edge(&self, token: &str) -> Edge {
        Edge::start(&self.programs, "127.0.0.1", token)
    }

    /// Starts the server of a tunnel, for agents with this token.
    pub fn tunnel_server(&self, tunnel: Tunnel, token: &str) -> TunnelServer {
        TunnelServer::start(tunnel, &self.programs, "127.0.0.1", token)
    }

    /// A release of a tunnel for this machine.
    pub fn tunnel_release(&self, tunnel: Tunnel) -> Vec<u8> {
        tunnel.release(&self.programs)
    }

    /// A directory of a test's own, gone with its handle.
    pub fn new_directory(&self) -> TempDir {
        TempDir::new_in(self.directory.join("work"))
            .expect("the test environment's directory is writable")
    }

    fn set_up() -> Result<Self, String> {
        let root = root();
        let tools = root.join("target/tools/lifecycle");
        if !tools.join("launcher").exists() {
            return Err("the CNB lifecycle is missing; run script/bootstrap".to_owned());
        }
        let bin = root.join("target/tools/bin");
        if !TOOLS.iter().all(|tool| bin.join(tool).exists()) {
            return Err("frp or chisel is missing; run script/bootstrap".to_owned());
        }
        make(Command::new(root.join("script/package")).arg("classic"))?;
        let programs = build_programs(root)?;

        let directory = tempfile::Builder::new()
            .prefix("backplane-test-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .map_err(|error| format!("unable to make a directory in /tmp: {error}"))?
            .keep();
        let test_env = Self {
            _reaper: start_reaper(&directory),
            programs: Programs {
                directories: vec![directory.join("programs")],
                mark: directory.clone(),
            },
            directory,
        };

        copy(&tools, &test_env.directory.join("lifecycle"))?;
        for (source, name) in [
            (
                "tests/fixtures/buildpacks/processes",
                "fixture_processes/0.1.0",
            ),
            ("target/package/backplane_agent", BUILDPACK),
        ] {
            copy(&root.join(source), &test_env.buildpacks().join(name))?;
        }
        let packages = root.join("target/package");
        copy(&packages.join(CLASSIC_ARCHIVE), &test_env.classic_archive())?;
        clone(
            &packages.join(CLASSIC_REPOSITORY),
            &test_env.classic_buildpack(),
        )?;
        let programs_directory = test_env.directory.join("programs");
        for name in PROGRAMS {
            copy(&programs.join(name), &programs_directory.join(name))?;
        }
        for name in TOOLS {
            copy(&bin.join(name), &programs_directory.join(name))?;
        }

        let work = test_env.directory.join("work");
        fs::create_dir(&work)
            .map_err(|error| format!("unable to make {}: {error}", work.display()))?;
        become_ordinary_user(&work);
        Ok(test_env)
    }
}

/// Builds [`PROGRAMS`] where this test program was built, and returns their directory.
fn build_programs(root: &Path) -> Result<PathBuf, String> {
    // The test program is TARGET/debug/deps/NAME.
    let program =
        env::current_exe().map_err(|error| format!("unable to find the test program: {error}"))?;
    let mut directories = program.ancestors().skip(2);
    let [profile, target] = [(); 2].map(|()| {
        directories
            .next()
            .expect("cargo has made these directories")
    });
    make(
        Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--bins"])
            .args(["--package", "backplane-standin", "--package", "deny"])
            .arg("--target-dir")
            .arg(target)
            .current_dir(root),
    )?;
    Ok(profile.to_owned())
}

/// Clones the branch `classic`, as Heroku does for a URL that ends with `#classic`.
fn clone(repository: &Path, directory: &Path) -> Result<(), String> {
    const SCRIPT: &str =
        r#"umask 022 && git clone --quiet --depth 1 --branch classic "file://$1" "$2""#;
    make(
        Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args([repository, directory]),
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

/// Starts a process that waits for the end of the test program. Then it ends the processes of tests
/// that were cut short (Ctrl-C, a kill), and removes the directory.
fn start_reaper(directory: &Path) -> ChildStdin {
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
        .args(["-c", SCRIPT, "reaper", MARK])
        .arg(directory)
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
