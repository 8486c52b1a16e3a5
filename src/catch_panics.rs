//! A panic of a library, turned into an error of the build.

use std::panic::{self, AssertUnwindSafe, UnwindSafe};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Where the first panic was, in any thread.
static LOCATION: OnceLock<String> = OnceLock::new();

/// Runs `program`. If it panics, calls `report` with the location of the panic, and returns the
/// exit code of a failed build.
pub(crate) fn catch_panics(
    program: impl FnOnce() -> ExitCode + UnwindSafe,
    report: impl FnOnce(String),
) -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        // Only the location: the message may quote a value of the user with a secret in it.
        let location = panic.location().map_or_else(String::new, |location| {
            format!("{}:{}", in_crate(location.file()), location.line())
        });
        let _ = LOCATION.set(location); // Of several panics, the first one is the cause.
    }));
    panic::catch_unwind(program).unwrap_or_else(|_payload| {
        let location = LOCATION.get().cloned().unwrap_or_default();
        let report = AssertUnwindSafe(|| report(location));
        let _ = panic::catch_unwind(report); // The log itself may have panicked.
        ExitCode::FAILURE
    })
}

/// The path of a source file within its crate, without the directories of the machine that compiled
/// it.
fn in_crate(file: &str) -> &str {
    file.split_once("/registry/src/")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or(file, |(_registry, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_a_library_is_named_by_its_path_in_the_crate() {
        let registry = "/home/me/.cargo/registry/src/index.crates.io-1949";
        let library = format!("{registry}/url-2.5/src/lib.rs");
        assert_eq!(in_crate(&library), "url-2.5/src/lib.rs");
        for file in ["src/lib.rs", "/rustc/5980/library/std/src/env.rs"] {
            assert_eq!(in_crate(file), file);
        }
    }
}
