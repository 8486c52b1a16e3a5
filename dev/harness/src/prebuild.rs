//! Builds that run before the first test.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::command;

/// Long enough for the first build of all that the tests need, on a slow machine.
const BUILD_DEADLINE: Duration = Duration::from_mins(20);

/// Runs a command that builds something, in the environment that the tests were started in.
///
/// # Errors
///
/// The command with its status and output, if it fails.
pub fn make(command: &mut Command) -> Result<(), String> {
    // Without what cargo sets for its tests: build scripts look at some of it, and would be run
    // anew each time.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let is_cargos = name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_BIN_")
            || name.starts_with("CARGO_MANIFEST_");
        if is_cargos || ["CARGO", "CARGO_CRATE_NAME", "LD_LIBRARY_PATH"].contains(&&*name) {
            command.env_remove(&*name);
        }
    }
    let (status, output) = command::run(command, BUILD_DEADLINE);
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} failed ({status}):\n{output}"))
    }
}

/// Copies a file or directory to a new place, where every user can read it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    const SCRIPT: &str = r#"
        mkdir -p "$(dirname "$2")" && cp -r --no-dereference --preserve=mode,links "$1" "$2" &&
            chmod -R a+rX "$2"
    "#;
    make(
        Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args([from, to]),
    )
}
