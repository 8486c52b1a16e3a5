//! Measures the Backplane buildpack beside what people use today, in one run, so that the figures can be compared.
//!
//! Each subcommand is a module. What they share: commands are measured by [`measure`], take turns by [`rounds`], are
//! summed up by [`statistics`], and shown by [`document`]. A run never fails on figures, but it fails when something
//! that is measured does not do what it says.

mod document;
mod install;
mod kit;
mod launch;
mod measure;
mod rounds;
mod statistics;

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::kit::Kit;
use crate::measure::Limits;

/// Measures the Backplane buildpack beside what people use today.
#[derive(Parser)]
#[command(name = "backplane-bench", version)]
struct Arguments {
    /// The folder of the programs to measure, as script/bench makes it; everything else is written there too
    #[arg(long, value_name = "FOLDER")]
    kit: PathBuf,
    /// How often each command is measured; each subject has its own default
    #[arg(long, value_name = "N")]
    runs: Option<NonZeroUsize>,
    /// Also put the result into this Markdown file, in place of an earlier one
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
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backplane-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let kit = Kit::open(&arguments.kit)?;
    let limits = Limits::default();
    let (name, section) = match arguments.subject {
        Subject::Install { soak } => (
            "install",
            install::run(&kit, arguments.runs.unwrap_or(install::RUNS), soak, &limits)?,
        ),
        Subject::Launch => (
            "launch",
            launch::run(&kit, arguments.runs.unwrap_or(launch::RUNS), &limits)?,
        ),
    };
    println!("{section}");
    if let Some(path) = &arguments.markdown {
        let text = document::with_section(&fs_err::read_to_string(path)?, name, &section);
        fs_err::write(path, text)?;
    }
    Ok(())
}
