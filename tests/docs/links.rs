//! The links of all documents.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use harness::documents;

use crate::{read, root};

/// The lines of a document that are not in a block of code.
fn lines_of_text(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of links and images in a line, outside of code.
fn targets(line: &str) -> Vec<&str> {
    let text = line.split('`').step_by(2);
    text.flat_map(|text| {
        let links = text.split("](").skip(1).map(|rest| (rest, ')'));
        let images = text.split("src=\"").skip(1).map(|rest| (rest, '"'));
        links.chain(images)
    })
    .map(|(rest, end)| rest.split(end).next().unwrap())
    .collect()
}

/// The anchors of a document, by the rules of GitHub.
fn anchors(text: &str) -> Vec<String> {
    let mut uses = BTreeMap::<String, usize>::new();
    let mut anchors = Vec::new();
    for line in lines_of_text(text) {
        if let Some(rest) = line.strip_prefix("<a name=\"") {
            anchors.push(rest.split('"').next().unwrap().to_owned());
        }
        let heading = line.trim_start_matches('#');
        let Some(heading) = heading.strip_prefix(' ').filter(|_| line.starts_with('#')) else {
            continue;
        };
        let slug: String = heading
            .to_lowercase()
            .replace(' ', "-")
            .chars()
            .filter(|char| char.is_alphanumeric() || ['-', '_'].contains(char))
            .collect();
        let uses = uses.entry(slug.clone()).or_default();
        anchors.push(match *uses {
            0 => slug,
            uses => format!("{slug}-{uses}"),
        });
        *uses += 1;
    }
    anchors
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    path.components()
        .fold(PathBuf::new(), |mut path, component| {
            match component {
                Component::ParentDir => {
                    path.pop();
                }
                Component::CurDir => {}
                component => path.push(component),
            }
            path
        })
}

/// Asserts that the target of a link in this document exists.
fn assert_exists(document: &str, target: &str) {
    if target.contains(':') {
        return;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let mut file = PathBuf::from(document);
    if !path.is_empty() {
        file.pop();
        file = normal(&file.join(path));
    }
    assert!(root().join(&file).exists(), "{document}: {target}");
    if !anchor.is_empty() {
        let anchors = anchors(&read(file.to_str().unwrap()));
        assert!(
            anchors.iter().any(|other| other == anchor),
            "{document}: {target} is none of {anchors:?}"
        );
    }
}

#[test]
fn links_lead_to_files_and_headings() {
    for document in documents() {
        for line in lines_of_text(&read(&document)) {
            for target in targets(line) {
                assert_exists(&document, target);
            }
        }
    }
}
