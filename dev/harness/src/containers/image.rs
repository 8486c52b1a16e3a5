//! Images of successful builds.

use std::collections::BTreeMap;
use std::fs::File;
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
    build: Build,
    id: String,
    /// The output of the lifecycle.
    pub stdout: String,
    /// The output of the buildpack under test and the observers. The order between both streams is
    /// lost on the way out of the container.
    pub log: String,
}

impl Image {
    pub(super) fn new(build: Build, id: String, stdout: String, log: String) -> Self {
        Self {
            build,
            id,
            stdout,
            log,
        }
    }

    /// Its id on the engine.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name on the engine.
    pub fn name(&self) -> &str {
        &self.build.names.image
    }

    pub fn labels(&self) -> BTreeMap<String, String> {
        let format = ["image", "inspect", "--format", "{{json .Config.Labels}}"];
        serde_json::from_str(&docker(format.into_iter().chain([self.id()]))).unwrap()
    }

    /// The checksum of one layer's uncompressed archive, by the ids of its buildpack and the layer.
    pub fn checksum_of_layer(&self, buildpack: &str, layer: &str) -> String {
        let metadata: serde_json::Value =
            serde_json::from_str(&self.labels()["io.buildpacks.lifecycle.metadata"]).unwrap();
        let buildpacks = metadata["buildpacks"].as_array().unwrap();
        let buildpack = buildpacks.iter().find(|found| found["key"] == buildpack);
        let layer = &buildpack.expect("it took part")["layers"][layer];
        layer["sha"].as_str().expect("it is there").to_owned()
    }

    /// All of the image in one archive, as `docker save` writes it: its configuration, and every
    /// layer uncompressed.
    pub fn archive(&self) -> (TempDir, File) {
        let directory = test_env().new_directory();
        let path = directory.path().join("image.tar");
        docker([
            "save".as_ref(),
            "--output".as_ref(),
            path.as_os_str(),
            self.name().as_ref(),
        ]);
        let file = File::open(&path).unwrap();
        (directory, file)
    }

    /// A directory with the result of `pack sbom download`.
    pub fn bills_of_materials(&self) -> TempDir {
        let directory = test_env().new_directory();
        let mut pack = Command::new("pack");
        pack.args(["sbom", "download", self.name(), "--output-dir"])
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
