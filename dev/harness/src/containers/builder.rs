//! Builders of a test's own, by the real pack.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::docker::try_docker;
use super::test_env::test_env;
use crate::command;

/// How long `pack builder create` may take.
const DEADLINE: Duration = Duration::from_mins(2);

/// A builder. Its image is removed when this is dropped.
pub struct Builder {
    pub(super) name: String,
}

impl Builder {
    /// The workshop's builder with one more buildpack, which comes last in the order.
    pub fn with(buildpack: &Path, id: &str) -> Self {
        let mut config: toml::Table =
            toml::from_str(&fs::read_to_string(&test_env().builder_config).unwrap()).unwrap();
        let entry = |key: &str, value: &str| toml::Table::from_iter([(key.into(), value.into())]);
        let uri = buildpack.to_str().expect("its path is plain");
        config["buildpacks"]
            .as_array_mut()
            .unwrap()
            .push(entry("uri", uri).into());
        let group = config["order"][0]["group"].as_array_mut().unwrap();
        group.push(entry("id", id).into());

        let directory = test_env().new_directory();
        let file = directory.path().join("builder.toml");
        fs::write(&file, config.to_string()).unwrap();
        let builder = Self {
            name: test_env().new_name(),
        };
        let mut pack = Command::new("pack");
        pack.args([
            "builder",
            "create",
            &builder.name,
            "--pull-policy",
            "never",
            "--config",
        ])
        .arg(file);
        let (status, output) = command::run(&mut pack, DEADLINE);
        assert!(status.success(), "{output}");
        builder
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        // There may be none.
        let _ = try_docker(["image", "rm", "--force", &self.name]);
    }
}
