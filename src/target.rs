//! The platform that the image is built for, in the names of the CNB specification.

use std::fmt;

/// Operating system and architecture of the image, such as `linux` and `amd64`
/// ([CNB buildpack specification, targets](https://github.com/buildpacks/spec/blob/main/buildpack.md#targets-1)).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    pub(crate) os: String,
    pub(crate) arch: String,
}

impl Target {
    /// The ELF machine number of programs for this architecture; none if we do not know the architecture
    /// (`e_machine`, [ELF header](https://gabi.xinuos.com/elf/02-eheader.html)).
    pub(crate) fn elf_machine(&self) -> Option<u16> {
        match self.arch.as_str() {
            "amd64" => Some(elf::abi::EM_X86_64),
            "arm64" => Some(elf::abi::EM_AARCH64),
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.arch)
    }
}
