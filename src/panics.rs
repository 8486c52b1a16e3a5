//! A panic of a library, ended as an error in the format of ours.

use std::panic::{self, AssertUnwindSafe, UnwindSafe};
use std::process::ExitCode;
use std::sync::OnceLock;

use crate::errors::{BackplaneError, ErrorMessage, of_buildpack};

/// Where the first panic was, of whichever thread.
static PLACE: OnceLock<String> = OnceLock::new();

/// Runs `program`; if it panics, `report` gets the message for the user, and the exit status is that of a failed build.
pub(crate) fn catch(
    program: impl FnOnce() -> ExitCode + UnwindSafe,
    report: impl FnOnce(ErrorMessage),
) -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        // Only the place: the text may quote a value of the user with a secret in it.
        let place = panic.location().map_or_else(String::new, |location| {
            format!("{}:{}", in_crate(location.file()), location.line())
        });
        // Of several panics, the first one is the cause.
        let _ = PLACE.set(place);
    }));
    panic::catch_unwind(program).unwrap_or_else(|_payload| {
        let place = PLACE.get().cloned().unwrap_or_default();
        // Whatever has panicked may have been the output.
        let report = || report(of_buildpack(BackplaneError::Panic { place }));
        let _ = panic::catch_unwind(AssertUnwindSafe(report));
        ExitCode::FAILURE
    })
}

/// The path of a source file from its crate on, without the directories of the machine that compiled it.
fn in_crate(file: &str) -> &str {
    file.split_once("/registry/src/")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or(file, |(_registry, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_a_library_is_named_from_its_crate_on() {
        for (file, shown) in [
            (
                "/home/me/.cargo/registry/src/index.crates.io-1949/url-2.5/src/lib.rs",
                "url-2.5/src/lib.rs",
            ),
            ("src/lib.rs", "src/lib.rs"),
            (
                "/rustc/5980/library/std/src/env.rs",
                "/rustc/5980/library/std/src/env.rs",
            ),
        ] {
            assert_eq!(in_crate(file), shown);
        }
    }
}
