//! The checksum of the agent's download, for the status report.

use std::io::Read as _;
use std::path::Path;

/// The name of the file that the build leaves in the agent's layer, and that holds the SHA-256
/// checksum of the agent's download in hexadecimal digits and a newline.
pub const CHECKSUM_FILE: &str = "agent.sha256";

/// The checksum that the build wrote for the agent of this layer, if it is one.
pub(crate) fn read(layer: &Path) -> Option<String> {
    const DIGITS: usize = 64;
    // A newline more than the digits, and one byte more to see that it is longer.
    const MAX_FILE: u64 = DIGITS as u64 + 2;
    let mut content = String::new();
    let file = sidecar::open_regular(&layer.join(CHECKSUM_FILE)).ok()?;
    file.take(MAX_FILE).read_to_string(&mut content).ok()?;
    let checksum = content;
    let checksum = checksum.trim_end();
    let is_one = checksum.len() == DIGITS && checksum.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| checksum.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn checksum_is_read_or_there_is_none() {
        let layer = tempfile::tempdir().unwrap();
        assert_eq!(read(layer.path()), None);
        let checksum = "09af".repeat(16);
        for (content, is_one) in [
            (format!("{checksum}\n"), true),
            (checksum.clone(), true),
            (String::new(), false),
            (format!("{checksum}0\n"), false),
            (checksum.replace('9', "g"), false),
        ] {
            fs::write(layer.path().join(CHECKSUM_FILE), &content).unwrap();
            let expected = is_one.then(|| checksum.clone());
            assert_eq!(read(layer.path()), expected, "{content}");
        }
    }
}
