//! The stand-in edge.

use backplane_standin::edge::{self, Edge, EdgeConfig, EdgeLimits};
use backplane_standin::{log, signals};
use clap::Parser;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Takes requests, and gives them to the agents that are connected. This is a stand-in, to try things on one machine:
/// it is not for production, and what it speaks with agents is not Backplane's wire protocol.
///
/// Prints where it listens, `public HOST:PORT` and `agents HOST:PORT`, and logs to stderr.
#[derive(Parser)]
#[command(name = "backplane-edge", version)]
struct Arguments {
    /// Where to take requests; port 0 has the system choose one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    public: SocketAddr,
    /// Where to take agents; port 0 has the system choose one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    agents: SocketAddr,
    /// A token to accept, besides those that `backplane generate env` makes; may be given more than once
    #[arg(long = "token", value_name = "TOKEN")]
    tokens: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::exit_code(edge::PROGRAM, run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let stop = signals::stop()?;
    let edge = Edge::bind(EdgeConfig {
        public: arguments.public,
        agents: arguments.agents,
        tokens: arguments.tokens.into_iter().map(Into::into).collect(),
        limits: EdgeLimits::default(),
    })
    .await?;
    println!("public {}", edge.public_address()?);
    println!("agents {}", edge.agent_address()?);
    log::line(
        edge::PROGRAM,
        "a stand-in: not Backplane's wire protocol, not for production",
    );
    tokio::select! {
        never = edge.run() => match never {},
        signal = stop => log::line(edge::PROGRAM, format_args!("{signal}: stopping")),
    }
    Ok(())
}
