//! The stand-in edge.

use anyhow::Result;
use backplane_standin::edge::{Edge, PROGRAM};
use backplane_standin::{log, signals};
use clap::Parser;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Takes requests, and sends them to the agents that are connected. This is a stand-in, to try
/// things on one machine: it is not for production, and its protocol with agents is not Backplane's
/// wire protocol.
///
/// Prints where it listens, `public HOST:PORT` and `agents HOST:PORT`, and logs to stderr.
#[derive(Parser)]
#[command(name = "backplane-edge", version)]
struct Arguments {
    /// Where to take requests; with port 0 the system chooses one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    public: SocketAddr,
    /// Where to take agents; with port 0 the system chooses one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    agents: SocketAddr,
    /// A token to accept, besides those that `backplane generate env` makes; may be given more than
    /// once
    #[arg(long = "token", value_name = "TOKEN")]
    tokens: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::exit_code(PROGRAM, run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<()> {
    let stop = signals::stop()?;
    let edge = Edge::bind(arguments.public, arguments.agents, arguments.tokens).await?;
    println!("public {}", edge.public.local_addr()?);
    println!("agents {}", edge.agents.local_addr()?);
    log::line(
        PROGRAM,
        "a stand-in: not Backplane's wire protocol, not for production",
    );
    tokio::select! {
        never = edge.run() => match never {},
        signal = stop => log::line(PROGRAM, format_args!("{signal}: stopping")),
    }
    Ok(())
}
