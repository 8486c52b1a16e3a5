//! Release archives of an agent, as they are published: a tar archive, compressed by gzip.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err::File;

use super::release_server::ReleaseServer;
use crate::kit::{AGENT, Kit};
use crate::measure::{self, Limits};
use crate::rounds::SubjectError;

/// An archive in the folder that is served.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) file_name: &'static str,
    /// In lower-case hex digits.
    pub(super) sha256: String,
}

impl Archive {
    /// Makes an archive with `program` as the agent.
    pub(super) fn of_program(
        kit: &Kit,
        file_name: &'static str,
        program: &Path,
        limits: &Limits,
    ) -> Result<Self, SubjectError> {
        let path = kit.work("releases").join(file_name);
        let log = kit.work("log");
        // In place of whatever it is called now.
        let rename = format!("--transform=s|.*|{AGENT}|");
        measure::run(
            Command::new("tar")
                .args(["--create", "--gzip", "--absolute-names", &rename])
                .arg("--file")
                .args([path.as_path(), program]),
            &log,
            limits.run,
        )?;
        measure::run(Command::new("sha256sum").arg(&path), &log, limits.run)?;
        let sum = fs_err::read_to_string(&log)?;
        let sha256 = sum.split(' ').next().unwrap_or_default().to_owned();
        Ok(Self {
            path,
            file_name,
            sha256,
        })
    }

    /// The settings of a build that installs it, and nothing else, from `server`.
    pub(super) fn pinned(&self, server: &ReleaseServer) -> Vec<(&'static str, OsString)> {
        vec![
            ("BACKPLANE_AGENT_URL", server.url(self.file_name).into()),
            ("BACKPLANE_AGENT_SHA256", self.sha256.clone().into()),
        ]
    }
}

/// Writes a program of about `bytes` bytes that no compression makes smaller, and that nobody should run.
pub(super) fn write_random_agent(path: &Path, bytes: u64) -> io::Result<()> {
    let mut agent = File::create(path)?;
    agent.write_all(b"#!/bin/false\n")?;
    io::copy(&mut File::open("/dev/urandom")?.take(bytes), &mut agent)?;
    agent.set_permissions(PermissionsExt::from_mode(0o755))
}

/// Fails unless `installed` has the content of `agent`.
pub(super) fn check_installed(installed: &Path, agent: &Path) -> Result<(), SubjectError> {
    // Piece by piece, as this program must stay smaller than what it measures.
    let mut pieces = [vec![0; 64 * 1024], vec![0; 64 * 1024]];
    let mut files = [File::open(installed)?, File::open(agent)?];
    loop {
        let mut counts = [0; 2];
        for ((file, piece), count) in files.iter_mut().zip(&mut pieces).zip(&mut counts) {
            *count = read_full(file, piece)?;
        }
        if pieces[0][..counts[0]] != pieces[1][..counts[1]] {
            let claim = format!("{} is not the released agent", installed.display());
            return Err(SubjectError::Broken(claim));
        }
        if counts == [0, 0] {
            return Ok(());
        }
    }
}

/// Reads until `piece` is full or the file ends.
fn read_full(file: &mut File, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match file.read(&mut piece[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_agent_is_compared_to_its_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let agent = folder.path().join("agent");
        write_random_agent(&agent, 200_000).unwrap();
        let content = fs_err::read(&agent).unwrap();
        let mut altered = content.clone();
        *altered.last_mut().unwrap() ^= 1;
        let longer = [content.as_slice(), b"x"].concat();
        for (installed, is_agent) in [
            (&content[..], true),
            (&altered, false),
            (&longer, false),
            (&content[..content.len() - 1], false),
            (b"", false),
        ] {
            let path = folder.path().join("installed");
            fs_err::write(&path, installed).unwrap();
            let outcome = check_installed(&path, &agent);
            assert_eq!(outcome.is_ok(), is_agent, "{outcome:?}");
        }
    }
}
