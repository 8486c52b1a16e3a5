//! What all tests of a run share: the engine, the builder, the programs under test, and a folder for everything that the tests make.

use super::docker::gateway;
use super::preparation::make;
use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// The variables by which `script/engine run` tells what there is; see its help.
const BUILDER: &str = "BACKPLANE_TEST_BUILDER";
const BUILDER_CONFIG: &str = "BACKPLANE_TEST_BUILDER_CONFIG";
const FOLDER: &str = "BACKPLANE_TEST_FOLDER";
const PREFIX: &str = "BACKPLANE_TEST_PREFIX";
const RUN_IMAGE_WITHOUT_SHELL: &str = "BACKPLANE_TEST_RUN_IMAGE_WITHOUT_SHELL";
const RUN_IMAGE_WITH_SERVERS: &str = "BACKPLANE_TEST_RUN_IMAGE_WITH_SERVERS";

/// What tools/ pins, and tests run beside an app; static too.
const TOOLS: [&str; 2] = ["frpc", "frps"];

pub(crate) struct Workshop {
    /// Where `script/bootstrap` puts [`TOOLS`].
    tools: PathBuf,
    /// What `script/package` made.
    packages: PathBuf,
    folder: PathBuf,
    prefix: String,
    gateway: String,
    /// The builder's image. Its order has one group, of the fixture `processes` alone.
    pub(crate) builder: String,
    /// The file that pack made it of.
    pub(super) builder_config: PathBuf,
    /// A run image without a single program beside what an app brings.
    pub(crate) run_image_without_shell: String,
    /// A run image with servers of the distribution, such as haproxy, and the languages that apps are written in.
    pub(crate) run_image_with_servers: String,
}

/// The workshop of this run, made by the first test that asks for it.
pub(crate) fn workshop() -> &'static Workshop {
    static WORKSHOP: OnceLock<Result<Workshop, String>> = OnceLock::new();
    match WORKSHOP.get_or_init(Workshop::set_up) {
        Ok(workshop) => workshop,
        Err(problem) => panic!("{problem}"),
    }
}

impl Workshop {
    /// A program of the stand-in or one of [`TOOLS`], static: it runs on every image.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        if TOOLS.contains(&name) {
            self.tools.join(name)
        } else {
            self.packages.join("standin").join(name)
        }
    }

    /// A run of such a program, on the machine itself.
    pub(super) fn command(&self, name: &str) -> Command {
        Command::new(self.program(name))
    }

    /// The folder of the buildpack under test.
    pub(crate) fn buildpack_under_test(&self) -> PathBuf {
        self.packages.join("backplane_agent")
    }

    /// The buildpack under test in the file that is published.
    pub(crate) fn package_file(&self) -> PathBuf {
        static FILE: OnceLock<Result<(), String>> = OnceLock::new();
        let made =
            FILE.get_or_init(|| make(Command::new(root().join("script/package")).arg("--cnb")));
        made.as_ref().unwrap_or_else(|problem| panic!("{problem}"));
        let architecture = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        self.packages.join(format!(
            "backplane_agent-{}-linux-{architecture}.cnb",
            env!("CARGO_PKG_VERSION")
        ))
    }

    /// A buildpack that prints what it sees, under an id of its own: `fixture/NAME`.
    pub(crate) fn observer(&self, name: &str) -> PathBuf {
        let (fixture, folder) = (fixture("observer"), self.new_folder_to_keep().join(name));
        let descriptor = fs::read_to_string(fixture.join("buildpack.toml")).unwrap();
        copy(&fixture, &folder);
        let descriptor = descriptor.replace("fixture/observer", &format!("fixture/{name}"));
        fs::write(folder.join("buildpack.toml"), descriptor).unwrap();
        folder
    }

    /// The buildpack under test as an older version of it would be: its installer has another number, and its launch program is another one.
    pub(crate) fn older_buildpack(&self) -> PathBuf {
        let folder = self.new_folder_to_keep().join("older");
        copy(&self.buildpack_under_test(), &folder);
        let build = folder.join("bin/build");
        fs::rename(&build, folder.join("bin/todays")).unwrap();
        fs::remove_file(folder.join("bin/detect")).unwrap();
        symlink("todays", folder.join("bin/detect")).unwrap();
        // The program knows its role by its name.
        let script = r#"#!/bin/bash
            set -euo pipefail
            (exec -a build "${0%/*}/todays" "$@")
            record=$(<"$CNB_LAYERS_DIR/agent.toml")
            echo "${record/installer = \"1\"/installer = \"0\"}" >"$CNB_LAYERS_DIR/agent.toml"
            printf '#!/bin/sh\n' >"$CNB_LAYERS_DIR/agent/exec.d/launch"
        "#;
        fs::write(&build, script).unwrap();
        fs::set_permissions(&build, fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    /// The address of the machine itself, where what listens can be reached from containers.
    pub(crate) fn gateway(&self) -> &str {
        &self.gateway
    }

    /// A name for something on the engine. All that has such a name is removed at the end.
    pub(super) fn new_name(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        format!("{}-{}-{number}", self.prefix, std::process::id())
    }

    /// The label of containers to be removed at the end.
    pub(super) fn label(&self) -> &str {
        &self.prefix
    }

    /// A folder of a test's own, gone with its handle.
    pub(crate) fn new_folder(&self) -> TempDir {
        TempDir::new_in(&self.folder).expect("the workshop's folder is writable")
    }

    /// A folder that stays until the end of the run.
    fn new_folder_to_keep(&self) -> PathBuf {
        self.new_folder().keep()
    }

    fn set_up() -> Result<Self, String> {
        let variable = |name| {
            env::var(name).map_err(|_| {
                format!("{name} is not set; run these tests by: script/engine run cargo test --test containers -- --include-ignored")
            })
        };
        make(Command::new(root().join("script/package")).arg("--standin"))?;
        Ok(Self {
            tools: root().join("target/tools/bin"),
            packages: root().join("target/package"),
            folder: variable(FOLDER)?.into(),
            prefix: variable(PREFIX)?,
            builder: variable(BUILDER)?,
            builder_config: variable(BUILDER_CONFIG)?.into(),
            run_image_without_shell: variable(RUN_IMAGE_WITHOUT_SHELL)?,
            run_image_with_servers: variable(RUN_IMAGE_WITH_SERVERS)?,
            gateway: gateway(),
        })
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A buildpack of `tests/fixtures`.
fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/buildpacks").join(name)
}

/// Copies a folder to a place where there is none yet.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("it is below the workshop")).unwrap();
    make(
        Command::new("cp")
            .args(["--recursive", "--no-dereference", "--preserve=mode,links"])
            .args([from, to]),
    )
    .unwrap();
}
