//! The environment that all tests of a run share: engine, builder, programs, and a directory.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::docker::gateway;
use crate::prebuild::{copy, make};
use crate::programs::Programs;
use crate::{ARCHITECTURE, Edge, Tunnel, TunnelServer, root};

/// The variables of `script/engine run`; see its help.
const BUILDER: &str = "BACKPLANE_TEST_BUILDER";
const DIRECTORY: &str = "BACKPLANE_TEST_DIRECTORY";
const PREFIX: &str = "BACKPLANE_TEST_PREFIX";
const RUN_IMAGE_WITHOUT_SHELL: &str = "BACKPLANE_TEST_RUN_IMAGE_WITHOUT_SHELL";
const RUN_IMAGE_WITH_SERVERS: &str = "BACKPLANE_TEST_RUN_IMAGE_WITH_SERVERS";

pub struct TestEnv {
    programs: Programs,
    /// The results of `script/package`.
    packages: PathBuf,
    directory: PathBuf,
    prefix: String,
    gateway: String,
    /// The builder's image. Its order has one group, of the fixture `processes` alone.
    pub builder: String,
    /// A run image without a single program.
    pub run_image_without_shell: String,
    /// A run image with servers that apps run with, from the distribution's packages.
    pub run_image_with_servers: String,
}

/// The test environment of this run, made by the first test that asks for it.
pub fn test_env() -> &'static TestEnv {
    static TEST_ENV: OnceLock<Result<TestEnv, String>> = OnceLock::new();
    match TEST_ENV.get_or_init(TestEnv::set_up) {
        Ok(test_env) => test_env,
        Err(problem) => panic!("{problem}"),
    }
}

impl TestEnv {
    /// A program of the stand-in or a tool that is pinned, static: it runs on every image.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.path(name)
    }

    /// Starts an edge that knows one token, for agents in containers.
    pub fn edge(&self, token: &str) -> Edge {
        self.edge_at(&self.gateway, token)
    }

    /// Starts an edge that knows one token, for agents that reach this address.
    pub(crate) fn edge_at(&self, host: &str, token: &str) -> Edge {
        Edge::start(&self.programs, host, token)
    }

    /// Starts the server of a tunnel, for agents in containers with this token.
    pub fn tunnel_server(&self, tunnel: Tunnel, token: &str) -> TunnelServer {
        TunnelServer::start(tunnel, &self.programs, &self.gateway, token)
    }

    /// A release of a tunnel for this machine.
    pub fn tunnel_release(&self, tunnel: Tunnel) -> Vec<u8> {
        tunnel.release(&self.programs)
    }

    /// The directory of the buildpack under test.
    pub fn buildpack_under_test(&self) -> PathBuf {
        self.packages.join("backplane_agent")
    }

    /// The published file of the buildpack under test.
    pub fn package_file(&self) -> PathBuf {
        static FILE: OnceLock<Result<(), String>> = OnceLock::new();
        let made =
            FILE.get_or_init(|| make(Command::new(root().join("script/package")).arg("--cnb")));
        made.as_ref().unwrap_or_else(|problem| panic!("{problem}"));
        self.packages.join(format!(
            "backplane_agent-{}-linux-{ARCHITECTURE}.cnb",
            env!("CARGO_PKG_VERSION")
        ))
    }

    /// The program of an app for Spring Boot.
    pub fn spring_boot_app(&self) -> Vec<u8> {
        fs::read(root().join("target/docker/spring-boot/app.jar")).unwrap()
    }

    /// A buildpack that prints what it sees, under an id of its own: `fixture/NAME`.
    pub fn observer(&self, name: &str) -> PathBuf {
        let fixture = root().join("tests/fixtures/buildpacks/observer");
        // It stays until the end of the run.
        let directory = self.new_directory().keep().join(name);
        let descriptor = fs::read_to_string(fixture.join("buildpack.toml")).unwrap();
        copy(&fixture, &directory).unwrap();
        let descriptor = descriptor.replace("fixture/observer", &format!("fixture/{name}"));
        fs::write(directory.join("buildpack.toml"), descriptor).unwrap();
        directory
    }

    /// A name for something on the engine, which is removed at the end.
    pub fn new_name(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        format!("{}-{}-{number}", self.prefix, std::process::id())
    }

    /// The label of containers that are removed at the end.
    pub fn label(&self) -> &str {
        &self.prefix
    }

    /// A shell in which the commands of documents run. The script is the next argument.
    pub fn shell(&self) -> Command {
        self.programs.shell("documented")
    }

    /// A directory of a test's own, gone with its handle.
    pub fn new_directory(&self) -> TempDir {
        TempDir::new_in(&self.directory).expect("the test environment's directory is writable")
    }

    fn set_up() -> Result<Self, String> {
        let variable = |name| {
            env::var(name).map_err(|_| {
                format!("{name} is not set; run these tests by: script/engine run cargo test --test containers")
            })
        };
        make(Command::new(root().join("script/package")).arg("--standin"))?;
        let directory = PathBuf::from(variable(DIRECTORY)?);
        Ok(Self {
            programs: Programs {
                directories: ["target/package/standin", "target/tools/bin"]
                    .map(|path| root().join(path))
                    .into(),
                mark: directory.clone(),
            },
            packages: root().join("target/package"),
            directory,
            prefix: variable(PREFIX)?,
            builder: variable(BUILDER)?,
            run_image_without_shell: variable(RUN_IMAGE_WITHOUT_SHELL)?,
            run_image_with_servers: variable(RUN_IMAGE_WITH_SERVERS)?,
            gateway: gateway(),
        })
    }
}
