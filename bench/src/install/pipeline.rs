//! What people do today: a line of shell in a build script.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::{Archive, check_installed};
use super::release_server::ReleaseServer;
use crate::kit::{AGENT, Kit};
use crate::rounds::{Subject, SubjectError};

/// With the checksum compared before the end. The group waits for the process substitution, which nothing else does: the
/// checksum has to be complete, and its time has to count.
const CHECKED: &str = r#"
set -euo pipefail
curl -sSf "$URL" | { tee >(sha256sum >sum); wait $!; } | tar xz
[[ $(<sum) == "$SHA256  -" ]]
"#;

/// What the original buildpack does.
const UNCHECKED: &str = r#"curl -s "$URL" | tar xz"#;

/// A shell pipeline that unpacks an archive into a folder of its own.
#[derive(Debug)]
pub(super) struct Pipeline<'a> {
    name: &'static str,
    script: &'static str,
    folder: PathBuf,
    server: &'a ReleaseServer,
    archive: &'a Archive,
    agent: &'a Path,
}

impl<'a> Pipeline<'a> {
    pub(super) fn checked(
        kit: &Kit,
        server: &'a ReleaseServer,
        archive: &'a Archive,
        agent: &'a Path,
    ) -> Self {
        Self {
            name: "shell, checked",
            script: CHECKED,
            folder: kit.work("checked"),
            server,
            archive,
            agent,
        }
    }

    pub(super) fn unchecked(
        kit: &Kit,
        server: &'a ReleaseServer,
        archive: &'a Archive,
        agent: &'a Path,
    ) -> Self {
        Self {
            name: "shell, unchecked",
            script: UNCHECKED,
            folder: kit.work("unchecked"),
            ..Self::checked(kit, server, archive, agent)
        }
    }
}

impl Subject for Pipeline<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&mut self) -> Result<(), SubjectError> {
        if self.folder.exists() {
            fs_err::remove_dir_all(&self.folder)?;
        }
        Ok(fs_err::create_dir(&self.folder)?)
    }

    fn command(&self) -> Command {
        let url = self.server.url(self.archive.file_name);
        shell(self.script, &url, &self.archive.sha256, &self.folder)
    }

    fn check(&mut self, _output: &str) -> Result<(), SubjectError> {
        self.server.check_one_download(self.archive.file_name)?;
        check_installed(&self.folder.join(AGENT), self.agent)
    }
}

fn shell(script: &str, url: &str, sha256: &str, folder: &Path) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("URL", url)
        .env("SHA256", sha256);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the script on a local archive, and gives whether it succeeded and what it unpacked.
    fn unpack(script: &str, sha256: Option<&str>) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        fs_err::write(path("backplane"), "agent").unwrap();
        let run = |command: &mut Command| command.output().unwrap();
        run(Command::new("tar")
            .args(["czf", "archive.tgz", "backplane"])
            .current_dir(&folder));
        let sum = run(Command::new("sha256sum").arg(path("archive.tgz"))).stdout;
        let sum = String::from_utf8(sum).unwrap()[..64].to_owned();
        fs_err::create_dir(path("into")).unwrap();
        let url = format!("file://{}", path("archive.tgz").display());
        let sha256 = sha256.unwrap_or(&sum);
        let output = run(&mut shell(script, &url, sha256, &path("into")));
        let unpacked = fs_err::read_to_string(path("into/backplane"));
        (output.status.success(), unpacked.unwrap_or_default())
    }

    #[test]
    fn both_pipelines_unpack_and_the_checked_one_checks() {
        let done = (true, "agent".to_owned());
        assert_eq!(unpack(CHECKED, None), done);
        assert_eq!(unpack(UNCHECKED, None), done);
        let wrong = "0".repeat(64);
        assert!(!unpack(CHECKED, Some(&wrong)).0);
        assert_eq!(unpack(UNCHECKED, Some(&wrong)), done);
    }
}
