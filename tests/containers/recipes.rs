//! The recipes of docs/recipes.md, which other modules run.

const DOCUMENT: &str = include_str!("../../docs/recipes.md");

/// The content of a file in the document's section for this server.
pub(crate) fn file(section: &str, name: &str) -> &'static str {
    let (_, section) = DOCUMENT
        .split_once(&format!("\n## {section}\n"))
        .expect("the document has a section for it");
    let section = section.split("\n## ").next().unwrap();
    let (_, rest) = section
        .split_once(&format!("`{name}`:\n\n```"))
        .expect("the section has that file");
    let (_, content) = rest.split_once('\n').unwrap();
    content.split("```").next().unwrap()
}

/// The command of the section's process `web`.
pub(crate) fn command(section: &str) -> &'static str {
    let line = file(section, "Procfile").trim_end();
    line.strip_prefix("web: ").expect("it is one process")
}
