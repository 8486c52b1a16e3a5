//! `launch`: what exec.d adds to a boot, when the agent starts, starts again and ends, and what the supervisor costs meanwhile,
//! beside scripts in bash that do the same.

mod app_run;
mod app_runs;
mod baseline;
mod boot;
pub(crate) mod deploy;
mod idle;
mod image;
mod subreaper;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

use crate::bundle::{BACKPLANE, Bundle, DO_NOTHING};
use crate::document::{NamedTable, rows, table, tenths};
use image::{ExecD, Image};
use subreaper::Subreaper;

/// How long anything that should happen may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Measures, and returns the tables.
pub(crate) fn run(bundle: &Bundle, target: &str, runs: usize) -> Result<Vec<NamedTable>> {
    let launch = bundle.buildpack(BACKPLANE)?.additional_program("launch");
    let empty = bundle.buildpack(DO_NOTHING)?.additional_program("empty");
    let subreaper = Subreaper::new(TIMEOUT)?;
    let processors = available_parallelism()?.to_string();
    let conditions = rows([
        ("built for", target.to_owned()),
        ("runs", runs.to_string()),
        ("processors", processors),
    ]);
    let mut tables = vec![("launch conditions", table(&["launch", ""], conditions))];
    tables.extend(boot::measure(bundle, &launch, &empty, &subreaper, runs)?);

    // A copy: what the loop has in memory is not shared with the other scripts of this machine.
    let bash = bundle.work("bash");
    fs_err::copy(baseline::BASH, &bash)?;
    let app = bundle.program("bench-probe");
    let ours = ExecD::Program(&launch);
    let ours = Image::new(bundle, "ours-with-app", &app, Some(ours))?;
    let restart_loop = baseline::restart_loop();
    let script = ExecD::Script(&bash, &restart_loop);
    let bash = Image::new(bundle, "bash-with-app", &app, Some(script))?;
    let agents = app_runs::measure(&ours, &bash, &subreaper, runs)?;
    let idle = idle::measure(&ours, &bash, &subreaper, runs)?;

    let size = |path| fs_err::metadata(path).map(|metadata| metadata.len());
    let (launch, empty) = (size(&launch)?, size(&empty)?);
    let kilobytes = |bytes| tenths(bytes, 1000);
    let sizes = rows([
        ("launch program", kilobytes(launch)),
        ("empty program, packaged as it is", kilobytes(empty)),
        ("difference", kilobytes(launch - empty)),
    ]);
    tables.extend([
        ("launch agents", agents),
        ("launch idle", idle),
        ("launch size", table(&["kB", "size"], sizes)),
    ]);
    Ok(tables)
}

/// Takes a free port of 127.0.0.1 on which nothing listens yet, so that no other process gets it before the app listens.
fn take_port() -> io::Result<(u16, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let address = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((address.port(), socket))
}
