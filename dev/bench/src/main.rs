//! Measures the Backplane buildpack beside what people use today, in one run, so that the figures can be compared.
//!
//! Each subcommand is a module. A run fails if something that is measured does not do what it says, and never for a
//! figure.

mod bundle;
mod document;
mod install;
mod launch;
mod measure;
mod plot;
mod rounds;
mod series;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::bundle::Bundle;

/// Measures the Backplane buildpack beside what people use today.
#[derive(Parser)]
#[command(name = "backplane-bench", version)]
struct Arguments {
    /// The directory of the programs to measure, as script/bench makes it; everything else is written there too
    #[arg(long, value_name = "DIRECTORY")]
    bundle: Option<PathBuf>,
    /// The target triple that the programs were built for; it names their C library
    #[arg(long, value_name = "TRIPLE", default_value = "")]
    target: String,
    /// How often each command is measured; each subject has its own default
    #[arg(long, value_name = "N")]
    runs: Option<NonZeroUsize>,
    /// Also put the tables into this Markdown file, in place of earlier ones
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// How long a build takes to install the agent, and how much memory
    Install {
        /// Measure the memory with an archive of 1 GB, too
        #[arg(long)]
        soak: bool,
    },
    /// What the launch program adds to a boot, when the agent starts and ends, and what the supervisor costs
    Launch,
    /// How many requests are lost while the instances of an app are replaced one by one
    Deploy,
    /// Draws the plots of this Markdown file from its tables, without measuring anything
    Plots { document: PathBuf },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let bundle = || {
        let directory = arguments.bundle.as_ref().context("--bundle is missing")?;
        Bundle::open(directory)
    };
    let runs = |default| arguments.runs.map_or(default, NonZeroUsize::get);
    let target = &arguments.target;
    let tables = match arguments.subject {
        Subject::Install { soak } => install::run(&bundle()?, target, runs(21), soak)?,
        Subject::Launch => launch::run(&bundle()?, target, runs(300))?,
        Subject::Deploy => launch::deploy::run(&bundle()?, target, runs(30))?,
        Subject::Plots { document } => {
            return plot::write(&document, &fs_err::read_to_string(&document)?, |_| true);
        }
    };
    for (name, table) in &tables {
        println!("{name}\n\n{table}\n");
    }
    if let Some(path) = &arguments.markdown {
        let mut document = fs_err::read_to_string(path)?;
        for (name, table) in &tables {
            document = document::with_table(&document, name, table);
        }
        fs_err::write(path, &document)?;
        // Rows of other tables may still have the names of an earlier version.
        let is_new = |name: &str| tables.iter().any(|table| table.0 == name);
        plot::write(path, &document, is_new)?;
    }
    Ok(())
}
