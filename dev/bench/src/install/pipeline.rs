//! What people do today: a line of shell in a build script.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::release::Release;
use crate::bundle::{AGENT, Bundle};
use crate::rounds::Subject;

/// With the checksum compared before the end. The group waits for the process substitution, which nothing else does: the
/// checksum has to be complete, and its time has to count.
pub(super) const CHECKED: &str = r#"
set -euo pipefail
curl -sSf "$URL" | { tee >(sha256sum >sum); wait $!; } | tar xz
[[ $(<sum) == "$SHA256  -" ]]
"#;

/// What the original buildpack does.
pub(super) const UNCHECKED: &str = r#"curl -s "$URL" | tar xz"#;

/// A shell pipeline that unpacks an archive into a directory of its own.
pub(super) struct Pipeline<'a> {
    name: &'static str,
    script: &'static str,
    directory: PathBuf,
    release: &'a Release<'a>,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        bundle: &Bundle,
        name: &'static str,
        script: &'static str,
        release: &'a Release<'a>,
    ) -> Self {
        let directory = bundle.work(name);
        Self {
            name,
            script,
            directory,
            release,
        }
    }
}

impl Subject for Pipeline<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&mut self) -> Result<()> {
        if self.directory.exists() {
            fs_err::remove_dir_all(&self.directory)?;
        }
        Ok(fs_err::create_dir(&self.directory)?)
    }

    fn command(&self) -> Command {
        shell(
            self.script,
            &self.release.url(),
            &self.release.sha256,
            &self.directory,
        )
    }

    fn check(&mut self, _output: &str) -> Result<()> {
        self.release.check(&self.directory.join(AGENT), 1)
    }
}

fn shell(script: &str, url: &str, sha256: &str, directory: &Path) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("URL", url)
        .env("SHA256", sha256);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the script on a local archive, and returns whether it succeeded and what it unpacked.
    fn unpack(script: &str, sha256: Option<&str>) -> (bool, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        fs_err::write(path("backplane"), "agent").unwrap();
        let run = |command: &mut Command| command.output().unwrap();
        let tar = ["czf", "archive.tgz", "backplane"];
        run(Command::new("tar").args(tar).current_dir(&directory));
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
