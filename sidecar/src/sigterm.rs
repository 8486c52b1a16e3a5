//! An agent that SIGTERM does not end, whatever it does about the signal.
//!
//! Heroku's Cedar sends SIGTERM to every process of a dyno at once, and an agent that exits on it
//! cuts the requests in flight. A blocked signal is no help: programs in Go unblock it. So the agent
//! starts with the signal ignored, and its calls of sigaction(2) for it succeed without an effect.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use seccompiler::sock_filter;

/// A shell ignores a signal for the program that it becomes (POSIX, trap); no crate does so safely.
const SHELL: &str = "/bin/sh";
/// Without the variables that shells add.
const IGNORE_AND_BECOME: &str = "trap '' TERM; unset PWD OLDPWD SHLVL; exec \"$@\"";

/// A command that becomes `program` with SIGTERM ignored. `None` without a shell.
pub(crate) fn command_that_ignores(program: &Path) -> Option<Command> {
    if !Path::new(SHELL).exists() {
        return None;
    }
    let mut command = Command::new(SHELL);
    command.args(["-c", IGNORE_AND_BECOME, "sh"]).arg(program);
    Some(command)
}

/// Keeps this process, and what it becomes and starts, from changing what SIGTERM does. Without
/// effect where the kernel refuses it.
pub(crate) fn keep_disposition() {
    let _ = seccompiler::apply_filter(&FILTER);
}

/// By seccomp(2): `rt_sigaction` for SIGTERM with a new action returns 0, and everything else is
/// allowed. Offsets are those of `struct seccomp_data`. A filter of the crate's compiler would kill
/// programs of another architecture.
const FILTER: [sock_filter; 12] = [
    load(4),
    unless(ARCHITECTURE, 9),
    load(0),
    unless(RT_SIGACTION, 7),
    load(16),
    unless(Signal::SIGTERM as u32, 5),
    // A call without a new action only asks for the present one.
    load(24),
    unless(0, 2),
    load(28),
    if_equal(0, 1),
    instruction(RETURN, 0, 0, RETURN_ERROR),
    instruction(RETURN, 0, 0, RETURN_ALLOW),
];

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// `SECCOMP_RET_ERRNO` with the error 0.
const RETURN_ERROR: u32 = 0x0005_0000;
const RETURN_ALLOW: u32 = 0x7fff_0000;

/// `AUDIT_ARCH_X86_64` or `AUDIT_ARCH_AARCH64` (linux/audit.h), and the number of the system call.
const ARCHITECTURE: u32 = if IS_ARM { 0xc000_00b7 } else { 0xc000_003e };
const RT_SIGACTION: u32 = if IS_ARM { 134 } else { 13 };
const IS_ARM: bool = cfg!(target_arch = "aarch64");

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

const fn load(offset: u32) -> sock_filter {
    instruction(LOAD, 0, 0, offset)
}

/// Skips this number of instructions unless the loaded word has this value.
const fn unless(value: u32, skipped: u8) -> sock_filter {
    instruction(JUMP_IF_EQUAL, 0, skipped, value)
}

/// Skips this number of instructions if the loaded word has this value.
const fn if_equal(value: u32, skipped: u8) -> sock_filter {
    instruction(JUMP_IF_EQUAL, skipped, 0, value)
}
