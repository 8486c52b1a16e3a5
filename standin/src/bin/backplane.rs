//! The stand-in agent, with the real one's command line.

use backplane_standin::agent::{self, AgentConfig, AgentLimits, Target};
use backplane_standin::endpoint::Endpoint;
use backplane_standin::labels::Labels;
use backplane_standin::token::Token;
use backplane_standin::{log, signals};
use clap::{Parser, Subcommand};
use std::error::Error;
use std::process::ExitCode;

/// Connects an app to a Backplane edge. This is a stand-in, to try things on one machine: it is not for production,
/// and talks to the stand-in edge only.
///
/// The environment says the rest: `BACKPLANE_EDGE` where the edge takes agents, as host:port, and `BACKPLANE_TOKEN`
/// the token.
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
    /// Have the edge send what is for ENDPOINT to agents with certain labels; replaces the endpoint's earlier route
    Route {
        /// The host that requests are for, such as myendpoint.test
        endpoint: Endpoint,
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
    log::exit_code(agent::PROGRAM, run(Arguments::parse().command).await)
}

async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let limits = AgentLimits::default();
    let edge = variable(
        "BACKPLANE_EDGE",
        "the host:port where the edge takes agents",
    )?;
    let token = || {
        variable(
            "BACKPLANE_TOKEN",
            "a token; `backplane generate env` prints one",
        )
        .map(Token::from)
    };
    match command {
        Command::Connect { labels, url } => {
            let stop = signals::stop()?;
            let config = AgentConfig {
                edge,
                token: token()?,
                labels,
                target: url,
                limits,
            };
            agent::connect(config, stop).await?;
        }
        Command::Route { endpoint, selector } => {
            let route = format!("{endpoint} now leads to agents with {selector}");
            agent::route(&edge, token()?, endpoint, selector, limits.edge).await?;
            println!("{route}");
        }
        Command::Generate(Generate::Env) => {
            let token = agent::generate(&edge, limits.edge).await?;
            println!("BACKPLANE_EDGE={edge}\nBACKPLANE_TOKEN={token}");
        }
    }
    Ok(())
}

/// The value of a variable that must be set, and what to set it to if it is not.
fn variable(name: &str, meaning: &str) -> Result<String, String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("{name} is not set; set it to {meaning}"))
}
