//! Entry points for the fuzz targets in `fuzz/` and for tests with random values; not part of the
//! program.

use std::ffi::OsString;
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::archive::gunzip::Gunzip;
use crate::archive::{self, AGENT};
use crate::cached_agent::Previous;
use crate::classic;
use crate::error::BackplaneError;
use crate::layers;
use crate::limits::Limits;
use crate::messages::errors;
use crate::output::escape;
use crate::release::Release;
use crate::settings::{Setting, Settings};
use crate::target::Target;

/// Extracts the agent's files from the file `download` in `directory`, and returns their names.
///
/// # Errors
///
/// If nothing can be installed; for developers.
pub fn unpack(directory: &Path, is_complete: bool) -> Result<Vec<String>, String> {
    let [scratch, into] = ["scratch", "into"].map(|name| directory.join(name));
    let limits = Limits {
        max_unpacked_bytes: 1 << 20,
        max_entries: 100,
        ..Limits::default()
    };
    let target = target();
    let download = directory.join("download");
    archive::unpack(
        &download,
        AGENT,
        &scratch,
        &into,
        &target,
        &limits,
        is_complete,
    )
    .map(|unpacked| unpacked.files.into_keys().collect())
    .map_err(|error| format!("{error:?}"))
}

/// Decompresses a gzip stream through a buffer of some bytes, and returns how many come out.
///
/// # Errors
///
/// If the stream is no complete gzip file.
pub fn gunzip(stream: &[u8], buffer_bytes: usize) -> io::Result<u64> {
    let source = BufReader::with_capacity(buffer_bytes.max(1), stream);
    io::copy(&mut Gunzip::new(source), &mut io::sink())
}

/// Everything that a build logs about these values of its settings before it fetches anything.
#[must_use]
pub fn settings(values: [&[u8]; 6]) -> String {
    let names = Setting::ALL.map(|setting| setting.name().into());
    let values = values.map(|value| OsString::from_vec(value.to_vec()));
    let environment = names.into_iter().zip(values).collect();
    let agents = classic::agents(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_default();
    let determined = Settings::parse(&environment)
        .map_err(BackplaneError::Settings)
        .and_then(|settings| {
            Release::determine(&settings, &agents, target(), Path::new("/app"))
                .map_err(BackplaneError::Release)
        });
    escape(&match determined {
        Ok(Release { source, .. }) => format!("{}\n{}", source.redacted(), source.public_url()),
        Err(error) => errors::message_of(error).to_string(),
    })
}

/// The source and the file names in a cached agent's metadata, if `content` is that, in a layer's
/// description or on its own.
#[must_use]
pub fn metadata(content: &[u8]) -> Vec<(String, Vec<String>)> {
    let previous = [
        layers::agent::parse(content).ok(),
        Some(classic::parse_metadata(content)),
    ];
    previous
        .into_iter()
        .flatten()
        .filter_map(|previous| match previous {
            Previous::Agent(metadata) => {
                Some((metadata.source, metadata.files.into_keys().collect()))
            }
            Previous::Nothing | Previous::Unreadable(_) => None,
        })
        .collect()
}

fn target() -> Target {
    Target {
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
    }
}
