//! Images of successful builds.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::build::Build;
use super::docker::docker;
use super::test_env::test_env;
use crate::command;

/// How long `pack sbom download` may take.
const DEADLINE: Duration = Duration::from_mins(2);

/// A successful build, and its image.
pub struct Image {
    pub(super) build: Build,
    /// Its id on the engine.
    pub id: String,
    /// The output of the lifecycle and of all buildpacks.
    pub log: String,
}

impl Image {
    pub fn labels(&self) -> BTreeMap<String, String> {
        let format = ["image", "inspect", "--format", "{{json .Config.Labels}}"];
        serde_json::from_str(&docker(format.into_iter().chain([&*self.id]))).unwrap()
    }

    /// The checksum of our layer's uncompressed archive.
    pub fn checksum_of_layer(&self) -> String {
        let metadata: serde_json::Value =
            serde_json::from_str(&self.labels()["io.buildpacks.lifecycle.metadata"]).unwrap();
        let mut buildpacks = metadata["buildpacks"].as_array().unwrap().iter();
        let ours = buildpacks.find(|buildpack| buildpack["key"] == "backplane/agent");
        let layer = &ours.expect("it took part")["layers"]["agent"];
        layer["sha"].as_str().expect("it is there").to_owned()
    }

    /// The whole image, as of `docker save`: its configuration, and every layer uncompressed.
    pub fn archive(&self) -> Vec<u8> {
        let directory = test_env().new_directory();
        let path = directory.path().join("image.tar");
        let file = path.to_str().expect("its path is plain");
        docker(["save", "--output", file, &self.id]);
        fs::read(path).unwrap()
    }

    /// A directory with the result of `pack sbom download`.
    pub fn bills_of_materials(&self) -> TempDir {
        let directory = test_env().new_directory();
        let mut pack = Command::new("pack");
        pack.args(["sbom", "download", &self.build.names.image, "--output-dir"])
            .arg(directory.path());
        let (status, output) = command::run(&mut pack, DEADLINE);
        assert!(status.success(), "{output}");
        directory
    }

    /// Builds once more, with the engine's caches.
    #[track_caller]
    pub fn rebuild(self) -> Self {
        self.build.run()
    }

    /// The next build of the app, before it runs.
    pub fn into_build(self) -> Build {
        self.build
    }
}
