//! The parts of documents that are made from other files.

use std::env;
use std::fs;

use crate::{read, root};

/// Asserts that the document is `expected`, or, with `INSTA_UPDATE=always`, writes it.
pub(crate) fn assert_is(document: &str, expected: &str) {
    if env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
        fs::write(root().join(document), expected).unwrap();
    }
    let found = read(document);
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(
            found, expected,
            "{document} is out of date: run INSTA_UPDATE=always cargo test --test docs"
        );
    }
    assert_eq!(found.len(), expected.len(), "{document} is out of date");
}

/// The document with `content` as the block between its marks for `name`.
pub(crate) fn with_block(document: &str, name: &str, content: &str) -> String {
    let text = read(document);
    let start = format!("<!-- made by tests/docs: {name} -->\n");
    let end = "<!-- end -->";
    let (before, rest) = text.split_once(&start).expect("the document has the mark");
    let (_, after) = rest.split_once(end).expect("the block has an end");
    format!("{before}{start}{content}{end}{after}")
}
