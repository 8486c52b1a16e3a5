//! The app of the demo and the tests.

use anyhow::{Context as _, Result};
use backplane_standin::log;
use backplane_standin::sample_app::{self, WebConfig};
use clap::{Parser, Subcommand};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// A web app, or its worker, to put behind an agent.
///
/// GET / answers a sentence, GET /headers the request's header, POST /echo the request's body, GET
/// /slow?ms=N ten lines in N milliseconds; GET /exit?code=N ends the app at once. SIGTERM ends it
/// when the requests in flight are done, SIGUSR1 makes it stop listening, and SIGUSR2 listen again.
/// It prints `listening HOST:PORT` when it listens.
#[derive(Parser)]
#[command(name = "sample-app", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Where to listen, such as 127.0.0.1:8080 or `[::]:8080`; by default on 127.0.0.1 with the
    /// port in PORT
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// How many milliseconds to wait before listening, as an app that boots slowly
    #[arg(long, value_name = "MS", default_value_t = 0)]
    listen_after: u64,
    /// How many milliseconds to live on when the requests in flight are done, as an app that leaves
    /// its answers time to get out before its container ends with it
    #[arg(long, value_name = "MS", default_value_t = 0)]
    linger: u64,
    /// Exit at once at SIGTERM, whatever is in flight
    #[arg(long, conflicts_with = "linger")]
    exit_at_once: bool,
    /// What to call this release of the app in the header of its answers, as in `server:
    /// sample-app/2.0 (process 1)`
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
}

#[derive(Subcommand)]
enum Role {
    /// Only print that it works, once a second
    Worker,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::exit_code(sample_app::PROGRAM, run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<()> {
    if let Some(Role::Worker) = arguments.role {
        return sample_app::worker().await;
    }
    let listen = match arguments.listen {
        Some(listen) => listen,
        None => (Ipv4Addr::LOCALHOST, port()?).into(),
    };
    let config = WebConfig {
        listen,
        listen_after: Duration::from_millis(arguments.listen_after),
        linger: Duration::from_millis(arguments.linger),
        exit_at_once: arguments.exit_at_once,
        server: sample_app::server(arguments.release.as_deref())?,
    };
    sample_app::web(config).await
}

fn port() -> Result<u16> {
    let port = std::env::var("PORT")
        .ok()
        .and_then(|port| port.parse().ok());
    port.context("PORT is not set to a port; set it, or pass --listen HOST:PORT")
}
