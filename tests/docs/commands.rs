//! The commands and examples of all documents: a test uses each, or it is here with a reason.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use harness::{Block, blocks, documented, documents};
use yaml_rust2::YamlLoader;

use crate::{code_below, read, root};

/// Blocks that no test takes out of their document: document, beginning, and reason.
const NOT_RUN: [(&str, &str, &str); 12] = [
    ("CONTRIBUTING.md", "flowchart ", "a diagram"),
    (
        "CONTRIBUTING.md",
        "script/bootstrap ",
        "script/test runs this test, and the demo",
    ),
    ("README.md", "heroku buildpacks:add ", HEROKU),
    ("README.md", "heroku config:set ", HEROKU),
    (
        "README.md",
        "script/demo ",
        "script/test runs this test, and the demo",
    ),
    (
        "docs/errors.md",
        "",
        "the page is made from messages, whose values are examples",
    ),
    ("docs/heroku.md", "heroku buildpacks:add ", HEROKU),
    ("docs/heroku.md", "heroku buildpacks ", HEROKU),
    (
        "docs/installing.md",
        "cosign verify ",
        "it needs a published release, and the public log of signatures",
    ),
    (
        "docs/recipes.md",
        "on: ",
        "only GitHub has its runner; script/test checks it by actionlint",
    ),
    (
        "docs/recipes.md",
        "apiVersion: kpack.io/",
        "kpack and the buildpacks for it are published as images only",
    ),
    (
        "docs/supervisor.md",
        "stateDiagram-v2",
        "made by diagram_of_the_states_is_that_of_the_table",
    ),
];

const HEROKU: &str = "Heroku's command line needs an account there";

/// The blocks that tests take out of documents: document and beginning of each call of `documented`
/// with two literals.
fn documented_in_tests() -> Vec<(String, String)> {
    fn literal(code: &str) -> Option<(&str, &str)> {
        code.trim_start().strip_prefix('"')?.split_once('"')
    }
    let code =
        ["dev", "launch", "src", "tests"].map(|directory| code_below(&root().join(directory)));
    let code = code.concat().concat();
    let calls = code.split("documented(").skip(1);
    let calls = calls.filter_map(|rest| {
        let (document, rest) = literal(rest)?;
        let (start, _) = literal(rest.strip_prefix(',')?)?;
        Some((document.to_owned(), start.to_owned()))
    });
    calls.collect()
}

#[test]
fn every_block_is_run_by_a_test_or_listed_with_a_reason() {
    let run = documented_in_tests();
    let mut listed = BTreeSet::new();
    for document in documents() {
        for block in blocks(&document) {
            let is_it =
                |found: &str, start: &str| found == document && block.text.starts_with(start);
            if run.iter().any(|(document, start)| is_it(document, start)) {
                continue;
            }
            let row = NOT_RUN.iter().find(|row| is_it(row.0, row.1));
            let row = row.unwrap_or_else(|| panic!("{document}: no test runs {}", block.text));
            listed.insert(row);
        }
    }
    assert_eq!(
        listed.len(),
        NOT_RUN.len(),
        "listed, but run or gone: only {listed:#?} is left"
    );
}

#[test]
fn examples_of_toml_and_yaml_can_be_read() {
    for document in documents() {
        for Block { language, text } in blocks(&document) {
            match &*language {
                "toml" => assert!(text.parse::<toml::Table>().is_ok(), "{document}: {text}"),
                "yaml" => assert!(
                    YamlLoader::load_from_str(&text).is_ok(),
                    "{document}: {text}"
                ),
                _ => {}
            }
        }
    }
}

/// The path that begins here.
fn path(text: &str) -> &str {
    let end = text.find(|char: char| !(char.is_alphanumeric() || "/-_.".contains(char)));
    text[..end.unwrap_or(text.len())].trim_end_matches('.')
}

/// Up to the end of the command, the comment or the cell.
fn words_after<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let rest = &text[name.len()..];
    let ends = ["script/", "\n", "`", "|", " run "].map(|end| rest.find(end));
    let end = ends.into_iter().flatten().min().unwrap_or(rest.len());
    rest[..end].split(|char: char| char.is_whitespace() || ",;()".contains(char))
}

#[test]
fn scripts_and_their_options_that_documents_name_exist() {
    for document in documents() {
        let text = read(&document);
        for (before, rest) in ["script/", ".github/"]
            .into_iter()
            .flat_map(|directory| text.match_indices(directory))
            .map(|(at, _)| text.split_at(at))
        {
            let name = path(rest);
            if before.ends_with(|char: char| char.is_alphanumeric() || "/.-".contains(char)) {
                continue;
            }
            assert!(root().join(name).exists(), "{document}: {name}");
            for option in
                words_after(rest, name).filter(|word| word.starts_with("--") && *word != "-->")
            {
                let usage = read(name);
                let mut usage = usage.lines().take_while(|line| line.starts_with('#'));
                assert!(
                    usage.any(|line| line.contains(option)),
                    "{document}: {name} {option}"
                );
            }
        }
    }
}

fn variables_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("BACKPLANE_").map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn variables_that_documents_name_exist() {
    // A unit test compares its tables with the code.
    let readme = read("README.md");
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut variables: BTreeSet<&str> = rows.collect();
    let of_agents = ["chisel/backplane", "frp/backplane", "frp/frpc.toml"];
    let of_agents = of_agents.map(|file| read(&format!("agents/{file}")));
    variables.extend(of_agents.iter().flat_map(|text| variables_in(text)));
    // Of the stand-in's agent, and of script/engine.
    variables.extend(["BACKPLANE_EDGE", "BACKPLANE_TEST_HEROKU"]);
    for document in documents() {
        let text = read(&document);
        for name in variables_in(&text) {
            // `BACKPLANE_*`, and the labels of a process type.
            let is_open = name == "BACKPLANE_" || name.starts_with("BACKPLANE_LABELS_");
            assert!(is_open || variables.contains(name), "{document}: {name}");
        }
    }
}

#[test]
fn example_of_the_sidecar_is_that_of_its_readme() {
    let example = read("sidecar/examples/minimal.rs");
    assert!(example.contains(&documented("sidecar/README.md", "fn main() ")));
}

#[test]
fn plugin_of_the_recipe_is_that_of_the_tests() {
    let without_indentation = |text: &str| -> String { text.lines().map(str::trim).collect() };
    let recipe = documented("docs/recipes.md", "<plugin>");
    let recipe = without_indentation(&recipe);
    let app = read("tests/fixtures/apps/spring-boot/pom.xml");
    assert!(without_indentation(&app).contains(&recipe));
}

#[test]
fn fuzz_targets_that_the_document_names_are_all_that_there_are() {
    let fuzz: toml::Table = read("fuzz/Cargo.toml").parse().unwrap();
    let command = documented("CONTRIBUTING.md", "RUSTC_BOOTSTRAP=1 cargo fuzz run ");
    let targets = fuzz["bin"].as_array().unwrap();
    for target in targets {
        assert!(
            command.contains(target["name"].as_str().unwrap()),
            "{target}: {command}"
        );
    }
}

/// The messages' other commands need Heroku or a certificate's host.
#[test]
fn commands_that_repair_a_script_do() {
    for (start, command) in [
        ("\r\n", documented("docs/errors.md", "sed -i 's/")),
        ("\u{feff}", documented("docs/errors.md", "sed -i '1s/")),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("backplane");
        fs::write(&script, "\u{feff}#!/bin/sh\r\n").unwrap();
        let mut shell = Command::new("/bin/sh");
        let status = shell
            .args(["-c", &command])
            .current_dir(&directory)
            .status();
        assert!(status.unwrap().success());
        let repaired = fs::read_to_string(script).unwrap();
        assert!(!repaired.contains(start), "{repaired:?}");
    }
}
