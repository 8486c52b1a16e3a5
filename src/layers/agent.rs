//! The `agent` layer: the agent's files in `libexec/`, and the launch program in `exec.d/`.

use std::io;
use std::path::Path;

use libcnb::Buildpack;
use libcnb::additional_buildpack_binary_path;
use libcnb::build::BuildContext;
use libcnb::data::layer::LayerName;
use libcnb::data::layer_content_metadata::LayerContentMetadata;
use libcnb::data::layer_name;
use libcnb::generic::GenericMetadata;
use libcnb::layer::{CachedLayerDefinition, InvalidMetadataAction, RestoredLayerAction};
use serde::Deserialize;

use crate::cached_agent::Previous;
use crate::error::BackplaneError;
use crate::files::{self, Links, PROGRAM_MODE};
use crate::install::{self, InstallError, Installation, OnNotice};
use crate::launch_program;
use crate::limits::Limits;
use crate::messages::progress;
use crate::metadata::AgentMetadata;
use crate::network::Network;
use crate::output::Log;
use crate::release::Release;
use crate::sbom;
use crate::settings::Settings;
use crate::wrapper::Wrapper;

/// The staging directory, beside the layer: the lifecycle ignores directories without a
/// description.
const STAGING: &str = "agent.staging";

/// Keeps, refreshes or replaces the agent of the layer, and rewrites our own program in it. Returns
/// the metadata of the agent that is in the layer afterwards, or `None` if the build continues
/// without one.
pub(crate) fn install<B: Buildpack<Error = BackplaneError>>(
    context: &BuildContext<B>,
    settings: &Settings,
    network: &Network,
    release: &Release,
    log: &dyn Log,
) -> libcnb::Result<Option<AgentMetadata>, BackplaneError> {
    let program = additional_buildpack_binary_path!("launch");
    launch_program::check(&program, &release.target)?;
    let wrapper =
        Wrapper::find(&context.buildpack_dir, release).map_err(BackplaneError::Package)?;

    let name = layer_name!("agent");
    let limits = Limits::default();
    let on_notice: OnNotice<'_> = &|notice| progress::log(&notice, log);
    let previous = previous(&context.layers_dir, &name, &limits, log)?;
    // Always kept: libcnb would remove the old agent before the new one is there.
    let layer = context.cached_layer(
        name,
        CachedLayerDefinition {
            build: false,
            launch: true,
            invalid_metadata_action: &|_: &GenericMetadata| InvalidMetadataAction::DeleteLayer,
            restored_layer_action: &|_: &GenericMetadata, _: &Path| RestoredLayerAction::KeepLayer,
        },
    )?;
    let metadata = Installation {
        directory: &layer.path(),
        staging: &context.layers_dir.join(STAGING),
        release,
        optional: settings.optional,
        network,
        limits: &limits,
        on_notice,
    }
    .run(previous)
    .map_err(BackplaneError::Install)?;

    // In every build, so that a fixed supervisor reaches every cached app.
    layer.write_exec_d_programs([("launch", program)])?;
    for path in ["", "exec.d", "exec.d/launch"] {
        // The launch program aborts the boot if the image's user cannot run it.
        files::set_mode(&layer.path().join(path), PROGRAM_MODE)
            .map_err(BackplaneError::LaunchProgram)?;
    }
    install::write_buildpack_files(&layer.path(), metadata.as_ref(), wrapper.as_ref())
        .map_err(BackplaneError::LaunchProgram)?;
    layer.write_sboms(&metadata.iter().map(sbom::of_agent).collect::<Vec<_>>())?;
    // Last, so that a build that is killed earlier leaves metadata that does not match, and the
    // next one installs again.
    match &metadata {
        Some(metadata) => layer.write_metadata(metadata)?,
        None => layer.write_metadata(GenericMetadata::default())?,
    }
    Ok(metadata)
}

/// Reads the metadata that an earlier build left, and prepares the layer for libcnb, which follows
/// links, waits for FIFOs, and fails for a damaged description. Everything unsuitable is removed;
/// every build creates the rest again.
fn previous(
    layers: &Path,
    name: &LayerName,
    limits: &Limits,
    log: &dyn Log,
) -> Result<Previous, BackplaneError> {
    let layer = layers.join(name.as_str());
    let description = layers.join(format!("{name}.toml"));
    let has_layer = files::is_directory(&layer);
    let is_restored = [&layer, &description]
        .iter()
        .any(|path| fs_err::symlink_metadata(path).is_ok());
    let previous = match files::read_small(&description, limits.max_metadata_bytes, Links::Refuse) {
        Ok(content) => match parse(&content) {
            Ok(previous) => {
                // Rewritten, because libcnb writes to it, and it may belong to another user.
                files::replace(&description, &content).map_err(BackplaneError::RestoredLayer)?;
                previous
            }
            Err(reason) => remove_damaged(&description, &reason, log)?,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Previous::Nothing,
        Err(error) => remove_damaged(&description, &error.to_string(), log)?,
    };
    prepare(layers, &layer, name, log).map_err(|error| {
        if is_restored {
            BackplaneError::RestoredLayer(error)
        } else {
            BackplaneError::Install(InstallError::Directory(error))
        }
    })?;
    Ok(match previous {
        // A description without files.
        Previous::Agent(_) if !has_layer => Previous::Nothing,
        previous => previous,
    })
}

/// Removes a layer description that libcnb would fail for.
fn remove_damaged(path: &Path, reason: &str, log: &dyn Log) -> Result<Previous, BackplaneError> {
    log.step(&progress::DAMAGED_DESCRIPTION);
    files::remove(path).map_err(BackplaneError::LayerDescription)?;
    Ok(Previous::unreadable(reason))
}

/// Reads a layer description; an error if libcnb would refuse it.
pub(crate) fn parse(content: &[u8]) -> Result<Previous, String> {
    let description: LayerContentMetadata =
        toml::from_slice(content).map_err(|error| error.message().to_owned())?;
    Ok(match description.metadata.map(AgentMetadata::deserialize) {
        None => Previous::Nothing,
        Some(Ok(metadata)) => Previous::Agent(metadata),
        Some(Err(error)) => Previous::unreadable(error.message()),
    })
}

/// Removes everything from the layer except the agent's files.
fn prepare(layers: &Path, layer: &Path, name: &LayerName, log: &dyn Log) -> io::Result<()> {
    install::prepare(layer, &[], &|notice| progress::log(&notice, log))?;
    let sboms = format!("{name}.sbom.");
    for entry in fs_err::read_dir(layers)? {
        let entry = entry?;
        let file = entry.file_name();
        let is_sbom = file.to_str().is_some_and(|file| file.starts_with(&sboms));
        if is_sbom || file == STAGING || file == "launch.toml" {
            files::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes the store of the buildpack before libcnb reads it, because ours has none.
pub(crate) fn remove_store(layers: &Path) {
    let _ = files::remove(&layers.join("store.toml")); // libcnb reports what cannot be removed.
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::tests::agent_metadata;
    use crate::output::CnbLog;

    /// The layer as a build leaves it and the lifecycle restores it.
    fn restored() -> tempfile::TempDir {
        let layers = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(layers.path().join("agent/libexec")).unwrap();
        fs_err::write(layers.path().join("agent/libexec/backplane"), "agent").unwrap();
        let metadata = Some(toml::Table::try_from(agent_metadata()).unwrap());
        let description = LayerContentMetadata {
            types: None,
            metadata,
        };
        let text = toml::to_string(&description).unwrap();
        fs_err::write(layers.path().join("agent.toml"), text).unwrap();
        layers
    }

    fn examine(layers: &Path) -> Previous {
        previous(layers, &layer_name!("agent"), &Limits::default(), &CnbLog).unwrap()
    }

    #[test]
    fn metadata_survives_in_the_layer_description() {
        let layers = restored();
        for _ in 0..2 {
            assert_eq!(examine(layers.path()), Previous::Agent(agent_metadata()));
        }
    }

    #[test]
    fn metadata_of_another_version_is_unreadable() {
        for (text, expected) in [
            ("[metadata]\ninvented_later = true", "invented_later"),
            ("[metadata]\ninstaller = 1.0", "invalid type"),
            ("[metadata]", "missing field"),
        ] {
            let Ok(Previous::Unreadable(reason)) = parse(text.as_bytes()) else {
                panic!("{text}");
            };
            assert!(reason.contains(expected), "{reason}");
        }
        for text in ["", "[types]\nlaunch = true"] {
            assert_eq!(parse(text.as_bytes()), Ok(Previous::Nothing), "{text}");
        }
    }

    #[test]
    fn toml_that_is_no_layer_description_is_refused() {
        let deep = |start: &str, end: &str| {
            format!("x = {}1{}", start.repeat(100_000), end.repeat(100_000))
        };
        for content in [
            "types = 3".as_bytes(),
            b"metadata = \"x\"",
            b"[types]\nlaunch = 1",
            b"unknown = true",
            b"[half a ta",
            b"\xff",
            deep("[", "]").as_bytes(),
            deep("{a = ", "}").as_bytes(),
        ] {
            assert!(parse(content).is_err());
        }
        let dotted = format!("[metadata]\n{}a = 1", "a.".repeat(500_000));
        assert!(!matches!(parse(dotted.as_bytes()), Ok(Previous::Agent(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_description_or_none(content: Vec<u8>) {
            prop_assert!(!matches!(parse(&content), Ok(Previous::Agent(_))));
        }

        #[test]
        fn altered_descriptions_never_panic(position: proptest::sample::Index, with: Vec<u8>) {
            let mut content = fs_err::read(restored().path().join("agent.toml")).unwrap();
            let position = position.index(content.len());
            content.splice(position..position, with);
            let _ = parse(&content);
        }
    }

    #[test]
    fn huge_description_is_not_read() {
        let layers = restored();
        let description = layers.path().join("agent.toml");
        let file = fs_err::OpenOptions::new().write(true).open(description);
        file.unwrap().set_len(1 << 30).unwrap();
        let previous = format!("{:?}", examine(layers.path()));
        assert!(previous.contains("is longer than"), "{previous}");
    }
}
