//! Plots of the tables of a document, so that a plot and its table have the same figures.

use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::document;

/// The directory of the plots, beside the document.
const DIRECTORY: &str = "images";

/// Readable on a light and on a dark page; the page shows through everything else.
const TEXT: RGBColor = RGBColor(128, 128, 128);
const OURS: RGBColor = RGBColor(46, 134, 193);
const OTHERS: RGBColor = RGBColor(170, 170, 170);

const WIDTH: u32 = 760;
const BAR: u32 = 34;

/// A plot with a bar for each row of a table.
struct Plot {
    file: &'static str,
    title: &'static str,
    table: &'static str,
    /// The column of the figures.
    column: usize,
    /// The rows, in their order, each with whether it is ours.
    rows: &'static [(&'static str, bool)],
}

const PLOTS: [Plot; 4] = [
    Plot {
        file: "bench-install.svg",
        title: "Installing the agent, ms",
        table: "install times",
        column: 1,
        rows: &[
            ("shell, checked", false),
            ("shell, unchecked", false),
            ("cold install", true),
            ("pinned rebuild", true),
            ("revalidated rebuild", true),
        ],
    },
    Plot {
        file: "bench-boot.svg",
        title: "What exec.d adds to a boot, ms",
        table: "launch boot",
        column: 2,
        rows: &[
            ("bash", false),
            ("ours", true),
            ("empty", false),
            ("bash, skipped", false),
            ("ours, skipped", true),
        ],
    },
    Plot {
        file: "bench-restart.svg",
        title: "From the end of an agent to the next one, ms",
        table: "launch agents",
        column: 1,
        rows: &[
            ("the same with the loop in bash", false),
            ("agent's SIGKILL to next agent", true),
        ],
    },
    Plot {
        file: "bench-deploy.svg",
        title: "Requests lost at each stop of an app that finishes its requests",
        table: "deploy finishes",
        column: 3,
        rows: &[
            ("container: started once", false),
            ("container: loop in bash", false),
            ("container: ours", true),
            ("container: ours, run keep", true),
            ("container: ours, run stop", true),
            ("dyno: started once", false),
            ("dyno: loop in bash", false),
            ("dyno: ours", true),
            ("dyno: started once, drains", false),
            ("dyno: ours, drain stop", true),
        ],
    },
];

/// The plots of those tables of `document` whose names are `wanted`, by the names of their files.
fn of_document(
    document: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(&'static str, String)>> {
    PLOTS
        .iter()
        .filter(|plot| wanted(plot.table) && document::table_of(document, plot.table).is_some())
        .map(|plot| Ok((plot.file, plot.draw(document)?)))
        .collect()
}

/// Writes the plots of the `wanted` tables beside the document at `path`.
pub(crate) fn write(path: &Path, document: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let directory = path.with_file_name(DIRECTORY);
    fs_err::create_dir_all(&directory)?;
    for (file, svg) in of_document(document, wanted)? {
        fs_err::write(directory.join(file), svg)?;
    }
    Ok(())
}

impl Plot {
    fn draw(&self, document: &str) -> Result<String> {
        let table = document::table_of(document, self.table)
            .with_context(|| format!("there is no table {}", self.table))?;
        let bars: Vec<(&str, f64, bool)> = self
            .rows
            .iter()
            .map(|(row, is_ours)| {
                let figure = document::figure_of(table, row, self.column);
                let figure = figure.with_context(|| format!("no figure for {row}"))?;
                Ok((*row, figure, *is_ours))
            })
            .collect::<Result<_>>()?;
        let max = bars.iter().map(|bar| bar.1).fold(0.0, f64::max);

        let mut svg = String::new();
        {
            let count = u32::try_from(bars.len())?;
            let area = SVGBackend::with_string(&mut svg, (WIDTH, 60 + BAR * count));
            let area = area.into_drawing_area();
            let font = |size| ("sans-serif", size).into_font().color(&TEXT);
            let mut chart = ChartBuilder::on(&area)
                .margin(8)
                .caption(self.title, font(18))
                .set_label_area_size(LabelAreaPosition::Left, 210)
                .build_cartesian_2d(0.0..max * 1.15, (0..bars.len() - 1).into_segmented())?;
            let name = |place: &SegmentValue<usize>| match place {
                // The first row is at the top.
                SegmentValue::CenterOf(index) => {
                    bars.iter().rev().nth(*index).map_or("", |bar| bar.0)
                }
                _ => "",
            };
            chart
                .configure_mesh()
                .disable_mesh()
                .disable_x_axis()
                .axis_style(TEXT)
                .label_style(font(14))
                .y_labels(bars.len())
                .y_label_formatter(&|place| name(place).to_owned())
                .draw()?;
            let places = bars.iter().rev().enumerate();
            chart.draw_series(places.clone().map(|(index, (_, figure, is_ours))| {
                let corners = [
                    (0.0, SegmentValue::Exact(index)),
                    (*figure, SegmentValue::Exact(index + 1)),
                ];
                let color = if *is_ours { OURS } else { OTHERS };
                let mut bar = Rectangle::new(corners, color.filled());
                bar.set_margin(5, 5, 0, 0);
                bar
            }))?;
            let style = font(14).pos(Pos::new(HPos::Left, VPos::Center));
            chart.draw_series(places.map(|(index, (_, figure, _))| {
                let place = (*figure + max * 0.01, SegmentValue::CenterOf(index));
                Text::new(format!("{figure}"), place, style.clone())
            }))?;
            area.present()?;
        }
        Ok(svg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_of_the_document_are_drawn_from_its_tables() {
        let path = Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/benchmarks.md"
        ));
        let document = fs_err::read_to_string(path).unwrap();
        let plots = of_document(&document, |_| true).unwrap();
        assert_eq!(plots.len(), PLOTS.len());
        for (file, expected) in plots {
            let link = format!("({DIRECTORY}/{file})");
            assert!(document.contains(&link), "there is no {link}");
            let svg = fs_err::read_to_string(path.with_file_name(DIRECTORY).join(file)).unwrap();
            assert!(
                svg == expected,
                "{file} is not of this table; run: script/bench plots"
            );
        }
    }
}
