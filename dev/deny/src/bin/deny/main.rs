//! `deny RULE… -- NAME PROGRAM ARGUMENT…` becomes PROGRAM, with NAME as its argv\[0\], and from then on the kernel denies what the
//! rules say to it and to all that it starts.
//!
//! It takes no privileges, as each process may give up some of its own: system calls by a seccomp filter (seccomp(2)), as the ones of
//! container engines are, and files by landlock(7).

mod rule;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use landlock::{
    AccessFs, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus,
};
use rule::Rule;

const USAGE: &str = "\
Usage: deny RULE… -- NAME PROGRAM [ARGUMENT…]

A RULE is one of
  SYSTEM-CALL=ERROR            as in clone3=ENOSYS
  SYSTEM-CALL(NUMBER)=ERROR    for calls with this number as their first argument
  unreadable=DIRECTORY            nothing below this directory of / can be opened for reading";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let Some((rules, command)) = split(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let [name, program, arguments @ ..] = command else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    for rule in rules {
        if let Err(error) = put_into_force(rule) {
            eprintln!("deny: {}: {error}", rule.display());
            return ExitCode::FAILURE;
        }
    }
    let error = Command::new(program).arg0(name).args(arguments).exec();
    eprintln!("deny: unable to run {}: {error}", program.display());
    ExitCode::FAILURE
}

/// What is before and after the first `--`.
fn split(arguments: &[OsString]) -> Option<(&[OsString], &[OsString])> {
    let end = arguments.iter().position(|argument| argument == "--")?;
    Some((&arguments[..end], &arguments[end + 1..]))
}

fn put_into_force(rule: &OsString) -> Result<(), Box<dyn Error>> {
    match Rule::parse(rule.to_str().ok_or("it is not UTF-8")?)? {
        Rule::Call(call) => {
            let filters = seccompiler::compile_from_json(
                call.to_filter().to_string().as_bytes(),
                env::consts::ARCH.try_into()?,
            )?;
            for filter in filters.values() {
                seccompiler::apply_filter(filter)?;
            }
        }
        Rule::Unreadable(directory) => make_unreadable(&directory)?,
    }
    Ok(())
}

/// Landlock only knows what is allowed: everything else at the root.
fn make_unreadable(directory: &Path) -> Result<(), Box<dyn Error>> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut ruleset = Ruleset::default().handle_access(reading)?.create()?;
    for entry in fs::read_dir("/")? {
        let path = entry?.path();
        // Links are followed, so what they lead to has a rule of its own.
        if path == directory || path.is_symlink() {
            continue;
        }
        let allowed = if path.is_dir() {
            reading
        } else {
            AccessFs::ReadFile.into()
        };
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(&path)?, allowed))?;
    }
    let RestrictionStatus { ruleset, .. } = ruleset.restrict_self()?;
    if ruleset == RulesetStatus::NotEnforced {
        return Err("this kernel has no Landlock (see landlock(7) for how to turn it on)".into());
    }
    Ok(())
}
