//! This program's own place: the layer that it is in.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::interface::{Connection, Sidecar};

/// This program's full path: the one in its arguments, or else the kernel's.
pub(crate) fn path(argv0: Option<OsString>) -> Option<PathBuf> {
    argv0
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(kernels_path)
}

/// The kernel's path has no link in it: the programs of other roles are links to this one.
fn kernels_path() -> Option<PathBuf> {
    fs::read_link("/proc/self/exe").ok()
}

/// The layer of this program, which is `<layer>/exec.d/<program>`.
pub(crate) fn layer_of(program: &Path) -> Option<&Path> {
    program.parent()?.parent()
}

/// How a program beside the supervisor finds it.
pub(crate) fn connection<S: Sidecar>(sidecar: &S) -> Option<Connection> {
    let program = kernels_path();
    let layer = program.as_deref().and_then(layer_of);
    sidecar.connection(&Environment::of_process(), layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_argv0_if_that_is_a_full_path() {
        let argv0 = |text: &str| path(Some(OsString::from(text)));
        let full = "/layers/agent/exec.d/launch";
        assert_eq!(argv0(full), Some(PathBuf::from(full)));
        let executable = std::env::current_exe().ok();
        for unusable in [argv0("launch"), argv0("./launch"), argv0(""), path(None)] {
            assert_eq!(unusable, executable);
        }
    }
}
