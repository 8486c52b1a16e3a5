//! Errors of an installation.

use std::io;

use crate::archive::{ArchiveError, FileKind};
use crate::checksum::Checksum;
use crate::fetch::FetchError;
use crate::redact::Redacted;
use crate::release::SourceKind;

/// Errors that can occur when an agent is installed.
#[derive(Debug)]
pub(crate) enum InstallError {
    /// The agent cannot be fetched.
    Fetch { source: Redacted, error: FetchError },
    /// The download does not have the pinned checksum.
    Checksum {
        source: Redacted,
        kind: SourceKind,
        mismatch: Box<Mismatch>,
    },
    /// The download contains no agent that can be installed.
    Archive {
        source: Redacted,
        kind: SourceKind,
        error: ArchiveError,
    },
    /// The staging directory cannot be made or removed.
    Staging(io::Error),
    /// The installed files cannot be read or replaced.
    Directory(io::Error),
}

/// The pinned checksum, and the download that does not have it.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) expected: Checksum,
    pub(crate) actual: Checksum,
    pub(crate) found: FileKind,
    pub(crate) bytes: u64,
}

impl InstallError {
    /// Whether a build may go on without an agent: the agent could not be fetched, but nothing says
    /// that the request for it is wrong.
    pub(super) fn is_about_fetching(&self) -> bool {
        match self {
            Self::Fetch { error, .. } => matches!(
                error,
                FetchError::Http(_) | FetchError::ReadSource(_) | FetchError::Empty
            ),
            // The page of a captive portal, an error page with status 200 or half an archive: the
            // server's problem.
            Self::Archive {
                kind: SourceKind::Server,
                error,
                ..
            } => matches!(
                error,
                ArchiveError::NotAnAgent { .. }
                    | ArchiveError::Damaged(_)
                    | ArchiveError::IncompleteProgram(_)
                    | ArchiveError::Unproven
            ),
            Self::Archive { .. }
            | Self::Checksum { .. }
            | Self::Staging(_)
            | Self::Directory(_) => false,
        }
    }
}
