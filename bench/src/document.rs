//! Results as Markdown: tables, and their place in a document that people write around them.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// A Markdown table, which is good to read on a terminal too. The first column is of words, all others of figures.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// What is said of a goal.
pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}

/// `document` with `content` as its section `name`: in place of the earlier one, or at the end.
pub(crate) fn with_section(document: &str, name: &str, content: &str) -> String {
    let begin = format!("<!-- begin: script/bench {name} -->\n");
    let end = format!("<!-- end: script/bench {name} -->\n");
    let section = format!("{begin}\n{}\n\n{end}", content.trim());
    let earlier = document.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    match earlier {
        Some((before, after)) => [before, &section, after].concat(),
        None if document.is_empty() => section,
        None => format!("{}\n\n{section}", document.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indoc::indoc;

    #[test]
    fn table_is_aligned_markdown() {
        let rows = [["a short one", "1.0"], ["another", "100.25"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            table(&["what", "ms"], rows),
            indoc! {"
                | what        |     ms |
                |-------------|--------|
                | a short one |    1.0 |
                | another     | 100.25 |"
            }
        );
    }

    #[test]
    fn section_takes_its_place() {
        let first = with_section("# Benchmarks\n", "install", "old");
        assert_eq!(
            first,
            "# Benchmarks\n\n<!-- begin: script/bench install -->\n\nold\n\n<!-- end: script/bench install -->\n"
        );
        let both = with_section(&format!("{first}\nWords.\n"), "launch", "launched");
        let renewed = with_section(&both, "install", "new");
        assert_eq!(renewed, both.replace("old", "new"));
        assert_ne!(renewed, both);
    }
}
