//! The `agent` layer: the agent's files in `libexec/`, and the launch program in `exec.d/`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libcnb::build::BuildContext;
use libcnb::data::layer::LayerName;
use libcnb::data::layer_name;
use libcnb::generic::GenericMetadata;
use libcnb::layer::{
    CachedLayerDefinition, InvalidMetadataAction, LayerState, RestoredLayerAction,
};
use libcnb::{additional_buildpack_binary_path, read_toml_file};
use serde::Deserialize;

use crate::BackplaneBuildpack;
use crate::errors::BackplaneError;
use crate::install::{self, Installation, Previous};
use crate::limits::Limits;
use crate::output::Output;
use crate::record::Record;
use crate::release::Release;
use crate::sbom;
use crate::settings::Settings;

/// Any user must be able to reach and run the launch program, whatever the umask of the build: one that cannot be run
/// aborts the boot.
const PROGRAM_MODE: u32 = 0o755;

/// Keeps, refreshes or replaces the agent of the layer, and rewrites our own program in it; gives the record of the
/// agent that is in the layer afterwards, if there is one.
pub(crate) fn install(
    context: &BuildContext<BackplaneBuildpack>,
    settings: &Settings,
    release: &Release,
    output: &dyn Output,
) -> libcnb::Result<Option<Record>, BackplaneError> {
    let name = layer_name!("agent");
    remove_damaged_description(&context.layers_dir, &name, output)
        .map_err(BackplaneError::LayerRecord)?;
    // Always kept: libcnb would remove the old agent before the new one is there.
    let layer = context.cached_layer(
        name,
        CachedLayerDefinition {
            build: false,
            launch: true,
            invalid_metadata_action: &|_: &GenericMetadata| InvalidMetadataAction::DeleteLayer,
            restored_layer_action: &|metadata: &GenericMetadata, _: &Path| {
                (RestoredLayerAction::KeepLayer, previous(metadata))
            },
        },
    )?;
    let previous = match &layer.state {
        LayerState::Restored { cause } => cause.clone(),
        LayerState::Empty { .. } => Previous::Nothing,
    };
    let record = Installation {
        folder: &layer.path(),
        // No layer: the lifecycle leaves folders without a description alone, and nothing of it stays.
        staging: &context.layers_dir.join("agent.staging"),
        release,
        optional: settings.optional,
        network: &settings.network,
        limits: &Limits::default(),
        output,
    }
    .run(previous)
    .map_err(BackplaneError::Install)?;

    let program = additional_buildpack_binary_path!("launch");
    // At every build, so that a fixed supervisor reaches every cached app.
    layer.write_exec_d_programs([("launch", program)])?;
    for path in ["", "exec.d", "exec.d/launch"] {
        fs_err::set_permissions(
            layer.path().join(path),
            PermissionsExt::from_mode(PROGRAM_MODE),
        )
        .map_err(BackplaneError::LaunchProgram)?;
    }
    install::put_own_files(&layer.path(), record.as_ref())
        .map_err(BackplaneError::LaunchProgram)?;
    layer.write_sboms(&record.iter().map(sbom::of_agent).collect::<Vec<_>>())?;
    // Last, so that a build that dies before leaves a record that does not fit, and the next one installs anew.
    match &record {
        Some(record) => layer.write_metadata(record)?,
        None => layer.write_metadata(GenericMetadata::default())?,
    }
    Ok(record)
}

fn previous(metadata: &GenericMetadata) -> Previous {
    let Some(table) = metadata else {
        return Previous::Nothing;
    };
    match Record::deserialize(table.clone()) {
        Ok(record) => Previous::Record(record),
        Err(error) => Previous::Unreadable {
            reason: error.to_string().trim().replace('\n', " "),
        },
    }
}

/// Removes a layer description that is no TOML at all: libcnb would fail the build for it.
fn remove_damaged_description(
    layers_folder: &Path,
    name: &LayerName,
    output: &dyn Output,
) -> io::Result<()> {
    let path: PathBuf = layers_folder.join(format!("{name}.toml"));
    if path.exists() && read_toml_file::<toml::Table>(&path).is_err() {
        output.step("Removing the cached agent's description, which is damaged");
        fs_err::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    fn table(text: &str) -> toml::Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn record_survives_the_layer_metadata() {
        let text = toml::to_string(&record()).unwrap();
        assert_eq!(previous(&Some(table(&text))), Previous::Record(record()));
    }

    #[test]
    fn metadata_of_another_version_is_unreadable() {
        let mut newer = toml::Table::try_from(record()).unwrap();
        newer.insert("invented_later".to_owned(), toml::Value::Boolean(true));
        assert!(matches!(
            previous(&Some(newer)),
            Previous::Unreadable { reason } if reason.contains("invented_later")
        ));
        assert!(matches!(
            previous(&Some(table("installer = 1.0"))),
            Previous::Unreadable { .. }
        ));
        assert_eq!(previous(&None), Previous::Nothing);
    }
}
