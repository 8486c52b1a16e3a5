//! The documents: their links, their commands, their references to tests and log lines, and the parts that are made from other files.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is test code, which clippy only sees of what is inside of a test function"
)]

mod commands;
mod errors;
mod generated;
mod links;
mod states;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The contents of all Rust files below a directory.
fn code_below(directory: &Path) -> Vec<String> {
    let mut code = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code.append(&mut code_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push(fs::read_to_string(path).unwrap());
        }
    }
    code
}

/// The names of all test functions in the Rust files below a directory.
fn tests_below(directory: &Path) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for code in code_below(directory) {
        let after_marks = code.split("#[test]\n").skip(1);
        tests.extend(after_marks.filter_map(|rest| {
            let (_, name) = rest.split_once("fn ")?;
            Some(name.split_once('(')?.0.to_owned())
        }));
        // Those that `for_each_front_end!` makes tests of.
        let marks = code.split("(front_end: FrontEnd) {\n");
        tests.extend(marks.filter_map(|before| {
            let name = before.rsplit_once("fn ")?.1;
            Some(name.to_owned())
        }));
    }
    tests
}

#[test]
fn what_is_promised_is_proved_by_tests_that_exist() {
    let root = root();
    let tests: BTreeSet<String> = ["launch", "sidecar", "tests", "dev/standin"]
        .iter()
        .flat_map(|directory| tests_below(&root.join(directory)))
        .collect();
    for (document, head) in [
        (
            "docs/supervisor.md",
            "| promise | proved by |\n| --- | --- |\n",
        ),
        (
            "docs/supervisor.md",
            "| refused | then | proved by |\n| --- | --- | --- |\n",
        ),
        (
            "docs/stopping.md",
            "| case | what the test sees | proved by |\n| --- | --- | --- |\n",
        ),
        (
            "docs/kubernetes.md",
            "| case | what the test sees | proved by |\n| --- | --- | --- |\n",
        ),
        (
            "docs/proof.md",
            "| case | what the test sees | proved by |\n| --- | --- | --- |\n",
        ),
    ] {
        let document = fs::read_to_string(root.join(document)).unwrap();
        let (_, table) = document.split_once(head).unwrap();
        assert_every_row_is_proved(table, &tests);
    }
}

/// The last cell of each row names tests, separated by commas.
fn assert_every_row_is_proved(table: &str, tests: &BTreeSet<String>) {
    let rows: Vec<&str> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 2, "{rows:?}");
    for row in rows {
        let proofs = row.trim_end_matches(" |").rsplit_once("| ").unwrap().1;
        for proof in proofs.split(", ") {
            let name = proof.trim_matches('`');
            assert!(tests.contains(name), "there is no test {name}, but: {row}");
        }
    }
}

#[test]
fn log_lines_of_the_document_are_those_of_the_program() {
    let root = root();
    let document = fs::read_to_string(root.join("docs/supervisor.md")).unwrap();
    let messages: String = ["launch", "sidecar"]
        .map(|member| root.join(member).join("src/messages/snapshot.txt"))
        .map(|path| fs::read_to_string(path).unwrap())
        .concat();
    let head = "| line begins with | level | meaning, and what to do |\n| --- | --- | --- |\n";
    let (_, table) = document.split_once(head).unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let beginnings: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    assert!(beginnings.len() > 10, "{beginnings:?}");
    for beginning in beginnings {
        let is_beginning = |line: &str| line.trim_start().starts_with(beginning);
        assert!(
            messages.lines().any(is_beginning),
            "no line begins with: {beginning}"
        );
    }
}
