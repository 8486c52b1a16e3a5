//! The documents, whose commands and examples the tests run.

use std::fs;

use crate::root;

/// The directories of documents.
const DIRECTORIES: [&str; 3] = ["", "docs", "sidecar"];

/// The paths of all documents, relative to the root.
pub fn documents() -> Vec<String> {
    let mut documents = Vec::new();
    for directory in DIRECTORIES {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let path = path.strip_prefix(root()).unwrap();
                documents.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    assert!(documents.len() > 10, "{documents:?}");
    documents.sort();
    documents
}

/// A block of code in a document.
pub struct Block {
    /// What follows the fence, such as `sh`.
    pub language: String,
    /// Without the indentation of the fence.
    pub text: String,
}

/// The blocks of code in a document.
#[track_caller]
pub fn blocks(document: &str) -> Vec<Block> {
    let path = root().join(document);
    let content =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut blocks = Vec::new();
    let mut lines = content.lines();
    while let Some(line) = lines.next() {
        let fence = line.split_once("```");
        let Some((indentation, language)) = fence.filter(|(before, _)| before.trim().is_empty())
        else {
            continue;
        };
        let fence = format!("{indentation}```");
        let text = lines.by_ref().take_while(|line| *line != fence);
        blocks.push(Block {
            language: language.to_owned(),
            text: text
                .map(|line| line.strip_prefix(indentation).unwrap_or(line).to_owned() + "\n")
                .collect(),
        });
    }
    blocks
}

/// The block of code in a document that begins with this text.
///
/// `tests/docs` looks for calls of this function with two literals, and fails if there is none for
/// a block.
#[track_caller]
pub fn documented(document: &str, start: &str) -> String {
    let mut texts: Vec<String> = blocks(document)
        .into_iter()
        .map(|block| block.text)
        .filter(|text| text.starts_with(start))
        .collect();
    texts.dedup();
    assert_eq!(texts.len(), 1, "{document}, {start}: {texts:?}");
    texts.remove(0)
}
