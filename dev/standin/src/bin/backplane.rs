//! The stand-in agent, with the real one's command line.

use anyhow::{Context as _, Result};
use backplane_standin::agent::{EdgeAddress, PROGRAM, Target};
use backplane_standin::labels::Labels;
use backplane_standin::{endpoint, log, signals};
use clap::{Parser, Subcommand};
use std::env;
use std::future::pending;
use std::process::ExitCode;

/// Connects an app to a Backplane edge. This is a stand-in, to try things on one machine: it is not
/// for production, and talks to the stand-in edge only.
///
/// The environment has the rest: in `BACKPLANE_EDGE` the edge's address for agents, as host:port,
/// and in `BACKPLANE_TOKEN` the token. With `BACKPLANE_STANDIN_EXIT_AT_ONCE`, the agent exits at once
/// at SIGTERM or SIGINT, as many agents do, and not when the requests in flight are done.
#[derive(Parser)]
#[command(name = "backplane", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests from the edge with the app at URL, until SIGTERM or SIGINT
    Connect {
        /// What routes select this agent by: key=value, with commas between several
        labels: Labels,
        /// Where the app listens, such as `http://127.0.0.1:8080`
        url: Target,
    },
    /// Have the edge send what is for ENDPOINT to agents with certain labels; replaces the
    /// endpoint's earlier route
    Route {
        /// The host that requests are for, such as myendpoint.test
        #[arg(value_parser = endpoint::parse)]
        endpoint: String,
        /// The labels that an agent must have, all of them: key=value, with commas between several
        selector: Labels,
    },
    /// Make something new
    #[command(subcommand)]
    Generate(Generate),
}

#[derive(Subcommand)]
enum Generate {
    /// Print the variables for a new token, as NAME=value
    Env,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::exit_code(PROGRAM, run(Arguments::parse().command).await)
}

async fn run(command: Command) -> Result<()> {
    let edge = variable(
        "BACKPLANE_EDGE",
        "the host:port where the edge takes agents",
    )?;
    let edge = EdgeAddress(edge);
    let meaning = "a token; `backplane generate env` prints one";
    let token = || variable("BACKPLANE_TOKEN", meaning);
    match command {
        Command::Connect { labels, url } => {
            let stop = signals::stop()?;
            if env::var_os("BACKPLANE_STANDIN_EXIT_AT_ONCE").is_some() {
                tokio::select! {
                    ended = edge.connect(token()?, labels, url, pending()) => ended?,
                    _ = stop => {}
                }
            } else {
                edge.connect(token()?, labels, url, stop).await?;
            }
        }
        Command::Route { endpoint, selector } => {
            let route = format!("{endpoint} now leads to agents with {selector}");
            edge.route(token()?, endpoint, selector).await?;
            println!("{route}");
        }
        Command::Generate(Generate::Env) => {
            let token = edge.generate().await?;
            println!("BACKPLANE_EDGE={}\nBACKPLANE_TOKEN={token}", edge.0);
        }
    }
    Ok(())
}

/// The value of a variable that must be set; without one, the error names the value to set.
fn variable(name: &str, meaning: &str) -> Result<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    value.with_context(|| format!("{name} is not set; set it to {meaning}"))
}
