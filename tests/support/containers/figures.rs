//! Figures of a run, for the tables of docs/proof.md.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

/// The variable by which `script/proof` names the file that each test adds its rows to. Without it nothing is kept.
const FILE: &str = "BACKPLANE_TEST_FIGURES";

/// Adds a row to one of the tables.
pub(crate) fn add_row<const N: usize>(table: &str, cells: &[String; N]) {
    let Some(file) = env::var_os(FILE) else {
        return;
    };
    let row = format!("{table}\t{}\n", cells.join("\t"));
    let mut file = OpenOptions::new().append(true).open(file).unwrap();
    // One write, so that no other test's row comes in between.
    file.write_all(row.as_bytes()).unwrap();
}

/// A time as the tables tell it.
pub(crate) fn milliseconds(time: Duration) -> String {
    time.as_millis().to_string()
}
