//! The source directory of an app, made for one test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The source of an app.
#[derive(Debug, Clone, Default)]
pub struct App {
    processes: BTreeMap<String, String>,
    /// Contents and modes.
    files: BTreeMap<PathBuf, (Vec<u8>, u32)>,
}

impl App {
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a process, which bash runs as `bash -c command`.
    pub fn process(mut self, process_type: &str, command: &str) -> Self {
        self.processes
            .insert(process_type.to_owned(), command.to_owned());
        self
    }

    pub fn file(self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.with(path, content, 0o644)
    }

    pub fn executable(self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.with(path, content, 0o755)
    }

    fn with(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.insert(path.into(), (content.into(), mode));
        self
    }

    /// Makes `directory` the app's directory, with nothing of an earlier one left.
    pub fn write_to(&self, directory: &Path) {
        if directory.exists() {
            fs::remove_dir_all(directory).unwrap();
        }
        fs::create_dir(directory).unwrap();
        let lines = self
            .processes
            .iter()
            .map(|(name, command)| format!("{name}: {command}\n"));
        fs::write(directory.join("processes"), lines.collect::<String>()).unwrap();
        for (path, (content, mode)) in &self.files {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
}
