//! The launch program in this package of the buildpack.

use std::path::Path;

use crate::archive::{self, FileKind};
use crate::error::BackplaneError;
use crate::target::Target;

/// Checks that `program` runs on `target`. On a builder that emulates another processor, the
/// package for that processor would build too, and its launch program would then abort every boot.
pub(crate) fn check(program: &Path, target: &Target) -> Result<(), BackplaneError> {
    let machine = match archive::kind_of(program).map_err(BackplaneError::LaunchProgram)? {
        FileKind::Elf { machine } => machine,
        _ => None,
    };
    if machine.is_some() && machine == target.elf_machine() {
        return Ok(());
    }
    Err(BackplaneError::PackageArchitecture {
        package: machine.and_then(Target::arch_of),
        target: target.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::file_kind::tests::elf_header;
    use crate::release::tests::target;

    #[test]
    fn program_of_another_processor_stops_the_build() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("launch");
        let (amd64, arm64) = (elf::abi::EM_X86_64, elf::abi::EM_AARCH64);
        for (content, arch, expected) in [
            (elf_header(amd64), "amd64", None),
            (elf_header(arm64), "arm64", None),
            (elf_header(amd64), "arm64", Some(Some("amd64"))),
            (elf_header(arm64), "amd64", Some(Some("arm64"))),
            (elf_header(elf::abi::EM_S390), "amd64", Some(None)),
            (elf_header(amd64), "riscv64", Some(Some("amd64"))),
            (b"#!/bin/sh\n".to_vec(), "amd64", Some(None)),
            (Vec::new(), "amd64", Some(None)),
        ] {
            fs_err::write(&program, &content).unwrap();
            let found = match check(&program, &target(arch)) {
                Ok(()) => None,
                Err(BackplaneError::PackageArchitecture { package, .. }) => Some(package),
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(found, expected, "{arch}");
        }
        let outcome = check(&directory.path().join("missing"), &target("amd64"));
        assert!(matches!(outcome, Err(BackplaneError::LaunchProgram(_))));
    }
}
