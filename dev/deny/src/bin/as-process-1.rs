//! `as-process-1 NAME PROGRAM ARGUMENT…` becomes PROGRAM, with NAME as its argv\[0\], and with all orphans below it for its children:
//! as if it were process 1 of a container, which mostly is an app that looks after no child but its own.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(name), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("Usage: as-process-1 NAME PROGRAM [ARGUMENT…]");
        return ExitCode::FAILURE;
    };
    // It stays through execve(2), see PR_SET_CHILD_SUBREAPER(2const).
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        eprintln!("as-process-1: unable to adopt orphans: {error}");
        return ExitCode::FAILURE;
    }
    let error = Command::new(&program).arg0(name).args(arguments).exec();
    eprintln!("as-process-1: unable to run {}: {error}", program.display());
    ExitCode::FAILURE
}
