//! The programs that are measured, as they are shipped.

use std::io;
use std::path::{Path, PathBuf};

use crate::kit::{BACKPLANE, DO_NOTHING, Kit};

/// Their paths.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// The buildpack's launch program.
    pub(super) launch: PathBuf,
    /// A program that does nothing, packaged in the same way.
    pub(super) empty: PathBuf,
}

impl Programs {
    pub(super) fn of(kit: &Kit) -> io::Result<Self> {
        // Where libcnb-cargo puts a package's programs other than the buildpack's own.
        let additional = Path::new(".libcnb-cargo/additional-bin");
        let program = |id, name| {
            let folder = kit.buildpack(id)?.folder;
            io::Result::Ok(folder.join(additional).join(name))
        };
        Ok(Self {
            launch: program(BACKPLANE, "launch")?,
            empty: program(DO_NOTHING, "empty")?,
        })
    }
}
