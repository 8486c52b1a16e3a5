//! Results as Markdown tables, and their places in a document that people write around them.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// A table and the name of its place in the document.
pub(crate) type NamedTable = (&'static str, String);

/// A Markdown table, which reads well on a terminal too. The first column is text, all others are figures.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// The rows of a table with two columns.
pub(crate) fn rows<const N: usize>(pairs: [(&str, String); N]) -> [Vec<String>; N] {
    pairs.map(|(name, value)| vec![name.to_owned(), value])
}

/// Bytes in this unit, with one decimal.
pub(crate) fn tenths(bytes: u64, unit: u64) -> String {
    let tenths = (bytes * 10 + unit / 2) / unit;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The rows of the table of that name.
pub(crate) fn table_of<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<!-- begin: script/bench {name} -->\n"))?;
    Some(rest.split_once("<!-- end: ")?.0)
}

/// The first number in the cell of a row, by its name, and of a column.
pub(crate) fn figure_of(table: &str, row: &str, column: usize) -> Option<f64> {
    let rows = table
        .lines()
        .map(|line| line.split('|').skip(1).map(str::trim));
    let mut cells = rows
        .into_iter()
        .find(|cells| cells.clone().next() == Some(row))?;
    cells.nth(column)?.split(' ').next()?.parse().ok()
}

/// The document with a table in place of the earlier one of that name, or at the end.
pub(crate) fn with_table(document: &str, name: &str, table: &str) -> String {
    let begin = format!("<!-- begin: script/bench {name} -->\n");
    let end = format!("<!-- end: script/bench {name} -->\n");
    let earlier = document
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = match earlier {
        Some((before, after)) => (before.to_owned(), after),
        None => (document.to_owned() + "\n", ""),
    };
    format!("{before}{begin}\n{table}\n\n{end}{after}")
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
    fn table_takes_the_place_of_the_earlier_one() {
        let first = with_table("# Benchmarks\n", "boot", "old");
        assert_eq!(
            first,
            "# Benchmarks\n\n<!-- begin: script/bench boot -->\n\nold\n\n<!-- end: script/bench boot -->\n"
        );
        let both = with_table(&format!("{first}\nWords.\n"), "idle", "watched");
        let renewed = with_table(&both, "boot", "new");
        assert_eq!(renewed, both.replace("old", "new"));
        assert_ne!(renewed, both);
    }
}
