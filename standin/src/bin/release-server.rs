//! The server that the demo and the tests fetch the agent from.

use backplane_standin::release_server::{self, ReleaseServer};
use backplane_standin::{log, signals};
use clap::Parser;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Serves the files of a folder, with a strong `ETag` and `Last-Modified`, and answers 304 to whoever has the file
/// already.
///
/// Prints `listening HOST:PORT`, and logs each request to stderr.
#[derive(Parser)]
#[command(name = "release-server", version)]
struct Arguments {
    /// The folder whose files are served
    folder: PathBuf,
    /// Where to listen; port 0 has the system choose one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::exit_code(release_server::PROGRAM, run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let stop = signals::stop()?;
    let server = ReleaseServer::bind(arguments.folder, arguments.listen).await?;
    println!("listening {}", server.address()?);
    tokio::select! {
        never = server.run() => match never {},
        _ = stop => Ok(()),
    }
}
