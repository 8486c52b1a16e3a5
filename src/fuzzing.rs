//! What the fuzz targets in `fuzz/` call; no part of the program.

use std::io::{self, BufReader};
use std::path::Path;

use crate::archive;
use crate::gunzip::Gunzip;
use crate::limits::Limits;
use crate::target::Target;

/// Takes the agent's files out of the file `download` in `directory`, and returns their names.
///
/// # Errors
///
/// If nothing can be installed, in words for developers.
pub fn unpack(directory: &Path, is_complete: bool) -> Result<Vec<String>, String> {
    let [scratch, into] = ["scratch", "into"].map(|name| directory.join(name));
    let limits = Limits {
        unpacked_bytes: 1 << 20,
        entries: 100,
        ..Limits::default()
    };
    let target = Target {
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
    };
    let download = directory.join("download");
    archive::unpack(&download, &scratch, &into, &target, &limits, is_complete)
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
