//! The agent's file: what the build noted of it, and why it cannot be run, in more words than the kernel's ENOENT, which means a
//! missing file, a missing interpreter and a missing loader alike.

use crate::file;
use crate::messages::AgentFault;
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How much of a file is looked at: more than the kernel itself does for `#!` (256 bytes, execve(2)), and in practice enough for
/// the program headers and the interpreter of an ELF file, which linkers put first.
const HEAD: u64 = 4096;

/// The name of the file that the build leaves in the agent's layer, and that holds the SHA-256 checksum of the agent's download in
/// hexadecimal digits and a newline.
pub const CHECKSUM_FILE: &str = "agent.sha256";

/// The checksum that the build noted for this agent, if it is one.
pub(crate) fn noted_checksum(agent: &Path) -> Option<String> {
    const DIGITS: usize = 64;
    let note = agent.parent()?.parent()?.join(CHECKSUM_FILE);
    let checksum = String::from_utf8(head_of(&note).ok()?).ok()?;
    let checksum = checksum.trim_end();
    let is_one = checksum.len() == DIGITS && checksum.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| checksum.to_owned())
}

/// What keeps the file from being run, if it is anything that can be seen from outside.
pub(crate) fn fault(path: &Path) -> Option<AgentFault> {
    // The kernel runs a file that may be executed but not read; then there is nothing to see here.
    match head_of(path) {
        Ok(head) => {
            if is_executable(path) == Err(Errno::ACCESS) {
                return Some(AgentFault::NotExecutable);
            }
            fault_in(&head, &|path| path.exists())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(AgentFault::Missing),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let may_not_run = is_executable(path) == Err(Errno::ACCESS);
            may_not_run.then(|| AgentFault::NotReadable(error.to_string()))
        }
        Err(error) => Some(AgentFault::NotReadable(error.to_string())),
    }
}

/// Only EACCES means that it is not: a filter may refuse to answer, and then the kernel is asked by running the file.
fn is_executable(path: &Path) -> Result<(), Errno> {
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

fn head_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file::open_regular(path)?
        .take(HEAD)
        .read_to_end(&mut head)?;
    Ok(head)
}

fn fault_in(head: &[u8], exists: &dyn Fn(&Path) -> bool) -> Option<AgentFault> {
    let missing = |program: &[u8]| {
        let path = Path::new(OsStr::from_bytes(program));
        (!exists(path)).then(|| path.display().to_string())
    };
    if let Some(script) = head.strip_prefix(b"#!") {
        let line = script
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        // A carriage return at its end is part of the name, as for the kernel; the message shows it.
        let interpreter = line
            .trim_ascii_start()
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .next()
            .unwrap_or_default();
        return missing(interpreter).map(AgentFault::NoInterpreter);
    }
    if !head.starts_with(b"\x7fELF") {
        return Some(AgentFault::NoProgram);
    }
    if elf::machine(head).is_some_and(|machine| elf::OURS.is_some_and(|ours| machine != ours)) {
        return Some(AgentFault::OtherArchitecture);
    }
    missing(elf::interpreter(head)?).map(AgentFault::NoLoader)
}

/// The few fields of elf(5) that matter here, of 64-bit little-endian files: the only ones for the processors that we serve.
mod elf {
    /// `e_machine` of the processor that this program was built for.
    pub(super) const OURS: Option<u16> = if cfg!(target_arch = "x86_64") {
        Some(62)
    } else if cfg!(target_arch = "aarch64") {
        Some(183)
    } else {
        None
    };

    const PT_INTERP: u32 = 3;

    pub(super) fn machine(file: &[u8]) -> Option<u16> {
        Some(u16::from_le_bytes(at(file, 18)?))
    }

    /// The path in the program header of type `PT_INTERP`.
    pub(super) fn interpreter(file: &[u8]) -> Option<&[u8]> {
        let headers = usize::try_from(u64::from_le_bytes(at(file, 32)?)).ok()?;
        let size = usize::from(u16::from_le_bytes(at(file, 54)?));
        let count = usize::from(u16::from_le_bytes(at(file, 56)?));
        let header = (0..count)
            .filter_map(|index| headers.checked_add(index.checked_mul(size)?))
            .find(|header| at(file, *header).map(u32::from_le_bytes) == Some(PT_INTERP))?;
        let start = usize::try_from(u64::from_le_bytes(at(file, header.checked_add(8)?)?)).ok()?;
        let length =
            usize::try_from(u64::from_le_bytes(at(file, header.checked_add(32)?)?)).ok()?;
        let path = file.get(start..start.checked_add(length)?)?;
        path.split(|byte| *byte == 0).next()
    }

    fn at<const N: usize>(file: &[u8], offset: usize) -> Option<[u8; N]> {
        file.get(offset..offset.checked_add(N)?)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    /// The head of an ELF file for this processor, with or without a loader.
    fn elf_file(machine: u16, loader: Option<&str>) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[54..56].copy_from_slice(&56_u16.to_le_bytes());
        if let Some(loader) = loader {
            file[56..58].copy_from_slice(&1_u16.to_le_bytes());
            file[64..68].copy_from_slice(&3_u32.to_le_bytes());
            file[72..80].copy_from_slice(&120_u64.to_le_bytes());
            file[96..104].copy_from_slice(&(loader.len() as u64 + 1).to_le_bytes());
            file.extend(loader.as_bytes());
            file.push(0);
        }
        file
    }

    #[test]
    fn fault_is_named() {
        let ours = elf::OURS.unwrap();
        let no_interpreter = |name: &str| Some(AgentFault::NoInterpreter(name.to_owned()));
        for (head, expected) in [
            (b"#!/bin/sh\nexec frp\n".to_vec(), None),
            (b"#! /bin/sh -e\n".to_vec(), None),
            (b"#!/bin/bash\n".to_vec(), no_interpreter("/bin/bash")),
            (
                b"#!\t/usr/bin/env bash".to_vec(),
                no_interpreter("/usr/bin/env"),
            ),
            (b"#!/bin/sh\r\n".to_vec(), no_interpreter("/bin/sh\r")),
            (b"#!".to_vec(), no_interpreter("")),
            (elf_file(ours, None), None),
            (elf_file(ours, Some("/lib/ld.so")), None),
            (
                elf_file(ours, Some("/lib/ld-musl.so")),
                Some(AgentFault::NoLoader("/lib/ld-musl.so".to_owned())),
            ),
            (
                elf_file(40, Some("/lib/ld-musl.so")),
                Some(AgentFault::OtherArchitecture),
            ),
            (
                elf_file(ours, Some("/lib/ld-musl.so"))[..100].to_vec(),
                None,
            ),
            (b"\x7fELF".to_vec(), None),
            (b"<html>".to_vec(), Some(AgentFault::NoProgram)),
            (Vec::new(), Some(AgentFault::NoProgram)),
        ] {
            let exists = |path: &Path| ["/bin/sh", "/lib/ld.so"].map(Path::new).contains(&path);
            assert_eq!(
                fault_in(&head, &exists),
                expected,
                "{}",
                head.escape_ascii()
            );
        }
    }

    #[test]
    fn noted_checksum_is_read_or_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let agent = folder.path().join("libexec/backplane");
        assert_eq!(noted_checksum(&agent), None);
        let checksum = "09af".repeat(16);
        for (note, is_one) in [
            (format!("{checksum}\n"), true),
            (checksum.clone(), true),
            (String::new(), false),
            (format!("{checksum}0\n"), false),
            (checksum.replace('9', "g"), false),
        ] {
            fs::write(folder.path().join(CHECKSUM_FILE), &note).unwrap();
            let expected = is_one.then(|| checksum.clone());
            assert_eq!(noted_checksum(&agent), expected, "{note}");
        }
    }

    #[test]
    fn no_header_makes_it_panic() {
        let whole = elf_file(elf::OURS.unwrap(), Some("/lib/ld-musl.so"));
        for offset in 0..whole.len() {
            let mut file = whole.clone();
            file[offset] = 0xff;
            fault_in(&file, &|_| true);
            fault_in(&whole[..offset], &|_| true);
            let end = file.len().min(offset + 8);
            file[offset..end].fill(0xff);
            fault_in(&file, &|_| true);
        }
    }

    #[test]
    fn file_on_disk_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backplane");
        assert_eq!(fault(&path), Some(AgentFault::Missing));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(fault(&path), Some(AgentFault::NotExecutable));
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(fault(&path), None);
        assert!(matches!(
            fault(folder.path()),
            Some(AgentFault::NotReadable(_))
        ));
        assert_eq!(fault(Path::new("/proc/self/exe")), None);
    }
}
