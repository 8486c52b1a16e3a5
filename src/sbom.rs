//! The software bill of materials of the layer, in CycloneDX. The same agent has the same bytes.

use libcnb::data::sbom::SbomFormat;
use libcnb::sbom::Sbom;
use serde_json::{Value, json};

use crate::metadata::AgentMetadata;

/// The bill of materials of an installed agent, after [CycloneDX
/// 1.5](https://cyclonedx.org/docs/1.5/json/). It has no time stamp and no serial number, so that
/// it is reproducible.
pub(crate) fn of_agent(metadata: &AgentMetadata) -> Sbom {
    let hashes = |checksum: &_| json!([{ "alg": "SHA-256", "content": checksum }]);
    let files: Vec<Value> = metadata
        .files
        .iter()
        .map(|(name, checksum)| {
            json!({
                "type": "file",
                "bom-ref": format!("file:{name}"),
                "name": name,
                "hashes": hashes(checksum),
            })
        })
        .collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [{
            "type": "application",
            "bom-ref": format!("agent:{}", metadata.sha256),
            "name": metadata.agent,
            // The agent's version is unknown; the download's checksum identifies it.
            "version": format!("sha256:{}", metadata.sha256),
            "hashes": hashes(&metadata.sha256),
            "properties": [
                { "name": "backplane:os", "value": metadata.os },
                { "name": "backplane:arch", "value": metadata.arch },
            ],
            "externalReferences": [{
                "type": "distribution",
                "url": metadata.source,
                "hashes": hashes(&metadata.sha256),
            }],
            "components": files,
        }],
    });
    Sbom::from_bytes(SbomFormat::CycloneDxJson, format!("{document:#}\n"))
}

#[cfg(test)]
mod tests {
    use cyclonedx_bom::models::component::Classification;
    use cyclonedx_bom::models::hash::HashAlgorithm;
    use cyclonedx_bom::prelude::{Bom, SpecVersion, Validate};

    use super::*;
    use crate::metadata::tests::agent_metadata;

    #[test]
    fn library_reads_the_same_bytes_for_the_same_agent() {
        let sbom = of_agent(&agent_metadata());
        assert_eq!(sbom.data, of_agent(&agent_metadata()).data);
        let data = sbom.data.as_slice();
        let bom = Bom::parse_from_json_with_version(data, SpecVersion::V1_5).unwrap();
        let validation = bom.validate_version(SpecVersion::V1_5);
        assert!(validation.passed(), "{validation:?}");
        assert_eq!(bom.serial_number, None);
        assert!(bom.metadata.is_none());

        let components = bom.components.unwrap().0;
        assert_eq!(components.len(), 1);
        let agent = &components[0];
        assert_eq!(agent.name.to_string(), "backplane");
        assert_eq!(agent.component_type, Classification::Application);
        let hashes = &agent.hashes.as_ref().unwrap().0;
        assert_eq!(hashes[0].alg, HashAlgorithm::SHA_256);
        assert_eq!(hashes[0].content.0, agent_metadata().sha256.to_string());
        let references = &agent.external_references.as_ref().unwrap().0;
        assert_eq!(references[0].url.to_string(), agent_metadata().source);
        let files = &agent.components.as_ref().unwrap().0;
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].component_type, Classification::File);
    }
}
