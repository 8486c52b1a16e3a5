//! The platform that the image is built for, in the names of the CNB specification.

use std::fmt;

/// The known architectures, with the machine number in the header of their ELF files.
const MACHINES: [(&str, u16); 2] = [
    ("amd64", elf::abi::EM_X86_64),
    ("arm64", elf::abi::EM_AARCH64),
];

/// Operating system and architecture of the image, such as `linux` and `amd64` ([CNB buildpack
/// specification, targets](https://github.com/buildpacks/spec/blob/main/buildpack.md#targets-1)).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    pub(crate) os: String,
    pub(crate) arch: String,
}

impl Target {
    /// The ELF machine number of programs for this architecture; `None` if the architecture is
    /// unknown (`e_machine`, [ELF header](https://gabi.xinuos.com/elf/02-eheader.html)).
    pub(crate) fn elf_machine(&self) -> Option<u16> {
        MACHINES
            .iter()
            .find(|(arch, _)| *arch == self.arch)
            .map(|(_, machine)| *machine)
    }

    /// The architecture of programs with this ELF machine number; `None` if that is unknown.
    pub(crate) fn arch_of(elf_machine: u16) -> Option<&'static str> {
        MACHINES
            .iter()
            .find(|(_, machine)| *machine == elf_machine)
            .map(|(arch, _)| *arch)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.arch)
    }
}
